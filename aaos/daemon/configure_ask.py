"""Questions to the operator at a terminal, for what the command line of `agentd configure` leaves open.

Invariant: questions go to stderr, so that answers of the command stay alone on stdout; a key is read without echo or
not at all; the end of input ends the command before anything is changed.
"""

import getpass
import sys
import warnings
from collections.abc import Sequence
from typing import Protocol

from aaos.core.errors import CancelledError, InputError
from aaos.core.text import escape_for_terminal


class Terminal(Protocol):
    """What the operator is asked with."""

    def tell(self, text: str) -> None:
        """A line for the operator."""

    def ask(self, question: str) -> str:
        """A line of the operator's, without the space around it. Raises CancelledError at the end of input."""

    def ask_secret(self, question: str) -> str:
        """The same without echo. Raises InputError when echo cannot be switched off."""


class Console:
    """The terminal of this process."""

    def tell(self, text: str) -> None:
        """As Terminal."""
        sys.stderr.write(f"{escape_for_terminal(text)}\n")
        sys.stderr.flush()

    def ask(self, question: str) -> str:
        """As Terminal."""
        sys.stderr.write(f"{escape_for_terminal(question)} ")
        sys.stderr.flush()
        if not (line := sys.stdin.readline()):
            raise _ended()
        return line.strip()

    def ask_secret(self, question: str) -> str:
        """As Terminal."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", getpass.GetPassWarning)
                return getpass.getpass(f"{question} ", stream=sys.stderr).strip()
        except EOFError as error:
            raise _ended() from error
        except getpass.GetPassWarning as error:
            raise InputError("the terminal cannot hide what is typed", "sudo agentd configure --key-stdin") from error


def pick(terminal: Terminal, what: str, offered: Sequence[str]) -> int:
    """The index of the offered line that the operator takes by its number; the first when they just press Enter."""
    terminal.tell(f"{what}:")
    for number, line in enumerate(offered, 1):
        terminal.tell(f"  {number}. {line}")
    while True:
        answer = terminal.ask(f"{what} (1-{len(offered)}) [1]:") or "1"
        if answer.isascii() and answer.isdigit() and 1 <= int(answer[:6]) <= len(offered):
            return int(answer) - 1
        terminal.tell(f"  a number from 1 to {len(offered)}")


def _ended() -> CancelledError:
    return CancelledError("nothing was changed: the input ended", "sudo agentd configure --help")
