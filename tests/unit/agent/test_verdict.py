"""How an agent ended: an error before all, the model's answer for a loop, the last words for a program."""

from types import SimpleNamespace
from typing import cast

import pytest

from aaos.agent.service import AgentService
from aaos.agent.turns import Turns
from aaos.agent.verdict import RESULT_BYTES, verdict
from aaos.core.errors import AaosError, LimitError, ToolError, WorkerLostError
from worker import abi

LATE = LimitError("too late", "ask for less")


def _ended(
    entry: str,
    *,
    error: AaosError | None = None,
    finish: abi.Finish | None = None,
    failure: AaosError | None = None,
    answer: str | None = None,
    turn_error: AaosError | None = None,
) -> tuple[str, AaosError | None]:
    service = cast(AgentService, SimpleNamespace(error=error, finish=finish, last_failure=failure))
    return verdict(service, cast(Turns, SimpleNamespace(answer=answer, error=turn_error)), entry=entry)


def test_an_error_is_the_end_whatever_was_answered() -> None:
    """ISO-7"""
    assert _ended("loop", error=LATE, answer="done") == ("", LATE)
    assert _ended("program", error=LATE, finish=abi.Finish(True, "done")) == ("", LATE)


def test_a_loop_ends_with_what_its_model_answered() -> None:
    """BRK-3: what the worker says is no answer."""
    said = abi.Finish(True, "invented")
    assert _ended("loop", finish=said, answer="true") == ("true", None)
    assert _ended("loop", finish=said, turn_error=LATE) == ("", LATE)
    text, error = _ended("loop", finish=said)
    assert text == ""
    assert isinstance(error, WorkerLostError)


def test_a_program_ends_with_its_own_words_cut_to_a_bound() -> None:
    assert _ended("program", finish=abi.Finish(True, "done")) == ("done", None)
    text, _ = _ended("program", finish=abi.Finish(True, "x" * (RESULT_BYTES + 1)))
    assert len(text.encode()) <= RESULT_BYTES + 200


@pytest.mark.parametrize(("entry", "failure", "said"), [
    ("program", LATE, "the program gave up: no"),
    ("scaffold:summary", LATE, "too late"),
    ("scaffold:summary", None, "no"),
])  # fmt: skip
def test_what_gave_up_says_why(entry: str, failure: AaosError | None, said: str) -> None:
    """A fixed program gave up because of a call; agentd's words for that are the better ones."""
    text, error = _ended(entry, finish=abi.Finish(False, "no"), failure=failure)
    assert text == "no"
    assert error is not None
    assert error.message == said
    assert failure is None or entry == "program" or error is failure
    assert isinstance(error, ToolError | LimitError)
