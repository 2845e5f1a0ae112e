"""Keys: read from where only root reads, and shown nowhere."""

import copy
import os
import pickle
from pathlib import Path

import pytest

from aaos.core.errors import InputError, ProviderError
from aaos.llm.keys import Key, KeyPlaces, load_keys

SECRET = "sk-0123456789abcdef"
ME = os.geteuid()


@pytest.fixture
def places(tmp_path: Path) -> KeyPlaces:
    return KeyPlaces(tmp_path / "keys", owner=ME)


def write(
    places: KeyPlaces, content: bytes = SECRET.encode() + b"\n", *, mode: int = 0o600, name: str = "cloud"
) -> Path:
    path = places.directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_key_shows_formats_and_pickles_as_its_name_only() -> None:
    """H-SEC-04"""
    key = Key("cloud", SECRET)
    shown = [repr(key), str(key), f"{key}", f"{key!r:>40}", f"{[key]}", "{}".format(key), "%s %r" % (key, key)]  # noqa: UP031, UP032  # all ways of formatting
    assert all("<key cloud>" in text and SECRET not in text for text in shown)
    for send in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="<key cloud>"):
            send(key)
    assert not hasattr(key, "__dict__")
    assert key.reveal() == SECRET


def test_a_key_is_read_from_a_file_of_its_owner_alone(places: KeyPlaces) -> None:
    """LLM-6"""
    path = write(places)
    assert load_keys(["cloud", "cloud"], places).get("cloud").reveal() == SECRET
    assert places.check("cloud") == path


def test_what_systemd_handed_over_comes_first(places: KeyPlaces, tmp_path: Path) -> None:
    """LLM-6"""
    write(places, b"sk-of-the-file")
    handed = KeyPlaces(places.directory, tmp_path / "credentials", owner=ME)
    assert load_keys(["cloud"], handed).get("cloud").reveal() == "sk-of-the-file"
    (tmp_path / "credentials").mkdir()
    credential = tmp_path / "credentials" / "aaos-key-cloud"
    credential.write_text(SECRET)
    credential.chmod(0o400)
    assert load_keys(["cloud"], handed).get("cloud").reveal() == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601, 0o777])
def test_a_key_that_others_could_read_is_refused_with_the_command(places: KeyPlaces, mode: int) -> None:
    """H-SEC-01, H-SEC-10"""
    path = write(places, mode=mode)
    with pytest.raises(ProviderError) as caught:
        load_keys(["cloud"], places).get("cloud")
    assert caught.value.remedy == f"chmod 600 {path}"
    with pytest.raises(ProviderError):
        places.check("cloud")


def test_a_key_of_somebody_else_is_refused(places: KeyPlaces) -> None:
    path = write(places)
    with pytest.raises(ProviderError) as caught:
        KeyPlaces(places.directory, owner=ME + 1).check("cloud")
    assert caught.value.remedy == f"chown root: {path}"


def test_links_pipes_and_directories_are_no_keys(places: KeyPlaces) -> None:
    """H-FS-08"""
    path = write(places, name="real")
    (places.directory / "link").symlink_to(path)
    os.mkfifo(places.directory / "pipe", 0o600)
    (places.directory / "dir").mkdir(0o700)
    keys = load_keys(["link", "pipe", "dir", "none"], places)
    for name in ("link", "pipe", "dir", "none"):
        with pytest.raises(ProviderError) as caught:
            keys.get(name)
        assert caught.value.remedy == f"give key {name} with: sudo agentd configure"


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"short", b"two words here", b"line\nline-two", b"tab\there-and-there", b"\xff" * 20, b"nul\0nul\0nul",
     "schl\u00fcssel-0123".encode(), b"x" * 4097, b"header\r\nX-Evil: 1"],
)  # fmt: skip
def test_what_could_break_out_of_a_header_is_no_key_and_is_not_shown(places: KeyPlaces, content: bytes) -> None:
    """H-NET-08"""
    write(places, content)
    with pytest.raises(ProviderError, match="does not hold a key") as caught:
        load_keys(["cloud"], places).get("cloud")
    assert not content.strip() or content.decode("latin-1") not in caught.value.message


@pytest.mark.parametrize("name", ["../cloud", "a/b", "", "A", ".", "x" * 65, "a\n"])
def test_a_name_that_is_no_name_leads_nowhere(places: KeyPlaces, name: str) -> None:
    """H-FUZZ-07"""
    with pytest.raises(InputError):
        places.file(name)
    assert isinstance(load_keys([name], places).errors[name], InputError)


def test_a_key_that_was_never_asked_for_is_an_error(places: KeyPlaces) -> None:
    with pytest.raises(ProviderError, match="was not read"):
        load_keys([], places).get("cloud")
