"""Executes a plan: independent subtasks side by side, through the Spawner, each step committed before it is taken.

A planning subtask makes the plan grow by what its model answered, and a failure in such a plan is planned around within
bounds (RUN-4).

Invariant: every subtask ends in exactly one final state; none starts before its inputs completed; never more than
`max_parallel` agents at once; when `execute` returns or is cancelled nothing of the run is left running, and its row is
final. It decides nothing about permissions and looks at no result: what counts is the outcome and observed evidence.
"""

import asyncio
import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aaos.agent.pause import Pauses
from aaos.core.envelope import Envelope
from aaos.core.errors import (
    AaosError,
    CancelledError,
    ContractError,
    LimitError,
    PlanError,
)
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.graph import Plan, RunState, Subtask, SubtaskState, causes, ready
from aaos.core.ids import AgentId, RunId, SubtaskId, new_agent_id
from aaos.core.ports import AgentOutcome, AgentTask, AuditSink, Spawner
from aaos.core.role import Role, expand
from aaos.core.text import clip
from aaos.plan.failures import first_cause, is_worth_retry
from aaos.plan.growing import GrowingPlan, PlanningTerms
from aaos.plan.planning import is_planning, refusal, repaired
from aaos.plan.ports import RunOutcome, RunStore, SubtaskEnd, Underway

MAX_RESULT_BYTES = 262_144
MAX_MESSAGE = 500

_LOST = (SubtaskState.FAILED, SubtaskState.SKIPPED, SubtaskState.CANCELLED)


@dataclass(frozen=True, slots=True)
class RunOrder:
    """A run as it is handed over. `wall_s` is what is left of its time, None for all of the envelope's.

    When it is resumed, for the `resumes`-th time in a row, `ends` are the subtasks that had ended before and `underway`
    those that had begun; whether it was paused, and which of its agents were, stays as it was.
    """

    run: RunId
    goal: str
    plan: Plan
    envelope: Envelope
    program: bytes | None = None
    ends: Mapping[SubtaskId, SubtaskEnd] = field(default_factory=dict)
    underway: Mapping[SubtaskId, Underway] = field(default_factory=dict)
    wall_s: float | None = None
    resumes: int = 0
    is_paused: bool = False
    paused: frozenset[AgentId] = frozenset()


class Executor:
    """Executes runs; holds nothing of any of them."""

    def __init__(
        self, spawner: Spawner, *, runs: RunStore, audit: AuditSink, terms: PlanningTerms, pauses: Pauses
    ) -> None:
        self._pauses = pauses
        self._spawner = spawner
        self._runs = runs
        self._audit = audit
        self._terms = terms
        self._suspended: set[RunId] = set()

    def suspend(self, run: RunId) -> None:
        """When the run is cancelled now, its rows stay as they are, for the next daemon to resume it."""
        self._suspended.add(run)

    async def execute(self, order: RunOrder) -> RunOutcome:
        """Run the plan to its end; failures are in the outcome.

        Cancelling it stops every agent and ends the run as cancelled, unless it was suspended before; then it raises
        asyncio.CancelledError.

        Raises:
            StorageError: a state could not be written; nothing further was done.
        """
        plan = GrowingPlan(
            order.run, order.goal, order.plan, envelope=order.envelope, terms=self._terms, runs=self._runs,
            audit=self._audit,
        )  # fmt: skip
        execution = _Execution(
            order, plan, spawner=self._spawner, runs=self._runs, audit=self._audit, pauses=self._pauses
        )
        try:
            return await execution.run(lambda: order.run in self._suspended)
        finally:
            self._suspended.discard(order.run)


class _Execution:
    """One run on its way."""

    def __init__(
        self, order: RunOrder, plan: GrowingPlan, *, spawner: Spawner, runs: RunStore, audit: AuditSink, pauses: Pauses
    ) -> None:
        self._pauses = pauses
        self._pause = pauses.of_run(order.run)
        self._order = order
        self._plan = plan
        self._spawner = spawner
        self._runs = runs
        self._audit = audit
        self._ends: dict[SubtaskId, SubtaskEnd] = dict(order.ends)
        self._states = {name: end.state for name, end in order.ends.items()}
        self._attempts = {name: end.attempt for name, end in order.ends.items()}
        self._attempts |= {name: begun.attempt for name, begun in order.underway.items()}
        self._first_error = _failed_before(plan, order.ends)
        self._running = 0
        self._changed = asyncio.Event()
        self._is_suspended: Callable[[], bool] = lambda: False

    async def run(self, is_suspended: Callable[[], bool]) -> RunOutcome:
        self._is_suspended = is_suspended
        limits = self._order.envelope.limits
        wall_s = limits.wall_s if self._order.wall_s is None else self._order.wall_s
        with self._runs.step():
            self._runs.set_state(self._order.run, self._plan.state)
            self._record_start(limits.max_parallel, wall_s)
        try:
            async with self._pause.timeout(wall_s), asyncio.TaskGroup() as group:
                await self._schedule(group, limits.max_parallel)
        except TimeoutError:
            late = LimitError(
                f"the run took longer than its {wall_s:g} s",
                "submit it with a longer --wall, or raise limits.run_wall_s in agentd.toml",
            )
            self._record(EventKind.LIMIT_REACHED, {"limit": "wall_s", "value": wall_s})
            return self._failed(late)
        except asyncio.CancelledError:
            if not is_suspended():
                self._cancelled()
            raise
        except BaseExceptionGroup as group:
            raise first_cause(group) from group
        if self._first_error is None and all(self._is_completed(subtask.id) for subtask in self._plan.current):
            return self._completed()
        return self._failed(self._named_error())

    def _record_start(self, max_parallel: int, wall_s: float) -> None:
        order = self._order
        fields: dict[str, Scalar] = {"subtasks": len(self._plan.now.subtasks), "max_parallel": max_parallel}
        if not order.resumes:
            self._record(EventKind.RUN_STARTED, fields)
            return
        fields |= {"resumes": order.resumes, "ended": len(order.ends), "underway": len(order.underway)}
        self._record(EventKind.RUN_RESUMED, fields | {"wall_s": round(wall_s, 1)})

    async def _schedule(self, group: asyncio.TaskGroup, max_parallel: int) -> None:
        """Start what is ready, as far as there is room, each time that a subtask ended; nothing while it is paused."""
        while True:
            await self._pause.going()
            self._changed.clear()
            self._skip_lost()
            subtasks = {subtask.id: subtask for subtask in self._plan.now.subtasks}
            for subtask in ready(self._plan.now, self._states):
                if self._running >= max_parallel:
                    break
                self._states[subtask] = SubtaskState.STARTING
                self._running += 1
                group.create_task(self._subtask(subtasks[subtask]), name=f"{self._order.run}/{subtask}")
            if self._running:
                await self._changed.wait()
            elif not self._is_replanned():
                return

    def _is_replanned(self) -> bool:
        """Whether the rest is planned anew after a failure."""
        if self._first_error is None or not self._plan.replan(*self._first_error, ends=self._ends):
            return False
        self._first_error = None
        return True

    async def _subtask(self, subtask: Subtask) -> None:
        try:
            await self._attempts_of(subtask)
        except asyncio.CancelledError:
            if not self._is_suspended():
                stopped = CancelledError("the run ended before this subtask did", "submit the goal again")
                self._end(subtask.id, SubtaskState.CANCELLED, error=stopped)
            raise
        finally:
            self._running -= 1
            self._changed.set()

    # --- attempts -------------------------------------------------------------------------------------------------

    async def _attempts_of(self, subtask: Subtask) -> None:
        """Attempts until one is good, or another would be of no use."""
        role, asked, underway = self._plan.role(subtask.id), subtask, self._order.underway.get(subtask.id)
        before = underway.failures if underway else 0
        for tried in range(before, max(before, role.retry) + 1):
            begin_s = time.monotonic()
            outcome, error = await self._attempt(asked, role, underway if tried == before else None)
            if error is None and outcome is not None:
                asked, error = self._accepted(asked, outcome, begin_s)
            if error is None:
                return
            if tried >= role.retry or not is_worth_retry(error, role):
                self._first_error = self._first_error or (subtask.id, error)
                taken_s = time.monotonic() - begin_s
                self._end(subtask.id, SubtaskState.FAILED, outcome=outcome, error=error, duration_s=taken_s)
                return
            self._record(EventKind.SUBTASK_RETRIED, {"attempt": self._attempts[subtask.id], **_told(error)}, subtask.id)

    def _accepted(self, asked: Subtask, outcome: AgentOutcome, begin_s: float) -> tuple[Subtask, PlanError | None]:
        """The good end of an attempt; a plan that can't be executed is no good end, and is asked for again."""
        text = clip(outcome.text, MAX_RESULT_BYTES)[0]
        with self._runs.step():
            if is_planning(asked):
                plan = self._plan.drafted(outcome.text, by=asked.id, ends=self._ends)
                if not isinstance(plan, Plan):
                    return repaired(asked, outcome.text, plan), refusal(plan)
                self._plan.adopt(plan)
            taken_s = time.monotonic() - begin_s
            self._end(asked.id, SubtaskState.COMPLETED, outcome=outcome, text=text, duration_s=taken_s)
        return asked, None

    async def _attempt(
        self, subtask: Subtask, role: Role, underway: Underway | None
    ) -> tuple[AgentOutcome | None, AaosError | None]:
        """One attempt, committed before it begins: its outcome, if the agent came to one, and what is wrong with it."""
        task = self._begun(subtask, role, underway)
        wall_s = min(role.limits.wall_s, self._order.envelope.limits.subtask_wall_s)
        try:
            async with self._pauses.of_agent(task.run, task.agent).timeout(wall_s):
                outcome = await self._spawner.run_agent(task)
        except TimeoutError:
            remedy = f"raise limits.wall_s of role {role.name}, or limits.subtask_wall_s in agentd.toml"
            return None, LimitError(f"the subtask took longer than {wall_s} s", remedy)
        except AaosError as error:
            return None, error
        return outcome, outcome.error or self._broken_contract(task, outcome)

    def _begun(self, subtask: Subtask, role: Role, underway: Underway | None) -> AgentTask:
        """Commits that the next attempt begins, and by which agent: the one that was `underway`, or a new one."""
        order = self._order
        agent = underway.agent if underway else new_agent_id()
        attempt = self._attempts.get(subtask.id, 0) + 1
        self._attempts[subtask.id] = attempt
        is_paused = self._pauses.of_agent(order.run, agent).is_paused
        self._states[subtask.id] = state = SubtaskState.PAUSED if is_paused else SubtaskState.RUNNING
        is_resumed = underway is not None
        began_s = underway.began_s if underway else time.time()
        resumed: dict[str, Scalar] = {"resumed": True} if is_resumed else {}
        with self._runs.step():
            self._runs.set_subtask(
                order.run, subtask.id, state, attempt=attempt, agent=agent, is_resumed=is_resumed, began_s=began_s
            )
            self._record(EventKind.SUBTASK_STARTED, {"role": subtask.role, "attempt": attempt, **resumed}, subtask.id)
        return AgentTask(
            run=order.run,
            subtask=subtask.id,
            attempt=attempt,
            role=role,
            params=subtask.params,
            inputs={name: self._ends[name].text for name in subtask.inputs},
            goal=order.goal,
            envelope=order.envelope,
            program=order.program,
            agent=agent,
            began_s=began_s,
            is_resumed=is_resumed,
        )

    def _broken_contract(self, task: AgentTask, outcome: AgentOutcome) -> ContractError | None:
        """Why the role's output contract does not hold on what agentd published, or saw programs change, or None."""
        if task.role.output is None:
            return None
        sizes = {one.path: one.size_bytes for one in outcome.written} | dict(outcome.made)  # the newest of each
        for file in expand(task.role, task.params, inputs=task.inputs, now_s=time.time()).output_files:
            if not sizes.get(file):
                what = "is empty" if file in sizes else "was not written"
                self._record(EventKind.CONTRACT_BROKEN, {"path": file, "reason": what}, task.subtask)
                return ContractError(
                    f"{file} {what} by subtask {task.subtask}", f"see what it did: agentd logs {task.run}"
                )
        return None

    # --- ends -----------------------------------------------------------------------------------------------------

    def _end(
        self,
        subtask: SubtaskId,
        state: SubtaskState,
        *,
        outcome: AgentOutcome | None = None,
        text: str = "",
        error: AaosError | None = None,
        duration_s: float = 0.0,
    ) -> None:
        attempt = self._attempts.get(subtask, 0)
        agent = outcome.agent if outcome else None
        result = text if state is SubtaskState.COMPLETED else None
        timing: dict[str, Scalar] = {"duration_ms": round(duration_s * 1000, 3)} if duration_s else {}
        fields = {"attempt": attempt, **timing, **(_told(error) if error else {})}
        with self._runs.step():
            self._runs.set_subtask(
                self._order.run, subtask, state, attempt=attempt, result=result, error=error, agent=agent
            )
            self._record(EventKind(f"subtask.{state.value}"), fields, subtask)
        self._states[subtask] = state
        self._ends[subtask] = SubtaskEnd(state, text, attempt, error)

    def _skip_lost(self) -> None:
        """What waits for something that failed can never start: it ends as skipped, and says for what it waited."""
        if not any(state in _LOST for state in self._states.values()):
            return
        for subtask, cause in causes(self._plan.now, self._states).items():
            error = AaosError(f"skipped, since subtask {cause} {self._states[cause].value}", "see the failed subtask")
            self._end(subtask, SubtaskState.SKIPPED, error=error)

    def _completed(self) -> RunOutcome:
        result = self._ends[self._plan.now.final].text
        with self._runs.step():
            self._runs.set_state(self._order.run, RunState.COMPLETED, result=result)
            self._record(EventKind.RUN_COMPLETED, {"result_bytes": len(result.encode("utf-8", "replace"))})
        return RunOutcome(RunState.COMPLETED, result, None, dict(self._ends))

    def _failed(self, error: AaosError) -> RunOutcome:
        self._end_pending(error)
        partial = self._partial_result()
        kept = sum(1 for end in self._ends.values() if end.state is SubtaskState.COMPLETED)
        fields: dict[str, Scalar] = {"completed": kept, "subtasks": len(self._plan.now.subtasks), **_told(error)}
        with self._runs.step():
            self._runs.set_state(self._order.run, RunState.FAILED, result=partial or None, error=error)
            self._record(EventKind.RUN_FAILED, fields)
        return RunOutcome(RunState.FAILED, partial, error, dict(self._ends))

    def _cancelled(self) -> None:
        error = CancelledError("the run was stopped", "submit the goal again")
        self._end_pending(error)
        partial = self._partial_result()
        with self._runs.step():
            self._runs.set_state(self._order.run, RunState.CANCELLED, result=partial or None, error=error)
            self._record(EventKind.RUN_CANCELLED, _told(error))

    def _end_pending(self, error: AaosError) -> None:
        for subtask in self._plan.now.subtasks:
            if subtask.id not in self._ends:
                self._end(subtask.id, SubtaskState.CANCELLED, error=error)

    def _partial_result(self) -> str:
        """The results that no other completed subtask used, each under its name."""
        done = [one for one in self._plan.now.subtasks if self._is_completed(one.id) and not is_planning(one)]
        used = {needed for subtask in done for needed in subtask.inputs}
        parts = [f"[{one.id}]\n{self._ends[one.id].text}" for one in done if one.id not in used]
        return clip("\n\n".join(parts), MAX_RESULT_BYTES)[0]

    def _is_completed(self, subtask: SubtaskId) -> bool:
        return subtask in self._ends and self._ends[subtask].state is SubtaskState.COMPLETED

    def _named_error(self) -> AaosError:
        """The first failure, with the name of its subtask."""
        if self._first_error is None:
            lost = next(name for name, end in self._ends.items() if end.state in _LOST)
            return AaosError(f"subtask {lost} {self._ends[lost].state.value} before", "submit the goal again")
        subtask, error = self._first_error
        named = copy.copy(error)
        named.message = f"subtask {subtask}: {error.message}"
        return named

    def _record(self, kind: EventKind, fields: Mapping[str, Scalar], subtask: SubtaskId | None = None) -> None:
        self._audit.record(Event(kind, self._order.run, subtask, None, fields))


def _failed_before(plan: GrowingPlan, ends: Mapping[SubtaskId, SubtaskEnd]) -> tuple[SubtaskId, AaosError] | None:
    """The failure of a resumed run that nothing was planned around yet."""
    for subtask in plan.current:
        end = ends.get(subtask.id)
        if end is not None and end.state is SubtaskState.FAILED and end.error is not None:
            return subtask.id, end.error
    return None


def _told(error: AaosError) -> dict[str, Scalar]:
    return {"code": error.code, "message": error.message[:MAX_MESSAGE], "remedy": error.remedy[:MAX_MESSAGE]}
