"""What an earlier daemon left: its open calls and its unfinished runs, found by their rows and put in order.

Invariant: it reads rows, and files only to judge a call that was to write one. Each open call is settled, or left for
its agent to make again; each unfinished run ends here with its reason, or is handed on to be resumed. It must run
before the socket listens. Nothing of the machine is held over a restart: workers die with the daemon that made them.
"""

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from aaos.core.envelope import from_json
from aaos.core.errors import AaosError, LimitError, WorkerLostError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.graph import RunState, SubtaskState
from aaos.core.ids import RunId
from aaos.core.ports import AuditSink, CallOutcome, CallRecord, CallState, Evidence
from aaos.daemon.resume import Rows, order_of
from aaos.plan.executor import RunOrder
from aaos.store.runs import RunRow, SubtaskRow

MAX_RESUMES = 3  # in a row without coming any further
_NOT_DONE = "agentd stopped before the call was carried out; nothing was changed"
Judge = Callable[[CallRecord], CallOutcome | None]  # None: it was not carried out


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was put in order: the runs to be resumed, those that ended here, and how many calls were settled."""

    resumed: tuple[RunOrder, ...]
    ended: tuple[RunId, ...]
    calls: int


class Recovery:
    """One pass over the rows of earlier starts. `judge` says from the world what became of an open call, `waits`
    whether a run waits for an approval, so that it is no wonder that it comes no further."""

    def __init__(
        self,
        rows: Rows,
        *,
        audit: AuditSink,
        judge: Judge,
        waits: Callable[[RunId], bool] = lambda _: False,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._waits = waits
        self._rows = rows
        self._audit = audit
        self._judge = judge
        self._now_s = now_s

    def recover(self) -> Recovered:
        """Settle, end, hand on. Raises StorageError only."""
        resumed: list[RunOrder] = []
        ended: list[RunId] = []
        for run in self._rows.runs.unfinished():
            try:
                resumed.append(self._order(run))
            except AaosError as error:
                self._end_run(run.id, error)
                ended.append(run.id)
        calls = self._settle_calls({order.run for order in resumed})
        if calls or resumed or ended:
            fields: dict[str, Scalar] = {"calls": calls, "resumed": len(resumed), "ended": len(ended)}
            self._audit.record(Event(EventKind.STALE_CLEANED, fields=fields))
        return Recovered(tuple(resumed), tuple(ended), calls)

    def _order(self, run: RunRow) -> RunOrder:
        """What is left of a run, committed as one resume more. Raises AaosError when it cannot go on."""
        subtasks = self._rows.runs.subtasks(run.id)
        resumes = self._rows.runs.resume(run.id, progress=self._progress(subtasks))
        if resumes > MAX_RESUMES and not self._waits(run.id):
            message = f"agentd was restarted {resumes} times while this run was under way, and it came no further"
            raise WorkerLostError(message, f"see what it does: agentd logs {run.id}; then submit the goal again")
        wall_s = from_json(run.envelope).limits.wall_s
        now_s = self._now_s()
        left_s = min(wall_s, run.created_s + wall_s + run.paused_until_s(now_s) - now_s)
        if left_s <= 0:
            message = f"the {wall_s} s of the run ended while agentd did not run"
            raise LimitError(message, "submit the goal again, or with a longer --wall")
        return order_of(run, self._rows, left_s=left_s, resumes=resumes)

    def _progress(self, subtasks: Sequence[SubtaskRow]) -> str:
        """What changes with each step that will not be done again."""
        return json.dumps([self._steps(subtask) for subtask in subtasks])

    def _steps(self, subtask: SubtaskRow) -> list[int]:
        failures = max(0, subtask.attempt - subtask.resumes)
        if subtask.agent is None or subtask.state.is_final:
            return [subtask.state.is_final, failures]
        calls = self._rows.calls.of_agent(subtask.agent)
        done = sum(row.outcome is not None and row.outcome.state is CallState.DONE for row in calls)
        return [0, failures, len(self._rows.conversations.roles(subtask.agent)), done]

    def _settle_calls(self, resumed: Collection[RunId]) -> int:
        settled = 0
        for row in self._rows.calls.unsettled():
            outcome = None if row.record.state is CallState.HELD else self._judge(row.record)
            if outcome is None and row.record.run in resumed:
                continue
            with self._rows.calls.step():
                self._rows.calls.settle_call(row.record.call, outcome or _not_done())
                self._tell(row.record, outcome)
            settled += 1
        return settled

    def _tell(self, record: CallRecord, outcome: CallOutcome | None) -> None:
        if outcome is None:
            return
        fields: dict[str, Scalar] = {"call": record.call, "tool": record.tool, "evidence": Evidence.OBSERVED}
        kind = EventKind.OUTCOME_UNKNOWN
        if outcome.state is CallState.DONE:
            kind, path = EventKind.FILE_WRITTEN, json.loads(record.arguments)["path"]
            fields |= {"path": path, "sha256": outcome.post_hash, "size_bytes": outcome.size_bytes}
        else:
            fields |= {"message": outcome.result, "remedy": outcome.remedy}
        self._audit.record(Event(kind, record.run, record.subtask, record.agent, fields))

    def _end_run(self, run: RunId, error: AaosError) -> None:
        fields: dict[str, Scalar] = {"code": error.code, "message": error.message, "remedy": error.remedy}
        with self._rows.runs.step():
            for subtask in self._rows.runs.subtasks(run):
                if not subtask.state.is_final:
                    has_run = subtask.state is not SubtaskState.PENDING
                    state = SubtaskState.FAILED if has_run else SubtaskState.SKIPPED
                    self._rows.runs.set_subtask(run, subtask.id, state, attempt=subtask.attempt, error=error)
            self._rows.runs.set_state(run, RunState.FAILED, error=error)
            self._audit.record(Event(EventKind.RUN_FAILED, run, fields=fields))


def _not_done() -> CallOutcome:
    return CallOutcome(
        state=CallState.FAILED,
        result=_NOT_DONE,
        truncated=False,
        evidence=Evidence.OBSERVED,
        duration_ms=0.0,
        error_code=WorkerLostError.code,
    )
