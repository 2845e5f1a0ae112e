"""One command from its arguments to its exit status."""

import json
import re
from argparse import Namespace
from pathlib import Path

import pytest

from aaos.cli import __main__ as cli
from aaos.cli.output import Output
from aaos.cli.parser import COMMANDS
from aaos.core.errors import DeniedError, ExitCode

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_done_by_something(name: str) -> None:
    assert callable(cli.command(name))


def test_a_usage_error_has_its_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nonsense"]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("agentd: no command 'nonsense'\n  try: agentd")


def test_an_error_of_a_command_has_its_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(args: Namespace, output: Output) -> ExitCode:
        raise DeniedError("no", "ask")

    monkeypatch.setattr(cli, "command", lambda _name: refuse)
    assert cli.main(["list", "--json"]) == ExitCode.REFUSED
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "denied"


def test_ctrl_c_has_its_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(args: Namespace, output: Output) -> ExitCode:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "command", lambda _name: interrupted)
    assert cli.main(["list"]) == ExitCode.CANCELLED


def test_the_man_page_has_every_command_and_every_exit_status() -> None:
    page = (ROOT / "docs" / "agentd.1.md").read_text()
    assert [name for name in COMMANDS if f"**agentd {name}**" not in page] == []
    listed = {int(number) for number in re.findall(r"^\*\*(\d+)\*\*$", page, re.MULTILINE)}
    assert listed == set(ExitCode)
