"""The plan of a run as a graph of subtasks: its checks, the states of both, what is ready and what is lost.

Invariant: after `check_plan` every input names another subtask of the plan and no subtask waits for itself.
It must decide from values alone: no clock, no store.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from aaos.core.errors import InputError
from aaos.core.ids import RoleName, SubtaskId, check_name
from aaos.core.role import Tier
from aaos.core.text import quoted, suggestion

MAX_SUBTASKS = 256
MAX_DEPTH = 64
MAX_INPUTS = 64
MAX_PARAMS = 64
MAX_PARAM_CHARS = 65_536
MAX_PARAM_ITEMS = 256


class RunState(StrEnum):
    """The life of a run."""

    PENDING = "pending"
    PLANNING = "planning"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)


class SubtaskState(StrEnum):
    """The life of a subtask."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self is SubtaskState.COMPLETED or self in _LOST


_LOST = (SubtaskState.FAILED, SubtaskState.SKIPPED, SubtaskState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Subtask:
    """One node: a role, its parameters, and the subtasks whose results it needs. `tier` is the step of the role's
    ladder that drives it, chosen when the plan was made; None leaves it to the ladder."""

    id: SubtaskId
    role: RoleName
    params: Mapping[str, str | int | tuple[str, ...]]
    inputs: tuple[SubtaskId, ...] = ()
    tier: Tier | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph of subtasks; the result of the run is that of `final`. `shape` names how the goal was understood."""

    subtasks: tuple[Subtask, ...]
    final: SubtaskId
    shape: str


def check_plan(plan: Plan) -> None:
    """Whether the plan can be executed.

    Raises:
        InputError: no or too many subtasks, a duplicate or unknown id, a cycle (which it names), a chain too long.
    """
    if not 1 <= len(plan.subtasks) <= MAX_SUBTASKS:
        raise _wrong(f"{len(plan.subtasks)} subtasks", f"from 1 to {MAX_SUBTASKS} are possible")
    known: set[str] = set()
    for subtask in plan.subtasks:
        check_name(subtask.id, "subtask")
        check_name(subtask.role, f"subtask {subtask.id}: role")
        if subtask.id in known:
            raise _wrong(f"subtask {subtask.id} exists twice", "give each subtask its own id")
        known.add(subtask.id)
    for subtask in plan.subtasks:
        _check_inputs(subtask, known)
        _check_params(subtask)
    if plan.final not in known:
        raise _wrong(f"the final subtask {quoted(plan.final)} does not exist", suggestion(plan.final, known))
    _check_chains(plan)


def ready(plan: Plan, states: Mapping[SubtaskId, SubtaskState]) -> tuple[SubtaskId, ...]:
    """The pending subtasks whose inputs are all completed, in the order of the plan. No state means pending."""
    return tuple(
        subtask.id
        for subtask in _pending(plan, states)
        if all(states.get(needed) is SubtaskState.COMPLETED for needed in subtask.inputs)
    )


def doomed(plan: Plan, states: Mapping[SubtaskId, SubtaskState]) -> tuple[SubtaskId, ...]:
    """The pending subtasks that can never be ready, since one they need, at any distance, is failed or gone."""
    return tuple(causes(plan, states))


def causes(plan: Plan, states: Mapping[SubtaskId, SubtaskState]) -> Mapping[SubtaskId, SubtaskId]:
    """Each doomed subtask with the lost one that it waits for, in the order of the plan."""
    lost = {subtask.id: subtask.id for subtask in plan.subtasks if states.get(subtask.id) in _LOST}
    waiting = _pending(plan, states)
    grew = True
    while grew:
        grew = False
        for subtask in waiting:
            cause = next((lost[needed] for needed in subtask.inputs if needed in lost), None)
            if cause is not None and subtask.id not in lost:
                lost[subtask.id] = cause
                grew = True
    return {subtask.id: lost[subtask.id] for subtask in waiting if subtask.id in lost}


def _pending(plan: Plan, states: Mapping[SubtaskId, SubtaskState]) -> tuple[Subtask, ...]:
    return tuple(s for s in plan.subtasks if states.get(s.id, SubtaskState.PENDING) is SubtaskState.PENDING)


def _check_inputs(subtask: Subtask, known: Iterable[str]) -> None:
    if len(subtask.inputs) > MAX_INPUTS or len(set(subtask.inputs)) < len(subtask.inputs):
        raise _wrong(f"subtask {subtask.id}: an input is named twice, or more than {MAX_INPUTS} are", "name each once")
    for needed in subtask.inputs:
        if needed not in known:
            message = f"subtask {subtask.id} needs {quoted(needed)}, which does not exist"
            raise _wrong(message, suggestion(needed, known))


def _check_params(subtask: Subtask) -> None:
    if len(subtask.params) > MAX_PARAMS:
        raise _wrong(f"subtask {subtask.id}: {len(subtask.params)} parameters", f"at most {MAX_PARAMS} are possible")
    for name, value in subtask.params.items():
        items = value if isinstance(value, tuple) else (value,)
        texts = [item for item in items if isinstance(item, str)]
        if len(items) > MAX_PARAM_ITEMS or sum(map(len, texts)) > MAX_PARAM_CHARS:
            raise _wrong(
                f"subtask {subtask.id}: parameter {quoted(name)} is too long",
                f"at most {MAX_PARAM_ITEMS} items and {MAX_PARAM_CHARS} characters are possible",
            )


def _check_chains(plan: Plan) -> None:
    """Walks from the subtasks that need nothing; what is never reached is on a cycle or behind one."""
    waiting = {subtask.id: set(subtask.inputs) for subtask in plan.subtasks}
    depth = 0
    while waiting:
        free = [name for name, needs in waiting.items() if needs.isdisjoint(waiting)]
        if not free:
            raise _wrong(f"the plan has a cycle: {' -> '.join(_cycle(waiting))}", "remove one of these inputs")
        for name in free:
            del waiting[name]
        depth += 1
    if depth > MAX_DEPTH:
        raise _wrong(f"a chain of {depth} subtasks is too long", f"at most {MAX_DEPTH} in a row are possible")


def _cycle(waiting: Mapping[SubtaskId, set[SubtaskId]]) -> list[SubtaskId]:
    walked: list[SubtaskId] = []
    at = min(waiting)
    while at not in walked:
        walked.append(at)
        at = min(need for need in waiting[at] if need in waiting)
    return [*walked[walked.index(at) :], at]


def _wrong(message: str, remedy: str) -> InputError:
    return InputError(f"plan: {message}", remedy)
