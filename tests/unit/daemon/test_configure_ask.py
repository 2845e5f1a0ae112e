"""Questions at the terminal."""

import getpass
import io
import sys
import warnings

import pytest

from aaos.core.errors import CancelledError, InputError
from aaos.daemon.configure_ask import Console, pick


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> Console:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return Console()


def test_questions_stay_off_stdout_and_show_strange_characters_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """H-SEC-09"""
    assert pick(typed(monkeypatch, "2\n"), "model", ["a", "b\x1b[2J"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "2. b\\e[2J" in shown.err


@pytest.mark.parametrize(("text", "index"), [("\n", 0), ("0\n3\nx\n-1\n\u0662\n2\n", 1), (" 2 \n", 1)])
def test_a_number_is_asked_for_until_it_is_one(monkeypatch: pytest.MonkeyPatch, text: str, index: int) -> None:
    assert pick(typed(monkeypatch, text), "model", ["a", "b"]) == index


def test_the_end_of_input_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CancelledError, match="nothing was changed"):
        typed(monkeypatch, "").ask("which?")


def test_a_terminal_that_echoes_gets_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def fallback(*_: object, **__: object) -> str:
        warnings.warn("can not control echo", getpass.GetPassWarning, stacklevel=1)
        raise AssertionError("the key was read with echo")

    monkeypatch.setattr(getpass, "getpass", fallback)
    with pytest.raises(InputError) as caught:
        Console().ask_secret("key:")
    assert "--key-stdin" in caught.value.remedy


def test_a_key_is_asked_for_without_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda question, stream: " sk-0123456789 ")
    assert Console().ask_secret("key:") == "sk-0123456789"
