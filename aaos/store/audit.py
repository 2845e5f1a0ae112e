"""The trace of all that happens: one row for each event, written before anybody acts on it; then readers and copies.

Invariant: the database is the truth. An event is told to readers and copies only after its commit, and never when its
transaction was rolled back; neither can delay or stop a record. A failed write is the caller's error: no row, no act.
Events of `PROGRESS` tell of what is on record elsewhere and let nothing through: they are committed with what comes
next, at the latest after `database.TRAIL_S`; all others before `record` returns.
"""

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

from aaos.core.errors import BusyError
from aaos.core.events import Event, EventKind, Recorded, Scalar
from aaos.core.ids import RunId
from aaos.store.copies import Copies
from aaos.store.database import Database
from aaos.store.eventtext import fields_to_json, recorded_from_row
from aaos.store.flood import Flood
from aaos.store.redo import Value
from aaos.store.subscription import Subscription

MAX_SUBSCRIPTIONS: Final = 256
MAX_LIMIT: Final = 10_000
SUPPRESSED_SEQ: Final = 0
PROGRESS: Final = frozenset(
    {
        EventKind.RUN_STARTED,
        EventKind.SUBTASK_STARTED,
        EventKind.SUBTASK_COMPLETED,
        EventKind.AGENT_STARTING,
        EventKind.AGENT_FINISHED,
        EventKind.AGENT_LOG,
        EventKind.TOKEN_GRANTED,
        EventKind.MODEL_REQUESTED,
        EventKind.MODEL_ANSWERED,
    }
)
_TICK_S = 1.0
_INSERT = "INSERT INTO events (seq, time_s, kind, run, subtask, agent, fields) VALUES (?, ?, ?, ?, ?, ?, ?)"
_LAST = "SELECT coalesce(max(seq), 0) FROM events"
_SELECT = "SELECT seq, time_s, kind, run, subtask, agent, fields FROM events"
_AFTER = f"{_SELECT} WHERE seq > ? ORDER BY seq LIMIT ?"
_AFTER_OF_RUN = f"{_SELECT} WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?"


class Audit:
    """Implements the `AuditSink` port. Call `tick()` once a second, so that counts are told when a flood has ended."""

    def __init__(
        self,
        database: Database,
        copies: Copies | None = None,
        *,
        now_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._copies = copies
        self._now_s = now_s
        self._monotonic_s = monotonic_s
        self._seq = 0
        self._rollbacks = -1  # of the database, when `_seq` was right
        self._flood = Flood()
        self._subscriptions: set[Subscription] = set()
        self._next_tick_s = monotonic_s() + _TICK_S

    def record(self, event: Event) -> Recorded:
        """Write the event. Of a flood, only the count is: then `seq` is `SUPPRESSED_SEQ`. Raises StorageError."""
        now_s = self._monotonic_s()
        if now_s >= self._next_tick_s and not self._database.is_in_transaction:
            self.tick()
        if not self._flood.admits(event, now_s):
            return Recorded(SUPPRESSED_SEQ, self._now_s(), event)
        return self._write(event)

    def record_all(self, events: Sequence[Event]) -> list[Recorded]:
        """Write all of these in one step, which survives a kill. Raises StorageError; then none is written."""
        with self._database.step():
            return [self.record(event) for event in events]

    def note(self, event: Event) -> None:
        """Tell those who follow the run, and nobody else: it is not recorded, and may be dropped."""
        for subscription in self._subscriptions:
            subscription.note(event)

    def tick(self) -> None:
        """Write what was counted: suppressed events, and those that copies have lost. Raises StorageError."""
        now_s = self._monotonic_s()
        self._next_tick_s = now_s + _TICK_S
        for one in self._flood.pending():
            fields: dict[str, Scalar] = {"kind": one.kind.value, "count": one.count}
            self._write(Event(EventKind.AUDIT_SUPPRESSED, run=one.run, agent=one.agent, fields=fields))
            self._flood.told(one)
        self._flood.forget_idle(now_s)
        self._record_losses(now_s)

    def subscribe(self, run: RunId | None, after_seq: int = 0) -> Subscription:
        """A reader of the events of one run, or of all, after `after_seq`. Raises BusyError when there are too many."""
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            message = f"{MAX_SUBSCRIPTIONS} readers follow the events already"
            raise BusyError(message, "end one of them, or read without following: agentd logs RUN")
        read = partial(self._page, run)
        subscription = Subscription(run, after_seq, read=read, forget=self._subscriptions.discard)
        self._subscriptions.add(subscription)
        return subscription

    def query(
        self,
        run: RunId | None = None,
        after_seq: int = 0,
        kinds: Collection[EventKind] | None = None,
        *,
        limit: int = 1000,
    ) -> list[Recorded]:
        """Events in order, at most `limit` and never more than `MAX_LIMIT`; of one run and of some kinds when given."""
        conditions = ["seq > ?"]
        values: list[Value] = [after_seq]
        if run is not None:
            conditions.append("run = ?")
            values.append(run)
        if kinds is not None:
            conditions.append(f"kind IN ({', '.join('?' * len(kinds))})")
            values.extend(kind.value for kind in kinds)
        sql = f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY seq LIMIT ?"
        return self._read(sql, (*values, max(0, min(limit, MAX_LIMIT))))

    def close(self) -> None:
        """Write the last counts, end all readers; the copies are closed by whoever made them. Raises StorageError."""
        for subscription in tuple(self._subscriptions):
            subscription.close()
        self.tick()

    def _write(self, event: Event) -> Recorded:
        if self._database.is_in_transaction:  # one statement needs no savepoint of its own
            return self._insert(event)
        is_progress = event.kind in PROGRESS
        with self._database.trailing() if is_progress else self._database.transaction():
            return self._insert(event)

    def _insert(self, event: Event) -> Recorded:
        fields, time_s = fields_to_json(event.fields), self._now_s()
        seq = self._last_seq() + 1
        self._database.later(_INSERT, (seq, time_s, event.kind._value_, event.run, event.subtask, event.agent, fields))
        self._seq = seq
        recorded = Recorded(seq, time_s, event)
        self._database.after_commit(partial(self._tell, recorded, fields))
        return recorded

    def _last_seq(self) -> int:
        """The number of the event before; asked for again when the last ones may have been taken back."""
        if self._rollbacks != self._database.rollbacks:
            ((self._seq,),) = self._database.rows(_LAST)
            self._rollbacks = self._database.rollbacks
        return self._seq

    def _tell(self, recorded: Recorded, fields: str) -> None:
        for subscription in self._subscriptions:
            subscription.offer(recorded)
        if self._copies is not None:
            self._copies.push(recorded, fields)

    def _record_losses(self, now_s: float) -> None:
        if self._copies is None:
            return
        for loss in self._copies.losses(now_s):
            fields: dict[str, Scalar] = {"copy": loss.copy, "count": loss.count, "reason": loss.reason}
            self._write(Event(EventKind.AUDIT_DROPPED, fields=fields))
            self._copies.told(loss, now_s)

    def _page(self, run: RunId | None, after_seq: int, limit: int) -> list[Recorded]:
        if run is None:
            return self._read(_AFTER, (after_seq, limit))
        return self._read(_AFTER_OF_RUN, (run, after_seq, limit))

    def _read(self, sql: str, values: tuple[Value, ...]) -> list[Recorded]:
        return [recorded_from_row(row) for row in self._database.rows(sql, values)]
