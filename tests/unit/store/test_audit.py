import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.errors import BusyError, StorageError
from aaos.core.events import Event, EventKind
from aaos.core.ids import AgentId, RunId, SubtaskId
from aaos.core.ports import AuditSink
from aaos.store.audit import MAX_SUBSCRIPTIONS, PROGRESS, SUPPRESSED_SEQ, Audit
from aaos.store.copies import Copied, Copies, Lost
from aaos.store.database import Database
from aaos.store.flood import PER_SECOND
from aaos.store.redo import Value

RUN, OTHER = RunId("r-1"), RunId("r-2")
AGENT = AgentId("a-1")
DONE = Event(EventKind.TOOL_DONE, RUN, SubtaskId("s"), AGENT, {"tool": "grep", "duration_ms": 0.5, "ok": True})
DENIED = Event(EventKind.TOOL_DENIED, RUN, SubtaskId("s"), AGENT)


class Clock:
    def __init__(self) -> None:
        self.time_s = 100.0

    def monotonic_s(self) -> float:
        return self.time_s


class Memory:
    """A copy that keeps everything, or loses it when told to."""

    name = "memory"

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.fails = False

    def write(self, batch: Sequence[Copied]) -> Lost | None:
        if self.fails:
            return Lost(self.name, len(batch), "no room")
        self.seqs.extend(copied.recorded.seq for copied in batch)
        return None

    def close(self) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def audit(database: Database, clock: Clock) -> Audit:
    return Audit(database, now_s=lambda: 7.0, monotonic_s=clock.monotonic_s)


def _fail_after(database: Database, audit: Audit, event: Event) -> None:
    with database.transaction():
        audit.record(event)
        raise RuntimeError


def test_several_are_written_together_or_not_at_all(
    audit: Audit, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUD-1"""
    assert [recorded.seq for recorded in audit.record_all([DONE, DENIED])] == [1, 2]
    assert [recorded.event for recorded in audit.query(RUN)] == [DONE, DENIED]
    write = database.later

    def full(sql: str, values: tuple[Value, ...]) -> None:
        if values[2] == EventKind.TOOL_DENIED:
            raise StorageError("no room", "make some")
        write(sql, values)

    monkeypatch.setattr(database, "later", full)
    with pytest.raises(StorageError):
        audit.record_all([DONE, DENIED])
    assert len(audit.query(RUN)) == 2


def test_an_event_is_a_row_when_record_returns(audit: Audit) -> None:
    """AUD-1"""
    sink: AuditSink = audit
    recorded = sink.record(DONE)
    assert (recorded.seq, recorded.time_s, recorded.event) == (1, 7.0, DONE)
    assert audit.query() == [recorded]


@pytest.mark.parametrize("kind", EventKind)
def test_every_kind_of_event_comes_back(audit: Audit, kind: EventKind) -> None:
    """AUD-1"""
    event = Event(kind, fields={"text": "\x1b]52;\udcff\n", "n": 1, "f": 0.5, "b": False, "none": None})
    assert audit.record(event).event == event
    assert audit.query()[0].event == event


def test_a_row_has_the_fate_of_its_transaction(audit: Audit, database: Database) -> None:
    """AUD-1: no row without the act, no act without the row."""
    audit.record(DONE)
    with pytest.raises(RuntimeError):
        _fail_after(database, audit, DONE)
    assert len(audit.query()) == 1
    assert audit.record(DONE).seq == 2


def test_readers_and_copies_hear_nothing_of_what_was_not_committed(database: Database) -> None:
    """AUD-1"""
    memory = Memory()
    copies = Copies((memory,))
    audit = Audit(database, copies)

    async def main() -> None:
        reader = audit.subscribe(RUN)
        with database.transaction():
            audit.record(DONE)
            assert not reader._wake.is_set()
        with pytest.raises(RuntimeError):
            _fail_after(database, audit, DONE)
        second = audit.record(DONE)
        assert [(await anext(reader)).seq for _ in range(2)] == [1, second.seq]
        reader.close()

    asyncio.run(main())
    assert copies.flush(10)
    assert memory.seqs == [1, 2]
    copies.close()


def test_a_query_takes_runs_kinds_and_a_limit(audit: Audit) -> None:
    for run, kind in ((RUN, EventKind.TOOL_DONE), (OTHER, EventKind.TOOL_DONE), (RUN, EventKind.TOOL_FAILED)):
        audit.record(Event(kind, run))

    def seqs(*args: object, **options: object) -> list[int]:
        return [recorded.seq for recorded in audit.query(*args, **options)]  # type: ignore[arg-type]  # as given

    assert seqs() == [1, 2, 3]
    assert seqs(RUN) == [1, 3]
    assert seqs(RUN, 1) == [3]
    assert seqs(None, 0, {EventKind.TOOL_DONE}) == [1, 2]
    assert seqs(RUN, 0, {EventKind.TOOL_DONE, EventKind.TOOL_FAILED}, limit=1) == [1]
    assert seqs(kinds=set()) == []
    assert seqs(limit=-1) == []


def test_a_flood_of_denials_is_counted_once_a_second(audit: Audit, clock: Clock) -> None:
    """H-RES-14"""
    for _ in range(3):
        for _ in range(10_000):
            audit.record(DENIED)
        clock.time_s += 1.0
    audit.tick()
    rows = audit.query()
    written = [row for row in rows if row.event.kind is EventKind.TOOL_DENIED]
    counted = [row.event for row in rows if row.event.kind is EventKind.AUDIT_SUPPRESSED]
    assert len(written) == 3 * PER_SECOND
    assert [event.fields["count"] for event in counted] == [10_000 - PER_SECOND] * 3
    assert {(event.run, event.agent, event.fields["kind"]) for event in counted} == {(RUN, AGENT, "tool.denied")}


def test_a_suppressed_event_says_so_and_reaches_nobody(audit: Audit) -> None:
    """H-RES-14"""
    results = [audit.record(DENIED).seq for _ in range(PER_SECOND + 1)]
    assert results == [*range(1, PER_SECOND + 1), SUPPRESSED_SEQ]


def test_the_last_count_is_told_at_the_end(audit: Audit) -> None:
    """H-RES-14, R17"""
    for _ in range(PER_SECOND + 5):
        audit.record(DENIED)
    audit.close()
    assert audit.query()[-1].event.fields == {"kind": "tool.denied", "count": 5}
    audit.close()
    assert len(audit.query()) == PER_SECOND + 1


def test_a_count_that_could_not_be_written_is_kept(
    audit: Audit, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-DUR-04, R17"""

    def full(sql: str, values: object) -> None:
        raise StorageError("the disk is full")

    for _ in range(PER_SECOND + 5):
        audit.record(DENIED)
    clock.time_s += 1.0
    monkeypatch.setattr(database, "later", full)
    for _ in range(2):
        with pytest.raises(StorageError, match="the disk is full"):
            audit.tick()
    monkeypatch.undo()
    audit.tick()
    counts = [row.event.fields["count"] for row in audit.query(kinds={EventKind.AUDIT_SUPPRESSED})]
    assert counts == [5]


def test_a_count_is_not_written_into_somebody_elses_transaction(audit: Audit, database: Database, clock: Clock) -> None:
    """R17: it would be lost with it."""
    for _ in range(PER_SECOND + 5):
        audit.record(DENIED)
    clock.time_s += 1.0
    with pytest.raises(RuntimeError):
        _fail_after(database, audit, DONE)
    audit.tick()
    assert [row.event.fields["count"] for row in audit.query(kinds={EventKind.AUDIT_SUPPRESSED})] == [5]


def test_what_a_copy_loses_is_an_event(database: Database, clock: Clock) -> None:
    """AUD-1"""
    memory = Memory()
    memory.fails = True
    copies = Copies((memory,))
    audit = Audit(database, copies, monotonic_s=clock.monotonic_s)
    for _ in range(3):
        audit.record(DONE)
    assert copies.flush(10)
    audit.tick()
    dropped = audit.query(kinds={EventKind.AUDIT_DROPPED})
    assert [row.event.fields for row in dropped] == [{"copy": "memory", "count": 3, "reason": "no room"}]
    copies.close()


def test_there_are_only_so_many_readers(audit: Audit) -> None:
    """H-RES-11"""

    async def main() -> None:
        readers = [audit.subscribe(RUN) for _ in range(MAX_SUBSCRIPTIONS)]
        with pytest.raises(BusyError, match="readers follow the events already"):
            audit.subscribe(RUN)
        readers[0].close()
        audit.subscribe(None)
        audit.close()
        assert [recorded async for recorded in readers[1]] == []

    asyncio.run(main())


def test_a_closed_audit_has_no_readers(audit: Audit) -> None:
    async def main() -> None:
        audit.subscribe(RUN)
        audit.close()
        assert audit._subscriptions == set()

    asyncio.run(main())


def test_a_note_is_told_and_is_no_row(audit: Audit) -> None:
    """BRK-3: what a model says as it comes is for who watches, and no part of the record."""

    async def main() -> None:
        reader = audit.subscribe(RUN)
        audit.record(DONE)
        assert (await asyncio.wait_for(anext(reader), 10)).event == DONE
        audit.note(Event(EventKind.MODEL_TEXT, RUN, fields={"text": "so far"}))
        assert (await asyncio.wait_for(anext(reader), 10)).event.fields == {"text": "so far"}
        reader.close()

    asyncio.run(main())
    assert [one.event.kind for one in audit.query()] == [EventKind.TOOL_DONE]


def test_only_events_of_progress_wait_for_the_next_commit(audit: Audit, database: Database, state_dir: Path) -> None:
    """AUD-1, RUN-8: what lets something through is on record when `record` returns; nothing is on record without what
    came before it."""

    def committed() -> int:
        with closing(sqlite3.connect(state_dir / "aaos.db")) as other:
            (count,) = other.execute("SELECT count(*) FROM events").fetchone()
        return int(count)

    async def main() -> None:
        for kind in sorted(EventKind):
            before = committed()
            audit.record(Event(kind, RUN))
            assert committed() == before + (kind not in PROGRESS), kind
            await database.durable()
            assert committed() == before + 1

    asyncio.run(main())
    assert not {kind for kind in PROGRESS if kind.startswith(("tool.", "file.", "net.", "agent.confined", "abi."))}
