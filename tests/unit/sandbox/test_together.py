"""What agrees in one turn of the loop is written at once, and whoever waits learns whether it was."""

import asyncio
from collections.abc import Sequence

import pytest

from aaos.core.errors import StorageError
from aaos.core.events import Event, EventKind, Recorded
from aaos.core.ids import AgentId
from aaos.sandbox.together import Together


class Batches:
    """An audit that keeps its batches, or fails."""

    def __init__(self, failure: StorageError | None = None) -> None:
        self.batches: list[list[Event]] = []
        self._failure = failure

    def record(self, event: Event) -> Recorded:
        return self.record_all([event])[0]

    def record_all(self, events: Sequence[Event]) -> list[Recorded]:
        if self._failure:
            raise self._failure
        self.batches.append(list(events))
        return [Recorded(1, 0.0, event) for event in events]


def _event(number: int) -> Event:
    return Event(EventKind.AGENT_CONFINED, agent=AgentId(f"a-{number}"))


def test_those_of_one_turn_are_one_batch_and_written_when_each_returns() -> None:
    """ISO-9"""
    audit = Batches()

    async def run() -> None:
        together = Together(audit)
        await asyncio.gather(*(together.record(_event(number)) for number in range(3)))
        await together.record(_event(3))

    asyncio.run(run())
    assert audit.batches == [[_event(0), _event(1), _event(2)], [_event(3)]]


def test_what_is_not_written_is_the_error_of_each() -> None:
    """ISO-9: no row, no session."""

    async def run() -> list[BaseException | None]:
        together = Together(Batches(StorageError("full", "make room")))
        return await asyncio.gather(*(together.record(_event(number)) for number in range(3)), return_exceptions=True)

    assert [type(outcome) for outcome in asyncio.run(run())] == [StorageError] * 3


def test_one_that_is_cancelled_does_not_disturb_the_others() -> None:
    """R1"""
    audit = Batches()

    async def run() -> None:
        together = Together(audit)
        tasks = [asyncio.ensure_future(together.record(_event(number))) for number in range(2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        await tasks[1]

    asyncio.run(run())
    assert [event.agent for event in audit.batches[0]] == ["a-0", "a-1"]
