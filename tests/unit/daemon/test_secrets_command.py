"""`agentd secrets`: a value goes in by standard input and never comes out."""

import io
import json
import os
import sys
from pathlib import Path

import pytest

from aaos.broker.secrets import SecretStore
from aaos.core.errors import ExitCode
from aaos.daemon import secrets_command

VALUE = 'tok&en"0123456789'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of a daemon of its own; this process is root's and stays as it is."""
    monkeypatch.setattr("aaos.daemon.process.harden", lambda: None)
    monkeypatch.setattr(os, "geteuid", os.getuid)
    (tmp_path / "agentd.toml").write_text(f'[egress]\nsecrets_dir = "{tmp_path}/secrets.d"\n')
    return tmp_path


def said(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str, value: str = ""
) -> tuple[int, str]:
    """The exit status, and all that was shown."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(value.encode())))
    status = secrets_command.main(["--config", f"{place}/agentd.toml", *words])
    out, err = capsys.readouterr()
    assert VALUE not in out + err
    return status, out + err


def test_a_secret_is_set_listed_and_removed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """TOL-9, H-SEC-10"""
    words = ("set", "github", "--host", "API.github.com", "--header", "X-Token", "--prefix", "")
    assert said(place, monkeypatch, capsys, *words, value=f"{VALUE}\n") == (0, "github  api.github.com:443  X-Token\n")
    files = sorted((place / "secrets.d").iterdir())
    assert [(file.name, file.stat().st_mode & 0o777) for file in files] == [("github", 0o600), ("github.toml", 0o600)]
    assert (place / "secrets.d").stat().st_mode & 0o777 == 0o700
    found = SecretStore(place / "secrets.d", owner=os.getuid()).read("github")
    assert (found.key.reveal(), found.use.prefix) == (VALUE, "")

    status, shown = said(place, monkeypatch, capsys, "--json", "list")
    assert (status, json.loads(shown)) == (
        0,
        {"name": "github", "host": "api.github.com:443", "header": "X-Token", "prefix": "", "for": ""},
    )
    assert said(place, monkeypatch, capsys, "rm", "github") == (0, "github  removed\n")
    assert list((place / "secrets.d").iterdir()) == []
    assert said(place, monkeypatch, capsys, "rm", "github")[0] != 0


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("set", "github"), VALUE),
        (("set",), VALUE),
        (("set", "../x", "--host", "h.example"), VALUE),
        (("set", "github", "--host", "h.example/path"), VALUE),
        (("set", "github", "--host", "127.1"), VALUE),
        (("set", "github", "--host", "u@h.example"), VALUE),
        (("set", "github", "--host", "h.example", "--header", "Host"), VALUE),
        (("set", "github", "--host", "h.example", "--header", "X\r\nY"), VALUE),
        (("set", "github", "--host", "h.example", "--prefix", "a\r\nb"), VALUE),
        (("set", "github", "--host", "h.example"), "short"),
        (("set", "github", "--host", "h.example"), "two lines\nof a secret"),
        (("set", "github", "--host", "h.example"), ""),
        (("rm", "none"), ""),
    ],
)
def test_what_cannot_be_a_secret_is_refused_with_a_remedy(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    value: str,
) -> None:
    """H-SEC-06: no header can be broken out of."""
    status, shown = said(place, monkeypatch, capsys, *words, value=value)
    assert status != 0
    assert "try: " in shown
    assert not (place / "secrets.d" / "github").exists()


def test_a_secret_that_others_could_read_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said(place, monkeypatch, capsys, "set", "github", "--host", "h.example", value=VALUE)
    (place / "secrets.d" / "github").chmod(0o644)
    status, shown = said(place, monkeypatch, capsys, "list")
    assert status == 0
    assert "lets others read" in shown


def test_whom_it_is_for_is_said_and_changed_without_the_value(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """TOL-9: setting it anew forgets whom it was for, unless that is said again."""
    words = ("set", "github", "--host", "h.example", "--user", "root", "--user", "4000000", "--group", "root")
    assert said(place, monkeypatch, capsys, *words, value=VALUE)[1].endswith("Bearer  root 4000000 @root\n")
    assert said(place, monkeypatch, capsys, "allow", "github", "--group", "root")[1].endswith("Bearer  @root\n")
    found = SecretStore(place / "secrets.d", owner=os.getuid()).read("github")
    assert (found.key.reveal(), found.use.host, found.use.users, found.use.groups) == (
        VALUE, "h.example:443", (), ("root",),
    )  # fmt: skip
    assert said(place, monkeypatch, capsys, "allow", "github")[1].endswith("Bearer\n")
    for wrong in (("allow", "none"), ("allow", "github", "--user", "nobody-has-this"), ("allow",),
                  ("set", "github", "--host", "h.example", "--group", "nobody-has-this")):  # fmt: skip
        status, shown = said(place, monkeypatch, capsys, *wrong, value=VALUE)
        assert status != 0
        assert "try: " in shown


@pytest.mark.parametrize("value", ["", "short", "two words of it"])
def test_a_value_that_is_none_is_told_with_the_command_that_was_given(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    """TOL-9"""
    words = ("set", "github", "--host", "api.github.com", "--prefix", "Token ", "--user", "root")
    status, shown = said(place, monkeypatch, capsys, *words, value=value)
    assert status == ExitCode.USAGE
    assert "does not hold a secret, which is 8 to 4096 visible" in shown
    again = f"--config {place}/agentd.toml --host api.github.com --prefix 'Token ' --user root"
    assert shown.endswith(f"  try: sudo agentd secrets set github {again}\n")


def test_a_host_that_is_none_is_told_with_one_that_is(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = said(place, monkeypatch, capsys, "set", "x", "--host", "http://a/", value=VALUE)
    assert status == ExitCode.USAGE
    assert shown == (
        "agentd: agentd secrets set: host: 'http://a/' is no HOST[:PORT]\n  try: write it like --host api.example.com\n"
    )


def test_that_there_is_none_is_said_and_json_has_the_prefix_that_is_sent(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(place, monkeypatch, capsys, "list") == (0, "no secrets are kept\n")
    assert said(place, monkeypatch, capsys, "--json", "list") == (0, "")
    said(place, monkeypatch, capsys, "set", "github", "--host", "h.example", value=VALUE)
    assert json.loads(said(place, monkeypatch, capsys, "--json", "list")[1])["prefix"] == "Bearer "
    assert said(place, monkeypatch, capsys, "list")[1] == "github  h.example:443  Authorization  Bearer\n"
