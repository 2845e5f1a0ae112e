"""systemd's part of `agentd configure`, with programs that write down how they were called, and with its own."""

import shutil
from pathlib import Path

import pytest

from aaos.core.errors import AaosError, StorageError
from aaos.daemon.configure_host import Host
from aaos.llm.keys import Key

SECRET = "sk-canary-0123456789abcdef"
PROGRAM = """#!/bin/sh
{{ tr '\\0' ' ' </proc/$$/cmdline; tr '\\0' ' ' </proc/$$/environ; }} >>{seen}
{does}
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A machine that systemd runs, whose unit imports keys, and whose sealing is turning round."""
    (tmp_path / "system").mkdir()
    program(tmp_path, "systemctl", "echo 'ImportCredential=aaos-key-*'")
    program(tmp_path, "creds", 'if [ "$1" = encrypt ]; then rev; else rev <"$3"; fi')
    return Host(
        credstore=tmp_path / "sealed",
        plain_credstore=tmp_path / "plain",
        systemd=tmp_path / "system",
        creds=tmp_path / "creds",
        systemctl=tmp_path / "systemctl",
    )


def program(place: Path, name: str, does: str) -> None:
    (place / name).write_text(PROGRAM.format(seen=place / "seen", does=does))
    (place / name).chmod(0o755)


def test_a_sealed_key_comes_back_and_passes_through_pipes_only(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LLM-6, H-SEC-01: not in a child's arguments, nor in its environment, where the operator's variable is not."""
    monkeypatch.setenv("THE_KEY", SECRET)
    assert host.may_seal()
    sealed = host.seal(Key("cloud", SECRET))
    assert sealed is not None
    assert SECRET.encode() not in sealed
    host.sealed("cloud").parent.mkdir()
    host.sealed("cloud").write_bytes(sealed)
    opened = host.unseal("cloud")
    assert opened is not None
    assert opened.reveal() == SECRET
    seen = (tmp_path / "seen").read_text()
    assert "encrypt --with-key=host --name=aaos-key-cloud - -" in seen
    assert SECRET not in seen
    assert "THE_KEY" not in seen


@pytest.mark.parametrize(
    "missing", ["system", "creds", "systemctl", "unit"], ids=["no systemd", "no creds", "no systemctl", "old unit"]
)
def test_a_machine_that_could_not_load_it_does_not_seal(host: Host, tmp_path: Path, missing: str) -> None:
    """A systemd before 254 knows no ImportCredential=, and a unit of one's own may lack it."""
    if missing == "unit":
        program(tmp_path, "systemctl", "echo ImportCredential=")
    elif missing == "system":
        (tmp_path / missing).rmdir()
    else:
        (tmp_path / missing).unlink()
    assert not host.may_seal()


def test_what_cannot_be_sealed_or_opened_is_told(host: Host, tmp_path: Path) -> None:
    program(tmp_path, "creds", f"cat; echo {SECRET} >&2; exit 1")
    assert host.seal(Key("cloud", SECRET)) is None
    assert host.unseal("cloud") is None
    host.sealed("cloud").parent.mkdir()
    host.sealed("cloud").write_bytes(b"x")
    with pytest.raises(StorageError) as caught:
        host.unseal("cloud")
    assert "sudo agentd configure" in caught.value.remedy


def test_the_daemon_is_started_again_if_it_runs(host: Host, tmp_path: Path) -> None:
    assert host.restart()
    assert "try-restart agentd.service" in (tmp_path / "seen").read_text()
    program(tmp_path, "systemctl", "exit 1")
    with pytest.raises(AaosError) as caught:
        host.restart()
    assert "journalctl -t agentd" in caught.value.remedy
    (tmp_path / "system").rmdir()
    assert not host.restart()


@pytest.mark.skipif(shutil.which("systemd-creds") is None, reason="systemd-creds is missing")
def test_systemd_creds_seals_and_opens_for_this_machine(tmp_path: Path) -> None:
    """LLM-6: a key that was sealed under one name does not open under another."""
    host = Host(credstore=tmp_path)
    sealed = host.seal(Key("cloud", SECRET))
    if sealed is None:
        pytest.skip("systemd-creds has no host key here")
    assert SECRET.encode() not in sealed
    for name in ("cloud", "other"):
        host.sealed(name).write_bytes(sealed)
    opened = host.unseal("cloud")
    assert opened is not None
    assert opened.reveal() == SECRET
    with pytest.raises(StorageError):
        host.unseal("other")
