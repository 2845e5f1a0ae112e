import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.events import Event, EventKind, Recorded
from aaos.core.ids import RunId
from aaos.store import subscription as module
from aaos.store.subscription import QUEUE, Subscription

RUN, OTHER = RunId("r-1"), RunId("r-2")


class Trace:
    """A database of events and its readers."""

    def __init__(self) -> None:
        self.rows: list[Recorded] = []
        self.reads = 0
        self.readers: set[Subscription] = set()

    def subscribe(self, run: RunId | None, after_seq: int = 0) -> Subscription:
        def read(seq: int, limit: int) -> list[Recorded]:
            self.reads += 1
            return [r for r in self.rows if r.seq > seq and run in (None, r.event.run)][:limit]

        reader = Subscription(run, after_seq, read=read, forget=self.readers.discard)
        self.readers.add(reader)
        return reader

    def record(self, count: int = 1, run: RunId = RUN) -> None:
        for _ in range(count):
            self.rows.append(Recorded(len(self.rows) + 1, 0.0, Event(EventKind.TOOL_DONE, run)))
            for reader in self.readers:
                reader.offer(self.rows[-1])


async def _take(reader: Subscription, count: int) -> list[int]:
    return [(await asyncio.wait_for(anext(reader), 10)).seq for _ in range(count)]


async def _is_waiting(reader: Subscription) -> bool:
    task = asyncio.ensure_future(anext(reader))
    for _ in range(5):
        await asyncio.sleep(0)
    is_waiting = not task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return is_waiting


def _in_a_loop(main: Callable[[Trace], object]) -> Trace:
    trace = Trace()

    async def run() -> None:
        result = main(trace)
        assert asyncio.iscoroutine(result)
        await result

    asyncio.run(run())
    return trace


def test_what_was_and_what_comes_is_read_in_order() -> None:
    """AUD-4"""

    async def main(trace: Trace) -> None:
        trace.record(700)
        reader = trace.subscribe(RUN, after_seq=10)
        first = await _take(reader, 300)
        trace.record(5)
        assert first + await _take(reader, 395) == list(range(11, 706))
        assert await _is_waiting(reader)
        trace.record()
        assert await _take(reader, 1) == [706]

    _in_a_loop(main)


def test_a_reader_of_a_run_gets_no_other() -> None:
    async def main(trace: Trace) -> None:
        reader = trace.subscribe(RUN)
        assert await _is_waiting(reader)
        for run in (OTHER, RUN, OTHER, RUN):
            trace.record(run=run)
        assert await _take(reader, 2) == [2, 4]
        everybody = trace.subscribe(None)
        assert await _take(everybody, 4) == [1, 2, 3, 4]

    _in_a_loop(main)


def test_a_slow_reader_costs_a_bounded_queue_and_loses_nothing() -> None:
    """H-RES-11: what did not fit is read from the database."""

    async def main(trace: Trace) -> None:
        reader = trace.subscribe(RUN)
        assert await _is_waiting(reader)
        trace.record(QUEUE)
        before = (reader.lagged, len(reader._queue))
        trace.record(5 * QUEUE)
        assert (before, reader.lagged, len(reader._queue)) == ((False, QUEUE), True, 0)
        assert await _take(reader, 6 * QUEUE) == list(range(1, 6 * QUEUE + 1))
        assert await _is_waiting(reader)

    _in_a_loop(main)


def test_a_reader_that_keeps_up_does_not_touch_the_database() -> None:
    async def main(trace: Trace) -> None:
        reader = trace.subscribe(RUN)
        assert await _is_waiting(reader)
        reads = trace.reads
        for _ in range(50):
            trace.record()
            await _take(reader, 1)
        assert trace.reads == reads

    _in_a_loop(main)


def test_a_closed_stream_ends_its_reader() -> None:
    async def main(trace: Trace) -> None:
        reader = trace.subscribe(RUN)
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        reader.close()
        reader.close()
        with pytest.raises(StopAsyncIteration):
            await waiting
        trace.record()
        assert [recorded async for recorded in reader] == []
        assert trace.readers == set()

    _in_a_loop(main)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=30))
def test_every_event_comes_once_and_in_order(steps: list[tuple[int, int]]) -> None:
    """Bursts and pauses of any size, with a queue and pages so small that all ways are taken."""

    async def main(trace: Trace) -> None:
        reader, seen = trace.subscribe(RUN), list[int]()
        for recorded, read in steps:
            trace.record(recorded)
            seen += await _take(reader, min(read, len(trace.rows) - len(seen)))
        seen += await _take(reader, len(trace.rows) - len(seen))
        assert seen == list(range(1, len(trace.rows) + 1))
        assert await _is_waiting(reader)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "QUEUE", 4)
        patch.setattr(module, "_PAGE", 3)
        _in_a_loop(main)


def test_a_note_comes_in_its_place_and_has_that_of_the_event_before_it() -> None:
    """A reader that comes back with the last `seq` it saw misses nothing."""

    async def main(trace: Trace) -> None:
        reader = trace.subscribe(RUN)
        trace.record(2)
        assert await _take(reader, 2) == [1, 2]
        reader.note(Event(EventKind.MODEL_TEXT, OTHER))
        reader.note(Event(EventKind.MODEL_TEXT, RUN))
        trace.record()
        found = [await asyncio.wait_for(anext(reader), 10) for _ in range(2)]
        assert [(one.seq, one.event.kind) for one in found] == [(2, EventKind.MODEL_TEXT), (3, EventKind.TOOL_DONE)]

    _in_a_loop(main)


def test_a_reader_that_is_behind_gets_its_events_and_no_notes() -> None:
    """H-RES-11: notes take no room from events."""

    async def main(trace: Trace) -> None:
        reader = trace.subscribe(RUN)
        reader.note(Event(EventKind.MODEL_TEXT, RUN))  # what is in the database comes first
        trace.record()
        assert await _take(reader, 1) == [1]
        for _ in range(2 * QUEUE):
            reader.note(Event(EventKind.MODEL_TEXT, RUN))
        trace.record(QUEUE // 2)
        kinds = [(await asyncio.wait_for(anext(reader), 10)).event.kind for _ in range(256 + QUEUE // 2)]
        assert kinds == [EventKind.MODEL_TEXT] * 256 + [EventKind.TOOL_DONE] * (QUEUE // 2)
        assert await _is_waiting(reader)

    _in_a_loop(main)
