"""Planning by a model as a subtask of the run's own plan: when it completes, the plan has grown by what it answered.

A plan that a model makes reads `planning-1`, then the subtasks of its answer; after a failure `planning-2` follows with
the facts of the failure, and then the subtasks for the rest. So a plan only ever grows, every answer of a planner is
kept in the plan and its rows, and a resumed run goes on where it was.

Invariant: only the subtasks after the last planning one count for the end of the run; the number of planning subtasks
is bounded. Pure.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aaos.core.errors import (
    AaosError,
    ContractError,
    DeniedError,
    InputError,
    LimitError,
    PlanError,
    ProviderError,
    ToolError,
    WorkerLostError,
)
from aaos.core.graph import Plan, Subtask, SubtaskState
from aaos.core.ids import RoleName, SubtaskId
from aaos.core.role import Param, Role, Tier
from aaos.core.text import clip, quoted
from aaos.plan.drafting import DIRECT, GENERALIST, MODEL, OUTPUTS, PLANNING, Faults, Terms, direct
from aaos.plan.offer import PLANNER, describe, grant_lines
from aaos.plan.ports import SubtaskEnd

MAX_ANSWER_SHOWN = 16_384
MAX_FACTS = 32_768
MAX_MESSAGE = 500
MAX_SUMMARY = 4_096
MAX_PARAMS_SHOWN = 600

_CURABLE = (ContractError, DeniedError, InputError, LimitError, ProviderError, ToolError, WorkerLostError)


def is_planning(subtask: Subtask) -> bool:
    """Whether the subtask makes a plan."""
    return subtask.role == PLANNER


def current(plan: Plan) -> tuple[Subtask, ...]:
    """The subtasks that count: those after the last planning one, or the planning one that has not answered yet."""
    last = max((at for at, subtask in enumerate(plan.subtasks) if is_planning(subtask)), default=-1)
    return plan.subtasks[last + 1 :] or plan.subtasks[last:]


def outputs_of(plan: Plan) -> tuple[str, ...]:
    """The files that the goal asks for, as the planner was told."""
    asked = next((one.params.get(OUTPUTS, ()) for one in plan.subtasks if is_planning(one)), ())
    return asked if isinstance(asked, tuple) else ()


def first_plan(terms: Terms, tier: Tier | None) -> Plan:
    """The plan before there is one: somebody is to make it."""
    subtask = _planning_subtask(1, terms, tier)
    return Plan((subtask,), subtask.id, MODEL)


def direct_plan(terms: Terms, role: RoleName | None = None) -> Plan:
    """One agent does it all, a generalist unless `role` says otherwise. Raises InputError, DeniedError."""
    plan = direct(Plan((), SubtaskId(""), DIRECT), terms, role or GENERALIST)
    if not isinstance(plan, Plan):
        raise plan[0]
    return replace(plan, shape=DIRECT)


def may_replan(plan: Plan, error: AaosError, *, max_replans: int) -> bool:
    """Whether another plan may get round the failure: only where a model planned, and not when it could not plan."""
    made = sum(map(is_planning, plan.subtasks))
    return 0 < made <= max_replans and not is_planning(plan.subtasks[-1]) and isinstance(error, _CURABLE)


def replanned(plan: Plan, terms: Terms, *, ends: Mapping[SubtaskId, SubtaskEnd]) -> Plan:
    """The plan with a further planning subtask that is told what became of the plan so far."""
    planners = [subtask for subtask in plan.subtasks if is_planning(subtask)]
    subtask = _planning_subtask(len(planners) + 1, terms, planners[-1].tier, facts=facts(plan, ends))
    return Plan((*plan.subtasks, subtask), subtask.id, plan.shape)


def repaired(subtask: Subtask, answer: str, faults: Faults) -> Subtask:
    """The planning subtask as it is asked again: with its last answer and what is wrong with it."""
    wrong = json.dumps([dict(fault.to_wire()) for fault in faults], ensure_ascii=False)
    shown = clip(answer, MAX_ANSWER_SHOWN)[0]
    return replace(subtask, params={**subtask.params, "answer": shown, "faults": clip(wrong, MAX_ANSWER_SHOWN)[0]})


def refusal(faults: Faults) -> PlanError:
    """The faults as the error of a planning subtask: the first in full.

    A grant that would help is named, as what the model asks for and not as our advice.
    """
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    is_denied = isinstance(first, DeniedError)
    advice = "say the goal more exactly, or set up a larger model for role planner"
    remedy = f"{advice}; only if the goal needs it, {first.remedy}" if is_denied else advice
    return PlanError(f"the model's plan cannot be executed: {first.message}{more}", remedy)


def facts(plan: Plan, ends: Mapping[SubtaskId, SubtaskEnd]) -> str:
    """What became of each subtask, as one JSON object on each line; texts of agents are in it as data, cut short."""
    lines = [json.dumps(_fact(subtask, ends.get(subtask.id)), ensure_ascii=False) for subtask in _told(plan)]
    return clip("\n".join(lines), MAX_FACTS)[0]


def summary(subtasks: Sequence[Subtask]) -> str:
    """The subtasks for an operator's eyes: one on each line, with role and what it waits for; cut when it is long."""
    lines = "\n".join(_line(subtask) for subtask in subtasks)
    return clip(lines, MAX_SUMMARY, hint="see agentd status")[0]


def driven(role: Role, tier: Tier | None) -> Role:
    """The role on the step of its ladder that the plan chose."""
    return role if tier is None else replace(role, tiers=(tier,))


def _planning_subtask(number: int, terms: Terms, tier: Tier | None, *, facts: str = "") -> Subtask:
    params: dict[str, Param] = {
        "goal": terms.goal,
        "roles": describe(terms.offer),
        "grants": grant_lines(terms.envelope),
    }
    params |= {OUTPUTS: terms.outputs} if terms.outputs else {}
    params |= {"facts": facts} if facts else {}
    return Subtask(SubtaskId(f"{PLANNING}-{number}"), PLANNER, params, (), tier)


def _told(plan: Plan) -> tuple[Subtask, ...]:
    return tuple(subtask for subtask in plan.subtasks if not is_planning(subtask))


def _fact(subtask: Subtask, end: SubtaskEnd | None) -> dict[str, object]:
    state = end.state if end else SubtaskState.PENDING
    fact: dict[str, object] = {"subtask": subtask.id, "role": subtask.role, "state": state.value}
    fact["params"] = {name: _shown(value) for name, value in subtask.params.items()}
    fact["inputs"] = list(subtask.inputs)
    if end is not None and end.error is not None:
        fact |= {"code": end.error.code, "message": end.error.message[:MAX_MESSAGE]}
    if state is SubtaskState.COMPLETED and end is not None:
        fact["result_bytes"] = len(end.text.encode("utf-8", "replace"))
    return fact


def _shown(value: Param) -> object:
    if isinstance(value, tuple):
        return list(value) if sum(map(len, value)) <= MAX_PARAMS_SHOWN else quoted(value)
    return value if isinstance(value, int) else clip(value, MAX_PARAMS_SHOWN)[0]


def _line(subtask: Subtask) -> str:
    after = f"  after {', '.join(subtask.inputs)}" if subtask.inputs else ""
    return f"{subtask.id}  {subtask.role}{after}"
