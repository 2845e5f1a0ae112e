"""Runs that run now: bounded, stopped, always ended in their row."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from aaos.core.errors import AaosError, BusyError, ConflictError, LimitError, StorageError
from aaos.core.events import Event, EventKind, Recorded
from aaos.core.graph import RunState
from aaos.core.ids import Gid, RunId, Uid
from aaos.daemon.runs import LiveRuns
from aaos.store.runs import RunRow, Runs

RUN = RunId("r-1")
ALICE, BOB = Uid(1000), Uid(1001)


class Rows:
    """The run's row."""

    def __init__(self) -> None:
        self.state = RunState.RUNNING
        self.error: AaosError | None = None
        self.full: StorageError | None = None

    def get(self, run: RunId) -> RunRow:
        return RunRow(run, Uid(1), Gid(1), "g", "{}", None, self.state, 0.0)

    def set_state(
        self, run: RunId, state: RunState, *, result: str | None = None, error: AaosError | None = None
    ) -> None:
        assert (run, result) == (RUN, None)
        if self.full:
            raise self.full
        self.state, self.error = state, error


class Audit:
    """Keeps events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event) -> Recorded:
        self.events.append(event)
        return Recorded(len(self.events), 0.0, event)


Check = Callable[[LiveRuns, Rows, Audit], Awaitable[None]]


def with_runs(check: Check, *, max_runs: int = 2) -> None:
    async def run() -> None:
        rows, audit = Rows(), Audit()
        live = LiveRuns(cast("Runs", rows), audit, max_runs=max_runs)  # a fake with the two methods that are used
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            live.open(group)
            await check(live, rows, audit)
            await live.close()

    asyncio.run(run())


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_stopped_run_is_cancelled_in_its_row() -> None:
    """H-DUR-16: stopping twice is stopping once."""

    async def check(live: LiveRuns, rows: Rows, audit: Audit) -> None:
        live.start(RUN, ALICE, forever)
        await asyncio.sleep(0)
        await live.stop(RUN)
        await live.stop(RUN)
        assert rows.state is RunState.CANCELLED
        assert [event.kind for event in audit.events] == [EventKind.RUN_CANCELLED]
        assert RUN not in live

    with_runs(check)


@pytest.mark.parametrize("error", [LimitError("too long", "less"), ZeroDivisionError("inside")])
def test_an_error_ends_the_row_and_nothing_else(error: Exception) -> None:
    async def check(live: LiveRuns, rows: Rows, audit: Audit) -> None:
        async def fail() -> None:
            raise error

        live.start(RUN, ALICE, fail)
        await asyncio.sleep(0.01)
        assert rows.state is RunState.FAILED
        assert rows.error is not None
        assert "inside" not in rows.error.message or isinstance(error, ZeroDivisionError)
        assert audit.events[0].kind is EventKind.RUN_FAILED
        assert len(live) == 0

    with_runs(check)


def test_a_row_that_is_final_stays_as_it_is() -> None:
    async def check(live: LiveRuns, rows: Rows, audit: Audit) -> None:
        async def fail() -> None:
            rows.state = RunState.COMPLETED
            raise LimitError("late", "")

        live.start(RUN, ALICE, fail)
        await asyncio.sleep(0.01)
        assert rows.state is RunState.COMPLETED
        assert audit.events == []

    with_runs(check)


def test_the_bound_of_runs_is_a_clear_busy() -> None:
    """H-RES-11"""

    async def check(live: LiveRuns, rows: Rows, audit: Audit) -> None:
        del rows, audit
        live.start(RUN, ALICE, forever)
        with pytest.raises(BusyError):
            live.start(RunId("r-2"), Uid(0), forever)

    with_runs(check, max_runs=1)


def test_one_user_cannot_keep_the_others_out() -> None:
    """H-RES-11: half of the places is the most that one user holds; root may take what is left."""

    async def check(live: LiveRuns, rows: Rows, audit: Audit) -> None:
        del rows, audit
        for number in range(2):
            live.start(RunId(f"r-alice-{number}"), ALICE, forever)
        with pytest.raises(BusyError, match="2 runs of uid 1000"):
            live.check_room(ALICE)
        live.start(RunId("r-bob"), BOB, forever)
        live.start(RunId("r-root"), Uid(0), forever)
        with pytest.raises(BusyError):
            live.check_room(Uid(0))

    with_runs(check, max_runs=4)


def test_after_close_nothing_starts_and_what_ran_is_left_to_the_next_daemon() -> None:
    """BRK-8: a clean end looks to the next start as a kill does."""

    async def check(live: LiveRuns, rows: Rows, audit: Audit) -> None:
        live.start(RUN, ALICE, forever)
        await asyncio.sleep(0)
        await live.close()
        assert (RUN in live, rows.state, audit.events) == (False, RunState.RUNNING, [])
        with pytest.raises(ConflictError):
            live.check_room(ALICE)

    with_runs(check)


def test_a_run_that_was_being_stopped_is_not_left_to_the_next_daemon() -> None:
    async def slow() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0.02)

    async def check(live: LiveRuns, rows: Rows, audit: Audit) -> None:
        del audit
        live.start(RUN, ALICE, slow)
        await asyncio.sleep(0)
        async with asyncio.TaskGroup() as group:
            group.create_task(live.stop(RUN))
            await asyncio.sleep(0.01)
            await live.close()
        assert rows.state is RunState.CANCELLED

    with_runs(check)


def test_a_resumed_run_begins_when_runs_may() -> None:
    """BRK-8: it had its place under the daemon before, so it is not counted out."""
    began: list[str] = []

    async def work() -> None:
        began.append("now")

    async def main() -> None:
        live = LiveRuns(cast("Runs", Rows()), Audit(), max_runs=0)  # a fake, as above
        live.resume(RUN, ALICE, work)
        assert RUN not in live
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            live.open(group)
            assert RUN in live
        assert began == ["now"]

    asyncio.run(main())


def test_an_end_that_a_full_disk_refused_is_written_when_there_is_space() -> None:
    """H-DUR-04"""

    async def check(live: LiveRuns, rows: Rows, audit: Audit) -> None:
        rows.full = StorageError("the disk is full", "free space")
        live.start(RUN, ALICE, forever)
        await asyncio.sleep(0)
        await live.stop(RUN)
        live.settle()
        assert (RUN in live, rows.state, audit.events) == (False, RunState.RUNNING, [])
        rows.full = None
        for _ in range(2):
            live.settle()
        assert rows.state is RunState.CANCELLED
        assert [event.kind for event in audit.events] == [EventKind.RUN_CANCELLED]

    with_runs(check)
