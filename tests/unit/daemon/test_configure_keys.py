"""Where keys come from and where they are kept."""

import io
import os
import sys
from pathlib import Path

import pytest

from aaos.core.errors import AaosError, InputError
from aaos.daemon.configure_host import Host
from aaos.daemon.configure_keys import KeySource, KeyStore
from aaos.llm.keys import Key, KeyPlaces

SECRET = "sk-canary-0123456789"


class Sealing(Host):
    """A machine that seals by turning a key round."""

    def may_seal(self) -> bool:
        return True

    def seal(self, key: Key) -> bytes | None:
        return key.reveal()[::-1].encode()

    def unseal(self, name: str) -> Key | None:
        path = self.sealed(name)
        return Key(name, path.read_text()[::-1]) if path.exists() else None


def store(place: Path, *, host: bool = False) -> KeyStore:
    sealing = Sealing(credstore=place / "sealed", plain_credstore=place / "plain") if host else None
    return KeyStore(KeyPlaces(place / "keys", owner=os.geteuid()), sealing)


def test_a_key_comes_from_one_of_three_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "k").write_text(f"{SECRET}\n")
    monkeypatch.setenv("SOME_KEY", SECRET)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{SECRET}\r\n".encode())))
    for source in (KeySource(variable="SOME_KEY"), KeySource(file=tmp_path / "k"), KeySource(is_stdin=True)):
        assert source.is_given
        assert source.read("cloud").reveal() == SECRET
    assert not KeySource().is_given


def test_a_missing_variable_is_told_with_the_way_through_sudo() -> None:
    with pytest.raises(InputError) as caught:
        KeySource(variable="NOT_THERE").read("cloud")
    assert caught.value.remedy == "sudo --preserve-env=NOT_THERE agentd configure --key-from-env NOT_THERE"


@pytest.mark.parametrize("content", [b"", b"two words", b"a\nb-0123456", b"x" * 9000, b"\xff" * 20])
def test_what_is_no_key_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """H-SEC-04"""
    (tmp_path / "k").write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    for source in (KeySource(file=tmp_path / "k"), KeySource(is_stdin=True)):
        with pytest.raises(AaosError) as caught:
            source.read("cloud")
        assert not content.strip() or content.decode("latin-1") not in f"{caught.value.message}{caught.value.remedy}"


def test_a_key_is_sealed_where_the_machine_can(tmp_path: Path) -> None:
    """LLM-6"""
    change = store(tmp_path, host=True).change(Key("cloud", SECRET))
    assert (change.path, change.mode) == (tmp_path / "sealed" / "aaos-key-cloud", 0o600)
    assert SECRET.encode() not in change.data


@pytest.mark.parametrize("refuses", ["may_seal", "seal"])
def test_else_it_is_a_file_of_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: str) -> None:
    monkeypatch.setattr(Sealing, refuses, lambda *_: None)
    for one in (store(tmp_path, host=True), store(tmp_path)):
        change = one.change(Key("cloud", SECRET))
        assert (change.path, change.data, change.mode) == (tmp_path / "keys" / "cloud", f"{SECRET}\n".encode(), 0o600)


@pytest.mark.parametrize("where", ["sealed/aaos-key-cloud", "plain/aaos-key-cloud", "keys/cloud"])
def test_a_kept_key_is_found_read_and_told_from_its_copies(tmp_path: Path, where: str) -> None:
    path = tmp_path / where
    path.parent.mkdir()
    path.write_text(SECRET[::-1] if "sealed" in where else SECRET)
    path.chmod(0o600)
    one = store(tmp_path, host=True)
    kept = one.read("cloud")
    assert (one.find("cloud"), kept and kept.reveal()) == (path, SECRET)
    assert (one.others("cloud", path), one.others("cloud", tmp_path)) == ([], [path])


def test_no_key_is_no_error(tmp_path: Path) -> None:
    one = store(tmp_path, host=True)
    assert (one.find("cloud"), one.read("cloud"), one.others("cloud", tmp_path)) == (None, None, [])
