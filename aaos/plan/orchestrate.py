"""How a goal is to be carried out: by a plan that code makes, by one that a model makes, or by one agent alone (RUN-1).

A goal that fits one of tier T0's shapes is planned by code, unless the operator says otherwise. Every other goal needs
a language model that is set up; without one it is refused.

Invariant: the choice is the operator's or follows from the goal's words; what a goal may touch does not depend on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from aaos.core.capability import Capability, Kind
from aaos.core.envelope import Envelope
from aaos.core.errors import InputError
from aaos.core.graph import Plan
from aaos.core.ids import RoleName
from aaos.core.role import Tier
from aaos.plan.clauses import Parsed
from aaos.plan.drafting import Terms
from aaos.plan.growing import PlanningTerms
from aaos.plan.offer import PLANNER, first_tier, model_tier, offer_of
from aaos.plan.phrases import NotUnderstoodError, parse_goal
from aaos.plan.planner import FETCHING_TOOLS, READING_TOOLS, check_within
from aaos.plan.planning import direct_plan, first_plan
from aaos.plan.shapes import ANALYZER, Places, build

WRITING_TOOLS = ("file_write", "file_edit")

Clauses = tuple[Parsed, ...]

TASK = "task"  # the parameter of roles that take structured tasks
SET_UP = "[models] in /etc/aaos/agentd.toml"


class Orchestration(StrEnum):
    """What an operator can ask for in place of the usual choice."""

    PLAN = "plan"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Asked:
    """A goal as it was submitted. `role` is to do the work; None leaves it to the plan. `outputs` are the files that
    its words ask for."""

    goal: str
    orchestration: Orchestration | None = None
    role: RoleName | None = None
    outputs: tuple[str, ...] = ()


def shape_of(asked: Asked, terms: PlanningTerms) -> Clauses | None:
    """The goal as clauses of tier T0, None when a model is to understand it.

    Raises InputError: no shape fits, and no model is set up. NotFoundError: no such role.
    """
    has_model = any(tier is not Tier.T0 for tier in terms.tiers)
    is_for_words = asked.role is not None and TASK not in terms.roles.get(asked.role).parameters
    if asked.orchestration is not None and not has_model:
        message = f"--orchestration {asked.orchestration} needs a language model, and none is set up"
        raise InputError(message, f"leave it out for a goal of a known shape, or name a model: {SET_UP}")
    if asked.orchestration is not None or (is_for_words and has_model):
        return None
    try:
        return parse_goal(asked.goal)
    except InputError as error:
        if has_model:
            return None
        if not isinstance(error, NotUnderstoodError):
            raise
        raise InputError(error.message, f"{error.remedy}; other goals take a language model: {SET_UP}") from error


def free_tools(capabilities: Iterable[Capability]) -> tuple[str, ...]:
    """The tools of a goal that no shape fits: they follow from the kinds of what it may use."""
    kinds = {capability.kind for capability in capabilities}
    writing = WRITING_TOOLS if Kind.FILE_WRITE in kinds else ()
    return (*READING_TOOLS, *writing, *(FETCHING_TOOLS if Kind.NETWORK in kinds else ()))


def plan_shaped(
    clauses: Clauses, asked: Asked, *, places: Places, envelope: Envelope, terms: PlanningTerms, now_s: float
) -> Plan:
    """Tier T0's plan, with the step of its ladder for each agent. Raises InputError, DeniedError, NotFoundError."""
    plan = build(clauses, places, analyzer=asked.role or ANALYZER)
    plan = check_within(plan, roles=terms.roles, envelope=envelope, now_s=now_s)
    tiers = {name: first_tier(terms.roles.get(name), terms.tiers) for name in {one.role for one in plan.subtasks}}
    return replace(plan, subtasks=tuple(replace(one, tier=tiers[one.role]) for one in plan.subtasks))


def plan_free(asked: Asked, *, envelope: Envelope, terms: PlanningTerms, now_s: float) -> Plan:
    """The first plan of a goal that a model is to understand. Raises InputError, DeniedError, NotFoundError."""
    offer = offer_of(terms.roles, tiers=terms.tiers, envelope=envelope, now_s=now_s)
    draft = Terms(goal=asked.goal, offer=offer, envelope=envelope, outputs=asked.outputs, now_s=now_s)
    if asked.role is not None and asked.orchestration is Orchestration.PLAN:
        raise InputError("--role and --orchestration plan: a planner chooses the roles", "leave one of them out")
    if asked.role is not None or asked.orchestration is Orchestration.DIRECT:
        plan = direct_plan(draft, asked.role)
    else:
        plan = first_plan(draft, model_tier(terms.roles.get(PLANNER), terms.tiers))
    return check_within(plan, roles=terms.roles, envelope=envelope, now_s=now_s)
