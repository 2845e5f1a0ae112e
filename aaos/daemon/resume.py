"""A run of an earlier daemon as an order to go on with: from its rows and nothing else (BRK-8, RUN-8).

Invariant: what has ended keeps its result and is not begun again; what was under way keeps its agent, whose calls and
conversation are found by its id. It must not start anything.
"""

from dataclasses import dataclass

from aaos.core import rpc
from aaos.core.envelope import from_json
from aaos.core.errors import AaosError, StorageError
from aaos.core.graph import RunState, SubtaskState
from aaos.core.ids import SubtaskId
from aaos.plan.executor import RunOrder
from aaos.plan.ports import SubtaskEnd, Underway
from aaos.store.calls import Calls
from aaos.store.conversations import Conversations
from aaos.store.plans import plan_from_json
from aaos.store.runs import RunRow, Runs, StoredError, SubtaskRow


@dataclass(frozen=True, slots=True)
class Rows:
    """The tables that a run is in."""

    runs: Runs
    calls: Calls
    conversations: Conversations


def order_of(run: RunRow, rows: Rows, *, left_s: float, resumes: int) -> RunOrder:
    """The order. Raises StorageError when its rows cannot be read."""
    if run.plan is None:
        raise StorageError("agentd was restarted before this run had a plan", "submit the goal again")
    subtasks = rows.runs.subtasks(run.id)
    return RunOrder(
        run=run.id,
        goal=run.goal,
        plan=plan_from_json(run.plan),
        envelope=from_json(run.envelope),
        program=rows.runs.program(run.id),
        ends={subtask.id: _end(subtask) for subtask in subtasks if subtask.state.is_final},
        underway=dict(_underway(subtask, run.created_s) for subtask in subtasks if _is_underway(subtask)),
        wall_s=left_s,
        resumes=resumes,
        is_paused=run.state is RunState.PAUSED,
        paused=frozenset(one.agent for one in subtasks if one.agent and one.state is SubtaskState.PAUSED),
    )


def _end(subtask: SubtaskRow) -> SubtaskEnd:
    return SubtaskEnd(subtask.state, subtask.result or "", subtask.attempt, _error(subtask.error))


def _is_underway(subtask: SubtaskRow) -> bool:
    return not subtask.state.is_final and subtask.state is not SubtaskState.PENDING and subtask.agent is not None


def _underway(subtask: SubtaskRow, created_s: float) -> tuple[SubtaskId, Underway]:
    """Where nothing says when its agent began, it began with the run: what it was granted for a time ends no later."""
    if subtask.agent is None:
        raise StorageError(f"subtask {subtask.id} was begun by nobody", "submit the goal again")
    began_s = created_s if subtask.began_s is None else subtask.began_s
    failures = max(0, subtask.attempt - 1 - subtask.resumes)
    return subtask.id, Underway(subtask.agent, subtask.attempt, failures, began_s)


def _error(stored: StoredError | None) -> AaosError | None:
    if stored is None:
        return None
    data = {"code": stored.code, "remedy": stored.remedy}
    return rpc.Failure(rpc.AAOS_ERROR, stored.message, data).to_error()
