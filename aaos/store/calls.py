"""The ledger of tool calls: a row before a call is acted on, its outcome after.

Invariant: a call has one row and one outcome; a second outcome is refused. Rows are only added, which keeps a commit
small; but a call that an earlier daemon left without an outcome is opened again in its own row, by this daemon's epoch.
The id of a call begins with its agent's id, so an agent's calls need no index of their own.
"""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext

from aaos.core.errors import ConflictError, InputError, NotFoundError
from aaos.core.ids import AgentId, CallId, RunId
from aaos.core.ports import CallOutcome, CallRecord, CallRow, CallState, Evidence, Label, Origin
from aaos.store.database import Database
from aaos.store.levels import Row

FRESH_AGENTS = 4_096
_RECORD = "call, run, subtask, agent, turn, tool, origin, arguments, digest, calls.state, pre_hash"
_OUTCOME = "outcomes.state, result, truncated, evidence, duration_ms, post_hash, error_code, remedy, size_bytes, label"
_OPEN = """INSERT INTO calls (call, run, subtask, agent, turn, tool, origin, arguments, digest, state, pre_hash, epoch,
    opened_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_REOPEN = """UPDATE calls SET state = ?1, pre_hash = ?2, epoch = ?3, opened_s = ?4
    WHERE call = ?5 AND digest = ?6 AND epoch < ?3 AND NOT EXISTS (SELECT 1 FROM outcomes WHERE outcomes.id = calls.id)
"""
_SETTLE = """INSERT INTO outcomes (id, state, result, truncated, evidence, duration_ms, post_hash, error_code, remedy,
    size_bytes, label) SELECT id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM calls WHERE call = ?"""
_LOWER = f"UPDATE runs SET trust = '{Label.OUTSIDE}' WHERE run = ? AND trust = ''"  # noqa: S608  # a constant
_SELECT = f"SELECT {_RECORD}, epoch, {_OUTCOME} FROM calls LEFT JOIN outcomes USING (id)"  # noqa: S608  # a constant
_GET = f"{_SELECT} WHERE call = ?"
_OF_AGENT = f"{_SELECT} WHERE call > ?1 || '-' AND call < ?1 || '.' AND agent = ?1 ORDER BY id"  # '.' follows '-'
_ANY_OF_AGENT = "SELECT 1 FROM calls WHERE call > ?1 || '-' AND call < ?1 || '.' LIMIT 1"
_UNSETTLED = f"""{_SELECT} WHERE id IN (SELECT id FROM calls EXCEPT SELECT id FROM outcomes) ORDER BY id"""  # noqa: S608  # a constant
_SETTLED = "SELECT run, count(*) FROM calls JOIN outcomes USING (id) WHERE run IN ({}) GROUP BY run"

_WITHIN = nullcontext()
_Place = tuple[int, int]  # of a call among those of its agent: its turn and its index


class Calls:
    """The table `calls`; implements the `Ledger` port."""

    def __init__(self, database: Database, *, now_s: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now_s = now_s
        self._fresh: dict[AgentId, _Place] = {}  # agents of which no earlier daemon has calls, and their last call
        self._open: set[CallId] = set()  # of these, and on record
        self._rollbacks = 0  # of the database, when `_open` was right

    def step(self) -> AbstractContextManager[None]:
        """What is written in it is committed together; it costs nothing within a transaction."""
        return _WITHIN if self._database.is_in_transaction else self._database.transaction()

    def open_call(self, record: CallRecord) -> None:
        """Write a call, or open it again. Raises InputError when the id is not of its agent.

        Raises ConflictError when the id exists, unless the same call was left without an outcome by an earlier daemon.
        """
        place = _place(record)
        epoch, now_s = self._database.epoch, self._now_s()
        values = _values(record, epoch, now_s)
        if self._is_new(record.agent, place):
            require_storable(record.tool, record.arguments)
            self._fresh[record.agent] = place
            self._on_record().add(record.call)
            self._database.later(_OPEN, values)
            return
        try:
            self._database.insert(_OPEN, values)
        except ConflictError as error:
            again = (record.state, record.pre_hash, epoch, now_s, record.call, record.digest)
            if not self._database.change(_REOPEN, again):
                raise ConflictError(f"call {record.call} exists already", "look at it: agentd logs") from error

    def _is_new(self, agent: AgentId, place: _Place) -> bool:
        """Whether all calls of the agent are of this daemon, and come before: then this one cannot be there already."""
        last = self._fresh.get(agent)
        if last is not None:
            return place > last
        if self._database.rows(_ANY_OF_AGENT, (agent,)):
            return False
        if len(self._fresh) >= FRESH_AGENTS:
            del self._fresh[next(iter(self._fresh))]
        return True

    def _on_record(self) -> set[CallId]:
        """Open calls of fresh agents; none that may have been taken back, about which SQLite is to be asked."""
        if self._rollbacks != self._database.rollbacks:
            self._rollbacks = self._database.rollbacks
            self._open.clear()
        return self._open

    def permit_call(self, call: CallId) -> None:
        """A call that was held may be carried out now. Raises ConflictError when it is not held."""
        permitted = (CallState.PERMITTED, self._database.epoch, call, CallState.HELD)
        if not self._database.change("UPDATE calls SET state = ?, epoch = ? WHERE call = ? AND state = ?", permitted):
            raise ConflictError(f"call {call} is not held", "look at it: agentd logs")

    def settle_call(self, call: CallId, outcome: CallOutcome) -> None:
        """Write how a call ended. Raises NotFoundError, and ConflictError when it has an outcome."""
        o = outcome
        seen = (o.state._value_, o.result, int(o.truncated), o.evidence._value_, o.duration_ms)
        values = (*seen, o.post_hash, o.error_code, o.remedy, o.size_bytes, o.label._value_, call)
        if call in (on_record := self._on_record()):
            require_storable(o.result, o.remedy)
            self._database.later(_SETTLE, values)
            on_record.discard(call)
            return
        try:
            changed = self._database.change(_SETTLE, values)
        except ConflictError as error:
            raise ConflictError(f"call {call} has an outcome already", "look at it: agentd logs") from error
        if not changed:
            raise _no_call(call)

    def lower_trust(self, run: RunId) -> bool:
        """Write down that a run has seen content from outside; whether it had not before."""
        return bool(self._database.change(_LOWER, (run,)))

    def get(self, call: CallId) -> CallRow:
        """The call. Raises NotFoundError."""
        row = self._database.row(_GET, (call,))
        if row is None:
            raise _no_call(call)
        return _call(row)

    def of_agent(self, agent: AgentId) -> tuple[CallRow, ...]:
        """The calls of an agent in the order in which they were opened."""
        return tuple(_call(row) for row in self._database.rows(_OF_AGENT, (agent,)))

    def settled(self, runs: Collection[RunId]) -> Mapping[RunId, int]:
        """How many calls of each run have an outcome; no entry for none. Reads the whole table, once: for recovery."""
        sql = _SETTLED.format(", ".join("?" * len(runs)))
        return dict(self._database.rows(sql, tuple(runs)))

    def unsettled(self) -> tuple[CallRow, ...]:
        """The calls without an outcome, of this daemon and of earlier ones: what recovery has to decide on."""
        return tuple(_call(row) for row in self._database.rows(_UNSETTLED))


def _values(record: CallRecord, epoch: int, opened_s: float) -> tuple[str | int | float | None, ...]:
    return (
        record.call,
        record.run,
        record.subtask,
        record.agent,
        record.turn,
        record.tool,
        record.origin._value_,  # a plain str: SQLite's module looks for an adapter for anything else
        record.arguments,
        record.digest,
        record.state._value_,
        record.pre_hash,
        epoch,
        opened_s,
    )


def _place(record: CallRecord) -> _Place:
    """What its id says. Raises InputError for an id that is not of its agent."""
    agent, _, index = record.call.rpartition("-")
    agent, _, turn = agent.rpartition("-")
    if agent != record.agent or not (turn.isdecimal() and index.isdecimal()):
        raise InputError(f"call {record.call!r} is not of agent {record.agent!r}", "make its id with call_id()")
    return int(turn), int(index)


def require_storable(*texts: str) -> None:
    """Raises InputError for a text that SQLite cannot store."""
    for text in texts:
        if not text.isascii():
            _require_utf8(text)


def _require_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"a value cannot be stored: {error}", "use valid Unicode") from error


def _no_call(call: CallId) -> NotFoundError:
    return NotFoundError(f"no call {call[:80]!r}", "see the calls of a run: agentd logs RUN")


def _call(row: Row) -> CallRow:
    call, run, subtask, agent, turn, tool, origin, arguments, digest, state, pre_hash, epoch, *rest = row
    record = CallRecord(
        call, run, subtask, agent, turn, tool, Origin(origin), arguments, digest, CallState(state), pre_hash
    )
    return CallRow(record, None if rest[0] is None else _outcome(*rest), epoch)


def _outcome(
    state: str,
    result: str,
    truncated: int,
    evidence: str,
    duration_ms: float,
    post_hash: str | None,
    error_code: str | None,
    remedy: str,
    size_bytes: int | None,
    label: str,
) -> CallOutcome:
    seen = (CallState(state), result, bool(truncated), Evidence(evidence), duration_ms)
    return CallOutcome(*seen, post_hash, error_code, remedy, size_bytes, Label(label))
