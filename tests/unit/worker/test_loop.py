"""The turn loop: on until the last answer, and no further than agentd lets it."""

from collections.abc import Iterable, Mapping

import pytest

from worker import abi
from worker.abi import Json
from worker.user import loop
from worker.user.client import Abi, Asked, RefusedError, Result


class Session(Abi):
    """Answers from a script; keeps what was called and how it ended."""

    def __init__(self, answers: Iterable[Mapping[str, Json] | abi.Failure], *, code: str = "") -> None:
        self.answers = list(answers)
        self.code = code
        self.called: list[Asked] = []
        self.end: tuple[str, bool] | None = None

    def complete(self) -> Mapping[str, Json]:
        answer = self.answers.pop(0)
        if isinstance(answer, abi.Failure):
            raise RefusedError(answer)
        return answer

    def call_many(self, asked: Iterable[Asked]) -> list[Result]:
        made = list(asked)
        self.called += made
        return [Result(ok=not self.code, text=f"result of {one.call}", code=self.code) for one in made]

    def finish(self, text: str, *, ok: bool = True) -> None:
        assert self.end is None
        self.end = (text, ok)


def asks(*names: str) -> Mapping[str, Json]:
    return {"text": "", "calls": [{"call": n, "tool": "echo", "args": {"text": n}} for n in names], "done": False}


LAST: Mapping[str, Json] = {"text": "the answer", "calls": [], "done": True}


def test_calls_are_passed_on_as_they_are_until_the_last_answer() -> None:
    """BRK-4"""
    session = Session([asks("c1", "c2"), asks(), asks("c3"), LAST])
    loop.run(session)
    assert session.called == [Asked("echo", {"text": name}, name) for name in ("c1", "c2", "c3")]
    assert session.end == ("the answer", True)


def test_a_refused_turn_ends_it() -> None:
    session = Session([asks("c1"), abi.Failure(3, "limit", "64 turns are used up", "submit again")])
    loop.run(session)
    assert session.end == ("64 turns are used up", False)


@pytest.mark.parametrize("code", sorted(loop.FATAL))
def test_a_limit_ends_the_turn(code: str) -> None:
    """TOL-7: after the sixth identical call no other turn follows."""
    session = Session([asks("c1"), LAST], code=code)
    loop.run(session)
    assert session.end == ("result of c1", False)


def test_an_ordinary_refusal_goes_to_the_model() -> None:
    session = Session([asks("c1"), LAST], code="denied")
    loop.run(session)
    assert session.end == ("the answer", True)
