"""`agentd attest`: one agent is looked at at a time, everybody else goes on, and only drift ends an agent."""

import asyncio
import threading
from collections.abc import Callable
from typing import cast

import pytest

from aaos.agent.registry import LiveAgent
from aaos.core.errors import AaosError, BusyError, ConfinementError, NotFoundError, StorageError, WorkerLostError
from aaos.core.events import EventKind
from aaos.core.ids import AgentId, RoleName, RunId, SubtaskId, Uid
from aaos.core.ports import Attestation, Session
from aaos.daemon.attesting import IN_ALL, OF_ONE, Attesting
from tests.fakes import MemoryAudit

ME, AGAIN = Uid(1000), "agentd attest a-1"


class Seen:
    """A session that can only be looked at."""

    def __init__(self, look: Callable[[], object] = lambda: None) -> None:
        self.look = look
        self.failed: list[AaosError] = []

    def attest_again(self) -> Attestation:
        self.look()
        return Attestation(AgentId("a-1"), 1, Uid(2), (), (), {}, {}, "", "", 0.0)

    def attest_cells(self) -> tuple[Attestation, ...]:
        return ()

    def fail(self, error: AaosError) -> None:
        self.failed.append(error)


def live(session: Seen | None) -> LiveAgent:
    agent = LiveAgent(AgentId("a-1"), RunId("r-1"), SubtaskId("one"), RoleName("x"), ME, 0.0)
    agent.session = cast(Session, session)
    return agent


def raising(error: AaosError) -> Callable[[], object]:
    def look() -> None:
        raise error

    return look


def test_others_have_their_turn_while_an_agent_is_looked_at() -> None:
    """ISO-9: a cell may have hundreds of processes."""
    turns = threading.Event()
    begun = threading.Event()

    def look() -> None:
        begun.set()
        assert turns.wait(10), "nobody else had a turn"

    async def run() -> object:
        looking = asyncio.ensure_future(Attesting(MemoryAudit()).attest(ME, [live(Seen(look))], again=AGAIN))
        while not begun.is_set():  # noqa: ASYNC110  # a thread tells nobody
            await asyncio.sleep(0)
        turns.set()
        return await looking

    assert len(cast(dict[str, list[object]], asyncio.run(run()))["attestations"]) == 1


def test_one_agent_is_looked_at_at_a_time_and_requests_are_bounded() -> None:
    """H-RES-11: who asks more often is told what to type."""
    attesting, working, most = Attesting(MemoryAudit()), 0, 0
    go_on = threading.Event()

    def look() -> None:
        nonlocal working, most
        working += 1
        most = max(most, working)
        assert go_on.wait(10)
        working -= 1

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(IN_ALL // OF_ONE):
                for _ in range(OF_ONE):
                    group.create_task(attesting.attest(Uid(number + 1), [live(Seen(look))], again=AGAIN))
            await asyncio.sleep(0)
            for uid in (Uid(1), Uid(99)):
                with pytest.raises(BusyError) as busy:
                    await attesting.attest(uid, [live(Seen())], again=AGAIN)
                assert busy.value.remedy == f"when one of them has ended: {AGAIN}"
            go_on.set()
        await attesting.attest(ME, [live(Seen())], again=AGAIN)

    asyncio.run(run())
    assert most == 1


def test_drift_ends_the_agent_and_is_on_record() -> None:
    """ISO-9"""
    audit, drifted = MemoryAudit(), ConfinementError("open files is 9/9", "run agentd doctor")
    session = Seen(raising(drifted))
    with pytest.raises(ConfinementError):
        asyncio.run(Attesting(audit).attest(ME, [live(session)], again=AGAIN))
    assert session.failed == [drifted]
    assert [event.fields for event in audit.of(EventKind.AGENT_DRIFTED)] == [{"message": "open files is 9/9"}]
    assert audit.of(EventKind.ATTESTED) == []


def test_drift_counts_also_when_who_asked_has_gone() -> None:
    """ISO-9: a client that hangs up cancels its request; what the look in the thread has seen then is not lost."""
    audit, drifted = MemoryAudit(), ConfinementError("open files is 9/9", "run agentd doctor")
    begun, gone = threading.Event(), threading.Event()

    def look() -> None:
        begun.set()
        assert gone.wait(10)
        raise drifted

    async def run() -> None:
        looking = asyncio.ensure_future(Attesting(audit).attest(ME, [live(session)], again=AGAIN))
        while not begun.is_set():  # noqa: ASYNC110  # a thread tells nobody
            await asyncio.sleep(0)
        looking.cancel()
        await asyncio.sleep(0)
        gone.set()
        with pytest.raises(asyncio.CancelledError):
            await looking

    session = Seen(look)
    asyncio.run(run())
    assert session.failed == [drifted]
    assert len(audit.of(EventKind.AGENT_DRIFTED)) == 1


def test_an_agent_is_ended_also_when_its_drift_cannot_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """ISO-9, H-DUR-04"""
    audit, drifted = MemoryAudit(), ConfinementError("open files is 9/9", "run agentd doctor")
    session = Seen(raising(drifted))

    def full(event: object) -> None:
        raise StorageError("the disk is full", "make room")

    monkeypatch.setattr(audit, "record", full)
    with pytest.raises(ConfinementError):
        asyncio.run(Attesting(audit).attest(ME, [live(session)], again=AGAIN))
    assert session.failed == [drifted]


def test_of_several_agents_those_that_ended_meanwhile_are_left_out() -> None:
    audit = MemoryAudit()
    ended = Seen(raising(WorkerLostError("the worker ended while it was inspected", "try again")))
    found = asyncio.run(Attesting(audit).attest(ME, [live(ended), live(Seen())], again=AGAIN))
    assert len(cast(dict[str, list[object]], found)["attestations"]) == 1
    assert ended.failed == []
    assert len(audit.of(EventKind.ATTESTED)) == 1
    with pytest.raises(WorkerLostError):
        asyncio.run(Attesting(audit).attest(ME, [live(ended)], again=AGAIN))
    assert audit.of(EventKind.AGENT_DRIFTED) == []


def test_an_agent_without_a_worker_yet_is_told_so() -> None:
    with pytest.raises(NotFoundError, match="no worker yet"):
        asyncio.run(Attesting(MemoryAudit()).attest(ME, [live(None)], again=AGAIN))
