"""Commands that root runs: hardened before they begin, one status and one remedy whatever happens."""

import json

import pytest

from aaos.core.errors import DeniedError, ExitCode
from aaos.daemon import process
from aaos.daemon.root_command import make_parser, run, tell


@pytest.fixture(autouse=True)
def hardened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What has happened, in order; this process itself stays as it is."""
    done: list[str] = []
    monkeypatch.setattr(process, "harden", lambda: done.append("hardened"))
    return done


def test_nobody_looks_in_when_the_work_begins(hardened: list[str]) -> None:
    """H-SEC-05"""

    def work() -> ExitCode:
        hardened.append("works")
        return ExitCode.OK

    assert run(work, is_json=False) == ExitCode.OK
    assert hardened == ["hardened", "works"]


def test_an_error_is_a_line_a_remedy_and_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    """OPS-4"""

    def work() -> ExitCode:
        raise DeniedError("uid 7 may\x1b[2J not", "sudo it")

    assert run(work, is_json=False) == DeniedError.exit_code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[1] == "  try: sudo it"
    assert "\x1b" not in said.err
    assert run(work, is_json=True) == DeniedError.exit_code
    said = capsys.readouterr()
    assert said.err == ""
    told = json.loads(said.out)["error"]
    assert (told["remedy"], told["exit_code"]) == ("sudo it", DeniedError.exit_code)


def test_an_interruption_is_told_and_nothing_was_changed(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> ExitCode:
        raise KeyboardInterrupt

    assert run(work, is_json=False) == ExitCode.CANCELLED
    assert capsys.readouterr().err == "agentd: interrupted: nothing was changed\n"


def test_a_line_moves_nobody_s_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    tell("a\x1b[2Jb")
    assert capsys.readouterr().out.count("\n") == 1
    tell("a\rb")
    assert "\r" not in capsys.readouterr().out


def test_each_takes_other_settings_and_tells_as_json() -> None:
    args = make_parser("configure").parse_args(["--config", "/x", "--json"])
    assert (str(args.config), args.json) == ("/x", True)
    with pytest.raises(SystemExit):
        make_parser("configure").parse_args(["--js"])
