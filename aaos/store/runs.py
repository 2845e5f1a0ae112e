"""Runs and their subtasks as rows.

Invariant: a run or subtask that is final stays what it is; the same end told twice is one end. Runs of other users
cannot be told from runs that do not exist.
"""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from aaos.core.errors import AaosError, ConflictError, NotFoundError
from aaos.core.graph import Plan, RunState, SubtaskState
from aaos.core.ids import AgentId, Gid, RunId, SubtaskId, Uid
from aaos.core.ports import Label
from aaos.store.database import Database
from aaos.store.levels import Row
from aaos.store.plans import plan_from_json, plan_to_json

_ROOT = 0
_SHOWN = 5
_COLUMNS = """run, uid, gid, goal, envelope, plan, state, created_s, finished_s, result, error, resumes, progress,
    trust, paused_s, paused_at_s"""
_BEGIN = "INSERT INTO runs (run, uid, gid, goal, envelope, plan, state, created_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_GET = f"SELECT {_COLUMNS} FROM runs WHERE run = ?"  # noqa: S608  # a constant
_FIND = f"""SELECT {_COLUMNS} FROM runs
    WHERE run >= ?1 AND run < ?1 || '~' AND (?2 = 0 OR uid = ?2) ORDER BY run LIMIT ?3"""  # noqa: S608  # a constant
_LIST_ALL = f"SELECT {_COLUMNS} FROM runs ORDER BY position DESC LIMIT ?"  # noqa: S608  # a constant
_LIST_OWN = f"SELECT {_COLUMNS} FROM runs WHERE uid = ? ORDER BY position DESC LIMIT ?"  # noqa: S608  # a constant
_UNFINISHED = f"SELECT {_COLUMNS} FROM runs WHERE finished_s IS NULL ORDER BY position"  # noqa: S608  # a constant
_SET = """UPDATE runs SET state = iif(?2 IS NULL AND paused_at_s IS NOT NULL, state, ?1), finished_s = ?2, result = ?3,
    error = ?4 WHERE run = ?5 AND finished_s IS NULL"""
_PAUSE = f"""UPDATE runs SET state = '{RunState.PAUSED}', paused_at_s = ?
    WHERE run = ? AND finished_s IS NULL AND paused_at_s IS NULL"""  # noqa: S608  # a constant
_GO_ON = """UPDATE runs SET state = ?1, paused_s = paused_s + max(0, ?2 - paused_at_s), paused_at_s = NULL
    WHERE run = ?3 AND finished_s IS NULL AND paused_at_s IS NOT NULL"""
_SUBTASK_COLUMNS = "subtask, state, attempt, agent, result, error, resumes, began_s"
_SUBTASKS = f"SELECT {_SUBTASK_COLUMNS} FROM subtasks WHERE run = ? ORDER BY position"  # noqa: S608  # a constant
_SUBTASK = f"SELECT {_SUBTASK_COLUMNS} FROM subtasks WHERE run = ? AND subtask = ?"  # noqa: S608  # a constant
_ADD_SUBTASK = "INSERT INTO subtasks (run, subtask, position, state, attempt) VALUES (?, ?, ?, ?, 0)"
_SET_SUBTASK = """UPDATE subtasks SET state = ?, attempt = ?, agent = coalesce(?, agent), result = ?, error = ?,
    resumes = resumes + ?, began_s = coalesce(?, began_s) WHERE run = ? AND subtask = ?"""
_RESUME = "UPDATE runs SET resumes = iif(progress = ?1, resumes, 0) + 1, progress = ?1 WHERE run = ?2"


@dataclass(frozen=True, slots=True)
class StoredError:
    """An error as it was told to the operator."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run; `envelope` and `plan` are JSON texts, times are UTC in seconds.

    `resumes` counts how often it was taken up again since it last came further, as `progress` tells. It was paused for
    `paused_s`, and is again since `paused_at_s` unless that is None.
    """

    id: RunId
    uid: Uid
    gid: Gid
    goal: str
    envelope: str
    plan: str | None
    state: RunState
    created_s: float
    finished_s: float | None = None
    result: str | None = None
    error: StoredError | None = None
    resumes: int = 0
    progress: str = ""
    trust: Label = Label.NONE
    paused_s: float = 0.0
    paused_at_s: float | None = None

    def paused_until_s(self, now_s: float) -> float:
        """How long it was paused in all, up to now."""
        return self.paused_s + (max(0.0, now_s - self.paused_at_s) if self.paused_at_s is not None else 0.0)


@dataclass(frozen=True, slots=True)
class SubtaskRow:
    """Where a subtask stands; `attempt` counts from 1 once it was started, `agent` is that of the last attempt.

    `resumes` of the attempts went on with what the attempt before had begun; the others followed a failure. That agent
    first began at `began_s`, UTC; None when nobody did, or an agentd of an earlier version began it.
    """

    id: SubtaskId
    state: SubtaskState
    attempt: int
    agent: AgentId | None
    result: str | None
    error: StoredError | None
    resumes: int = 0
    began_s: float | None = None


class Runs:
    """The tables `runs`, `subtasks` and `programs`."""

    def __init__(self, database: Database, *, now_s: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now_s = now_s

    def create(self, run: RunRow) -> None:
        """Write a new run. Raises ConflictError when its id exists."""
        values = (run.id, run.uid, run.gid, run.goal, run.envelope, run.plan, run.state, run.created_s)
        try:
            self._database.insert(_BEGIN, values)
        except ConflictError as error:
            raise ConflictError(f"run {run.id} exists already", f"look at it: agentd status {run.id}") from error

    def set_state(
        self, run: RunId, state: RunState, *, result: str | None = None, error: AaosError | None = None
    ) -> None:
        """Move a run on; one that is paused stays so, unless it ends.

        Raises NotFoundError, and ConflictError when it ended in another way before.
        """
        finished_s = self._now_s() if state.is_final else None
        if self._database.change(_SET, (state, finished_s, result, _error_to_json(error), run)):
            return
        found = self.get(run)
        if found.state is not state:
            raise ConflictError(f"run {run} is {found.state} already", f"look at it: agentd status {run}")

    def pause(self, run: RunId) -> bool:
        """Write that a run is paused from now on; False when it is already, or has ended."""
        return bool(self._database.change(_PAUSE, (self._now_s(), run)))

    def go_on(self, run: RunId, state: RunState) -> bool:
        """Write that a run is not paused any more, and in which state; False when it is not, or has ended."""
        return bool(self._database.change(_GO_ON, (state, self._now_s(), run)))

    def get(self, run: RunId) -> RunRow:
        """The run. Raises NotFoundError."""
        row = self._database.row(_GET, (run,))
        if row is None:
            raise _no_run(run)
        return _run(row)

    def find(self, prefix: str, *, uid: Uid) -> RunRow:
        """The one run whose id begins with `prefix`, among those of `uid`; root sees all.

        Raises NotFoundError, and ConflictError when several do.
        """
        rows = self._database.rows(_FIND, (prefix, uid, _SHOWN)) if prefix.isascii() and prefix else []
        exact = [row for row in rows if row[0] == prefix]
        if len(rows) > 1 and not exact:
            names = ", ".join(row[0] for row in rows)
            raise ConflictError(f"{prefix} may be any of {names}", f"give more of it: agentd status {rows[0][0]}")
        if not rows:
            raise _no_run(prefix)
        return _run(exact[0] if exact else rows[0])

    def list(self, uid: Uid | None, limit: int) -> tuple[RunRow, ...]:
        """The newest runs of `uid`, or of everybody for None, newest first."""
        if uid is None:
            return tuple(_run(row) for row in self._database.rows(_LIST_ALL, (limit,)))
        return tuple(_run(row) for row in self._database.rows(_LIST_OWN, (uid, limit)))

    def unfinished(self) -> tuple[RunRow, ...]:
        """The runs that have not ended, oldest first."""
        return tuple(_run(row) for row in self._database.rows(_UNFINISHED))

    def add_plan(self, run: RunId, plan: Plan) -> None:
        """Write the plan and a pending row for each subtask. Raises NotFoundError, ConflictError for a second plan."""
        with self._database.transaction():
            changed = self._database.change(
                "UPDATE runs SET plan = ? WHERE run = ? AND plan IS NULL", (plan_to_json(plan), run)
            )
            if not changed:
                self.get(run)
                raise ConflictError(f"run {run} has a plan already", f"look at it: agentd status {run}")
            self._add_subtasks(run, plan, 0)

    def extend_plan(self, run: RunId, plan: Plan) -> None:
        """Put `plan`, which begins with all subtasks of the present one, in its place; further ones are pending.

        Raises NotFoundError, and ConflictError when it leaves out or changes what is there.
        """
        with self._database.transaction():
            row = self.get(run)
            before = plan_from_json(row.plan).subtasks if row.plan else ()
            if plan.subtasks[: len(before)] != before:
                raise ConflictError(f"the plan of run {run} may only grow", f"look at it: agentd status {run}")
            self._database.change("UPDATE runs SET plan = ? WHERE run = ?", (plan_to_json(plan), run))
            self._add_subtasks(run, plan, len(before))

    def _add_subtasks(self, run: RunId, plan: Plan, first: int) -> None:
        for position, subtask in enumerate(plan.subtasks[first:], first):
            self._database.insert(_ADD_SUBTASK, (run, subtask.id, position, SubtaskState.PENDING))

    def step(self) -> AbstractContextManager[None]:
        """What is written in it is committed together, or not at all."""
        return self._database.transaction()

    def keep_program(self, run: RunId, program: bytes) -> None:
        """Write the program that the run's agents are. Raises ConflictError for a second one."""
        self._database.insert("INSERT INTO programs (run, body) VALUES (?, ?)", (run, program))

    def program(self, run: RunId) -> bytes | None:
        """The program of a run, or None."""
        row = self._database.row("SELECT body FROM programs WHERE run = ?", (run,))
        return None if row is None else row[0]

    def resume(self, run: RunId, *, progress: str) -> int:
        """Write that the run is taken up again; how often it was, with this, since `progress` was another."""
        self._database.change(_RESUME, (progress, run))
        return self.get(run).resumes

    def subtasks(self, run: RunId) -> tuple[SubtaskRow, ...]:
        """The subtasks in the order of the plan; none before there is one."""
        return tuple(_subtask(row) for row in self._database.rows(_SUBTASKS, (run,)))

    def set_subtask(
        self,
        run: RunId,
        subtask: SubtaskId,
        state: SubtaskState,
        *,
        attempt: int,
        result: str | None = None,
        error: AaosError | None = None,
        agent: AgentId | None = None,
        is_resumed: bool = False,
        began_s: float | None = None,
    ) -> None:
        """Move a subtask on; without `agent` and `began_s` the last stay.

        Raises NotFoundError, and ConflictError when it is final.
        """
        with self._database.transaction():
            row = self._database.row(_SUBTASK, (run, subtask))
            if row is None:
                raise NotFoundError(f"run {run} has no subtask {subtask}", f"see: agentd status {run}")
            before = _subtask(row)
            if before.state.is_final:
                if before.state is state:
                    return
                raise ConflictError(f"subtask {subtask} of run {run} is {before.state} already", "leave it as it is")
            values = (state, attempt, agent, result, _error_to_json(error), is_resumed, began_s, run, subtask)
            self._database.change(_SET_SUBTASK, values)


def _no_run(run: str) -> NotFoundError:
    return NotFoundError(f"no run {run[:80]!r}", "see your runs: agentd list")


def _run(row: Row) -> RunRow:
    run, uid, gid, goal, envelope, plan, state, created_s, finished_s, result, error, *later = row
    resumes, progress, trust, paused_s, paused_at_s = later
    told = _error_from_json(error)
    begun = (run, uid, gid, goal, envelope, plan, RunState(state), created_s)
    return RunRow(*begun, finished_s, result, told, resumes, progress, Label(trust), paused_s, paused_at_s)


def _subtask(row: Row) -> SubtaskRow:
    subtask, state, attempt, agent, result, error, resumes, began_s = row
    return SubtaskRow(subtask, SubtaskState(state), attempt, agent, result, _error_from_json(error), resumes, began_s)


def _error_to_json(error: AaosError | None) -> str | None:
    return None if error is None else json.dumps(dict(error.to_wire()))


def _error_from_json(text: str | None) -> StoredError | None:
    return None if text is None else StoredError(**json.loads(text))
