"""Where calls wait: settled once, by the right digest, in time, and not too many of them."""

import asyncio
from contextlib import nullcontext
from dataclasses import replace

import pytest

from aaos.core.approval import Approval, ApprovalState, Asked, Settling
from aaos.core.errors import BusyError, ConflictError, DeniedError, LimitError
from aaos.core.events import EventKind
from aaos.core.ids import AgentId, CallId, RunId, SubtaskId, Uid
from aaos.tools import desk as desks
from aaos.tools.desk import MAX_REFUSED, MAX_WAITING, ApprovalDesk
from tests.fakes import MemoryAudit, at_once
from tests.unit.tools.approving import MemoryApprovals

YES, NO = Settling(ApprovalState.APPROVED, Uid(7), "pts/3"), Settling(ApprovalState.DENIED, Uid(7))


class Scene:
    def __init__(self, wait_s: float = 60.0) -> None:
        self.rows, self.audit, self.time_s = MemoryApprovals(), MemoryAudit(), 1_000.0
        self.desk = ApprovalDesk(
            self.rows, self.audit, step=nullcontext, durable=at_once, wait_s=wait_s, now_s=lambda: self.time_s
        )

    def ask(self, number: int = 1, content: str = "x") -> Approval:
        return self.desk.ask(asked(number, content))


def asked(number: int, content: str = "x", run: str = "r-1") -> Asked:
    call, agent = CallId(f"a-1-1-{number}"), AgentId("a-1")
    about = (call, RunId(run), SubtaskId("s"), agent, Uid(1000), "file_write", "/f")
    return Asked(*about, arguments=content, pre_hash="absent", preview="", policy="p")


def test_every_part_of_a_call_is_in_its_digest() -> None:
    """APR-2, H-API-06"""
    one = asked(1)
    others = [
        replace(one, call=CallId("a-1-1-2")), replace(one, run=RunId("r-2")), replace(one, agent=AgentId("a-2")),
        replace(one, tool="file_edit"), replace(one, arguments="y"), replace(one, policy="q"),
        replace(one, pre_hash=None),
    ]  # fmt: skip
    assert len({one.digest, *(other.digest for other in others)}) == len(others) + 1


@pytest.mark.parametrize(("first", "second"), [(YES, YES), (YES, NO), (NO, YES), (NO, NO)])
def test_it_is_settled_once(first: Settling, second: Settling) -> None:
    """H-API-06"""
    scene = Scene()
    one = scene.ask()

    async def main() -> None:
        assert (await scene.desk.settle(one, one.digest, first)).state is first.state
        with pytest.raises(ConflictError, match=f"is {first.state} already"):
            await scene.desk.settle(one, one.digest, second)

    asyncio.run(main())
    assert len(scene.audit.events) == 2
    told = scene.audit.events[1].fields
    assert (told["uid"], told["terminal"], told["digest"]) == (7, first.terminal, one.digest)


def test_two_words_at_once_are_one() -> None:
    """H-API-06: whoever is second hears of it."""
    scene = Scene()
    one = scene.ask()

    async def main() -> list[object]:
        words = (scene.desk.settle(one, one.digest, how) for how in (YES, NO, YES))
        return list(await asyncio.gather(*words, return_exceptions=True))

    results = asyncio.run(main())
    assert sum(isinstance(result, ConflictError) for result in results) == 2


def test_after_its_time_no_word_counts() -> None:
    """APR-3, H-API-06: also when nobody has noticed yet that it is over."""
    scene = Scene()
    one = scene.ask()
    scene.time_s += 60
    with pytest.raises(ConflictError, match="expired already"):
        asyncio.run(scene.desk.settle(one, one.digest, YES))
    assert scene.rows.get(one.id).state is ApprovalState.EXPIRED


def test_a_clock_that_goes_back_gives_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-DUR-08, APR-3: neither does one that stands still."""
    monkeypatch.setattr(desks, "_LOOK_S", 0.01)
    scene = Scene(wait_s=0.03)
    one = scene.ask()
    scene.time_s -= 10_000
    assert asyncio.run(scene.desk.settled(one.id)).state is ApprovalState.EXPIRED
    assert [event.kind for event in scene.audit.events][1:] == [EventKind.APPROVAL_EXPIRED]


def test_a_word_wakes_who_waits() -> None:
    scene = Scene()
    one = scene.ask()

    async def main() -> Approval:
        async with asyncio.timeout(10):
            waiting = asyncio.ensure_future(scene.desk.settled(one.id))
            await asyncio.sleep(0)
            await scene.desk.settle(one, one.digest, YES)
            return await waiting

    assert asyncio.run(main()).state is ApprovalState.APPROVED
    assert not scene.desk._bells


def test_a_storm_is_bounded() -> None:
    """H-API-09, H-RES-11: of one run; another still gets its turn."""
    scene = Scene()
    for number in range(MAX_WAITING):
        scene.ask(number, content=str(number))
    with pytest.raises(DeniedError, match="wait for approval already"):
        scene.ask(MAX_WAITING, content="one more")
    scene.desk.ask(asked(1_000, run="r-2"))


def test_all_runs_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-RES-11"""
    monkeypatch.setattr(desks, "MAX_ALL_WAITING", 2)
    scene = Scene()
    for number in range(2):
        scene.desk.ask(asked(number, run=f"r-{number}"))
    with pytest.raises(BusyError):
        scene.desk.ask(asked(9, run="r-9"))


def test_what_was_denied_is_not_asked_again_and_after_some_nothing_is() -> None:
    """H-API-09: the same call is denied at once; a run that is denied again and again is denied for good."""
    scene = Scene()

    async def main() -> None:
        for number in range(MAX_REFUSED):
            one = scene.ask(number, content=str(number))
            await scene.desk.settle(one, one.digest, NO)
            with pytest.raises(DeniedError, match="uid 7 did not approve it"):
                scene.ask(100 + number, content=str(number))

    asyncio.run(main())
    with pytest.raises(LimitError, match="nobody is asked any more"):
        scene.ask(500, content="quite another")
    assert len(scene.rows.rows) == MAX_REFUSED


def test_what_waits_for_nobody_is_withdrawn() -> None:
    """H-DUR-03: with its run, or at the start of the next daemon."""
    scene = Scene()
    kept, lost = scene.ask(), scene.desk.ask(asked(2, run="r-2"))
    scene.desk.withdraw_but({RunId("r-1")})
    assert [scene.rows.get(one.id).state for one in (kept, lost)] == [ApprovalState.WAITING, ApprovalState.WITHDRAWN]
    scene.desk.withdraw_of(RunId("r-1"))
    assert scene.rows.get(kept.id).state is ApprovalState.WITHDRAWN
    with pytest.raises(ConflictError, match="withdrawn already"):
        asyncio.run(scene.desk.settle(kept, kept.digest, YES))
