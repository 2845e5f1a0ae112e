"""The plan of one run as it stands: what a planner answers is added to it, and after a failure a planner is asked anew.

Invariant: the plan only grows, and each growth is committed with the event that tells it before anything of it runs;
what is added passed every check against the run's envelope. It must not start anything.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from aaos.core.envelope import Envelope
from aaos.core.errors import AaosError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.graph import Plan, RunState, Subtask, SubtaskState
from aaos.core.ids import RunId, SubtaskId
from aaos.core.ports import AuditSink
from aaos.core.role import Role, Tier
from aaos.core.rolefile import RoleSet
from aaos.plan.drafting import Faults, Terms, drafted
from aaos.plan.offer import offer_of
from aaos.plan.planning import current, driven, is_planning, may_replan, outputs_of, replanned, summary
from aaos.plan.ports import RunStore, SubtaskEnd

Ends = Mapping[SubtaskId, SubtaskEnd]


@dataclass(frozen=True, slots=True)
class PlanningTerms:
    """What planning depends on: the roles, the tiers that are set up, and how often a failed plan is planned anew."""

    roles: RoleSet
    tiers: tuple[Tier, ...] = (Tier.T0,)
    max_replans: int = 2


class GrowingPlan:
    """The plan of `run`, which begins as `plan`. Raises NotFoundError for a role that is not installed."""

    def __init__(
        self, run: RunId, goal: str, plan: Plan, *, envelope: Envelope, terms: PlanningTerms, runs: RunStore,
        audit: AuditSink,
    ) -> None:  # fmt: skip
        self._run = run
        self._goal = goal
        self._envelope = envelope
        self._terms = terms
        self._runs = runs
        self._audit = audit
        self._roles = {subtask.id: self._driven(subtask) for subtask in plan.subtasks}
        self.now = plan

    @property
    def current(self) -> tuple[Subtask, ...]:
        """The subtasks that count for the end of the run."""
        return current(self.now)

    @property
    def state(self) -> RunState:
        """What the run does: it is planned, or carried out."""
        return RunState.PLANNING if is_planning(self.current[0]) else RunState.RUNNING

    def role(self, subtask: SubtaskId) -> Role:
        """The role of a subtask, on the step of its ladder that the plan chose."""
        return self._roles[subtask]

    def drafted(self, answer: str, *, by: SubtaskId, ends: Ends) -> Plan | Faults:
        """The plan with what a planner answered, or what is wrong with that, which is told."""
        further = drafted(answer, self.now, self._draft_terms(ends))
        if isinstance(further, Plan):
            return further
        for fault in further:
            self._record(EventKind.PLAN_REFUSED, _told(fault), by)
        return further

    def adopt(self, plan: Plan) -> None:
        """What was drafted becomes the plan; within a step of the store, since it belongs to the planner's end."""
        added = plan.subtasks[len(self.now.subtasks) :]
        fields: dict[str, Scalar] = {"shape": plan.shape, "subtasks": len(added), "plan": summary(added)}
        self._record(EventKind.RUN_PLANNED, fields)
        self._grow(plan, added)

    def replan(self, failed: SubtaskId, error: AaosError, *, ends: Ends) -> bool:
        """Asks a planner for the rest, where a model made the plan and another may get round the failure."""
        if not may_replan(self.now, error, max_replans=self._terms.max_replans):
            return False
        plan = replanned(self.now, self._draft_terms(ends), ends=ends)
        with self._runs.step():
            self._record(EventKind.RUN_REPLANNED, {"failed": failed, **_told(error)}, None)
            self._grow(plan, plan.subtasks[-1:])
        return True

    def _grow(self, plan: Plan, added: tuple[Subtask, ...]) -> None:
        self._runs.extend_plan(self._run, plan)
        self.now = plan
        self._roles |= {subtask.id: self._driven(subtask) for subtask in added}
        self._runs.set_state(self._run, self.state)

    def _driven(self, subtask: Subtask) -> Role:
        return driven(self._terms.roles.get(subtask.role), subtask.tier)

    def _draft_terms(self, ends: Ends) -> Terms:
        now_s, roles = time.time(), self._terms.roles
        return Terms(
            goal=self._goal,
            offer=offer_of(roles, tiers=self._terms.tiers, envelope=self._envelope, now_s=now_s),
            envelope=self._envelope,
            completed=frozenset(one.id for one in self.now.subtasks if _is_of_use(one, ends)),
            outputs=outputs_of(self.now),
            now_s=now_s,
        )

    def _record(self, kind: EventKind, fields: Mapping[str, Scalar], subtask: SubtaskId | None = None) -> None:
        self._audit.record(Event(kind, self._run, subtask, None, fields))


def _is_of_use(subtask: Subtask, ends: Ends) -> bool:
    """Whether it has a result that a later plan may use."""
    return not is_planning(subtask) and subtask.id in ends and ends[subtask.id].state is SubtaskState.COMPLETED


def _told(error: AaosError) -> dict[str, Scalar]:
    return {"code": error.code, "message": error.message[:500], "remedy": error.remedy[:500]}
