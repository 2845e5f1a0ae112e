"""A model's answer becomes a plan, or the list of what is wrong with it.

Invariant: whatever the text, the result is a plan that can be executed within the run's envelope, or faults; nothing is
left out, replaced or corrected on the way. What is filled in is told in the plan itself: the tier of each subtask, and
the granted tools where a subtask names none. Must not raise, start or look at anything: pure.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from aaos.core.capability import Kind
from aaos.core.envelope import Envelope
from aaos.core.errors import AaosError, InputError, SettingsError
from aaos.core.graph import MAX_INPUTS, MAX_SUBTASKS, Plan, Subtask, check_plan
from aaos.core.ids import RoleName, SubtaskId
from aaos.core.role import Param, ParameterType, expand
from aaos.core.schema import read_model, refuse_flood
from aaos.core.text import quoted, suggestion
from aaos.plan.offer import INSTRUCTION, TOOLS, Offer, Offered, offered_parameters
from aaos.plan.planner import check_size, check_subtask, whole_envelope

MAX_ANSWER_BYTES = 131_072
MAX_FAULTS = 12
MODEL = "model"  # the shape of a plan that a model made
GENERALIST = RoleName("generalist")
DIRECT = "direct"
PLANNING = "planning"
OUTPUTS = "outputs"  # the parameter of files that must be there in the end

_FENCES = ("```", "~~~")
_EXAMPLE = 'answer {"kind": "direct"} or {"kind": "plan", "subtasks": [...], "final": "ID"}, and nothing else'

Faults = tuple[AaosError, ...]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class _Subtask(_Document):
    id: str
    role: str
    params: dict[str, JsonValue] = {}
    inputs: Annotated[tuple[str, ...], Field(max_length=MAX_INPUTS)] = ()


class _Plan(_Document):
    kind: Literal["plan"]
    subtasks: Annotated[tuple[_Subtask, ...], Field(min_length=1, max_length=MAX_SUBTASKS)]
    final: str


class _Direct(_Document):
    kind: Literal["direct"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a draft is measured against. `completed` are earlier subtasks whose results it may use, `outputs` the files
    that must be written, `now_s` is UTC."""

    goal: str
    offer: Offer
    envelope: Envelope
    completed: frozenset[SubtaskId] = frozenset()
    outputs: tuple[str, ...] = ()
    now_s: float = 0.0


def drafted(answer: str, before: Plan, terms: Terms) -> Plan | Faults:
    """`before` with the subtasks that the model's answer adds to it, and its final one; or what is wrong, first things
    first."""
    try:
        match read_answer(answer):
            case _Direct():
                return direct(before, terms, GENERALIST)
            case _Plan() as document:
                return _planned(document, before, terms)
    except AaosError as error:
        return (error,)


def direct(before: Plan, terms: Terms, role: RoleName) -> Plan | Faults:
    """One agent of the role does it all, with all that the run may use."""
    try:
        added = _direct_subtask(before, terms, role)
    except AaosError as error:
        return (error,)
    return _checked((added,), added.id, before=before, terms=terms)


def _direct_subtask(before: Plan, terms: Terms, role: RoleName) -> Subtask:
    offered = _offered(role, terms.offer)
    params: dict[str, Param] = {INSTRUCTION: terms.goal, **whole_envelope(terms.envelope)}
    outputs = _unwritten(before, terms)
    params |= {OUTPUTS: outputs} if outputs else {}
    params |= {"output": outputs[0]} if len(outputs) == 1 else {}
    params |= {"paths": params["reads"]} if "reads" in params else {}  # as analyzer and writer call them
    known = {name: value for name, value in params.items() if name in offered.role.parameters}
    inputs = tuple(subtask.id for subtask in before.subtasks if subtask.id in terms.completed)
    name = SubtaskId(f"{DIRECT}-{len(before.subtasks) + 1}")
    return Subtask(name, role, known, inputs[-MAX_INPUTS:], offered.tier)


def read_answer(text: str) -> _Plan | _Direct:
    """The one JSON object of an answer. Raises InputError."""
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_ANSWER_BYTES:
        raise InputError(f"the answer has {size} bytes", f"at most {MAX_ANSWER_BYTES} are possible: plan less")
    document = _json_object(text)
    model: type[_Plan] | type[_Direct] = _Direct if document.get("kind") == "direct" else _Plan
    try:
        refuse_flood(document, model)
        return read_model(model, document, source="the answer")
    except SettingsError as error:
        raise InputError(error.message, error.remedy) from error


def _json_object(text: str) -> Mapping[str, object]:
    fenced = _fenced(text)
    if len(fenced) > 1:
        raise InputError(f"the answer has {len(fenced)} code blocks", _EXAMPLE)
    found = fenced[0] if fenced else text[text.find("{") : text.rfind("}") + 1]
    try:
        document = json.loads(found, object_pairs_hook=_unique, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        reason = quoted(str(error), max_chars=200)
        raise InputError(f"the answer is not one JSON object: {reason}", _EXAMPLE) from error
    if not isinstance(document, dict):
        raise InputError(f"the answer is {quoted(document)} and not a JSON object", _EXAMPLE)
    return document


def _fenced(text: str) -> list[str]:
    """The contents of code blocks; one that is never closed is none."""
    found: list[str] = []
    block: list[str] | None = None
    for line in text.split("\n"):
        mark = line.strip()
        if block is None and mark.startswith(_FENCES):
            block = []
        elif block is not None and mark in _FENCES:
            found.append("\n".join(block))
            block = None
        elif block is not None:
            block.append(line)
    return found


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise InputError("a key of the answer occurs twice in one object", "write each key once")
    return document


def _not_json(name: str) -> object:
    raise InputError(f"{name} is not JSON", "write whole numbers")


# --- from the document to the plan --------------------------------------------------------------------------------


def _planned(document: _Plan, before: Plan, terms: Terms) -> Plan | Faults:
    added: list[Subtask] = []
    faults: list[AaosError] = []
    for item in document.subtasks:
        try:
            added.append(_subtask(item, before, terms))
        except AaosError as error:
            faults.append(_named(error, item.id))
    if faults:
        return tuple(faults[:MAX_FAULTS])
    return _checked(tuple(added), SubtaskId(document.final), before=before, terms=terms)


def _subtask(item: _Subtask, before: Plan, terms: Terms) -> Subtask:
    """Raises InputError, DeniedError."""
    if item.id.startswith((f"{PLANNING}-", f"{DIRECT}-")):
        raise InputError(f"ids that begin with {PLANNING}- or {DIRECT}- are agentd's own", "take another id")
    if any(earlier.id == item.id for earlier in before.subtasks):
        remedy = "take a new id; what is completed may be named in `inputs`"
        raise InputError("a subtask with this id exists since an earlier plan", remedy)
    offered = _offered(item.role, terms.offer)
    params = {name: _param(name, value) for name, value in item.params.items() if value is not None}
    return Subtask(
        id=SubtaskId(item.id),
        role=offered.role.name,
        params=_filled(params, offered, terms.envelope),
        inputs=tuple(SubtaskId(name) for name in item.inputs),
        tier=offered.tier,
    )


def _offered(name: str, offer: Offer) -> Offered:
    for known, offered in offer.items():
        if known == name:
            return offered
    raise InputError(f"there is no role {quoted(name)} for this goal", suggestion(name, offer))


def _param(name: str, value: JsonValue) -> Param:
    match value:
        case bool() | float() | dict():
            raise InputError(
                f"parameter {quoted(name)}: {quoted(value)} cannot be a value",
                "give text, a whole number or a list of texts",
            )
        case str() | int():
            return value
        case list():
            texts = tuple(item for item in value if isinstance(item, str))
            if len(texts) == len(value):
                return texts
    raise InputError(f"parameter {quoted(name)}: a list holds something else than texts", "write a list of texts")


def _filled(params: Mapping[str, Param], offered: Offered, envelope: Envelope) -> Mapping[str, Param]:
    """With the granted tools where the role takes them and none are named. Raises InputError without an instruction."""
    known = offered.role.parameters
    if INSTRUCTION in known and not params.get(INSTRUCTION):
        raise InputError(f"{INSTRUCTION} is missing", f"say in `{INSTRUCTION}` what this agent is to do")
    for name in params:
        if name not in known:
            hint = suggestion(name, offered_parameters(offered.role))
            raise InputError(f"role {offered.role.name} has no parameter {quoted(name)}", hint)
    tools = tuple(tool.resource for tool in envelope.of_kind(Kind.TOOL))
    wants_tools = TOOLS in known and known[TOOLS].type is ParameterType.NAMES and TOOLS not in params
    return {**params, TOOLS: tools} if wants_tools and tools else dict(params)


def _checked(added: tuple[Subtask, ...], final: SubtaskId, *, before: Plan, terms: Terms) -> Plan | Faults:
    """The whole plan as a graph, then each new subtask against its role and the envelope."""
    plan = Plan((*before.subtasks, *added), final, MODEL)
    try:
        check_plan(plan)
        check_size(plan, terms.envelope)
        _check_uses(added, final, before=before, completed=terms.completed)
    except AaosError as error:
        return (error,)
    faults: list[AaosError] = []
    for subtask in added:
        try:
            _check_trees(subtask, terms)
            role = terms.offer[subtask.role].role
            check_subtask(subtask, role, envelope=terms.envelope, now_s=terms.now_s)
        except AaosError as error:
            faults.append(_named(error, subtask.id))
    faults = faults or _wrong_outputs(added, _unwritten(before, terms), terms)
    return tuple(faults[:MAX_FAULTS]) or plan


def _check_uses(added: Sequence[Subtask], final: SubtaskId, *, before: Plan, completed: frozenset[SubtaskId]) -> None:
    """Of what was before, only completed results can be used. Raises InputError."""
    gone = {subtask.id for subtask in before.subtasks} - completed
    for subtask in added:
        for name in subtask.inputs:
            if name in gone:
                remedy = f"completed and of use are: {', '.join(sorted(completed)) or 'none'}"
                raise InputError(f"subtask {subtask.id} needs {name}, which has no result", remedy)
    if final not in {subtask.id for subtask in added}:
        raise InputError(f"the final subtask {final} is not one of this plan", "name the one whose result answers")


def _check_trees(subtask: Subtask, terms: Terms) -> None:
    """A granted directory is named as one. Raises InputError."""
    parameters = terms.offer[subtask.role].role.parameters
    trees = {capability.root for capability in terms.envelope.capabilities if capability.is_tree}
    for name, value in subtask.params.items():
        if name not in parameters or parameters[name].type not in (ParameterType.PATH, ParameterType.PATHS):
            continue
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, str) and path.rstrip("/") in trees:
                raise InputError(
                    f"{name}: {quoted(path)} is a directory", f"write {path.rstrip('/')}/**, or a file in it"
                )


def _unwritten(before: Plan, terms: Terms) -> tuple[str, ...]:
    """The files that the goal asks for, without those that a completed subtask had to write."""
    done = {file for one in before.subtasks if one.id in terms.completed for file in _outputs_of(one, terms)}
    return tuple(path for path in terms.outputs if path not in done)


def _wrong_outputs(added: Sequence[Subtask], wanted: Sequence[str], terms: Terms) -> list[AaosError]:
    """Each file that is asked for must be the declared output of one subtask, and no file that of two."""
    writers: dict[str, list[str]] = {}
    for subtask in added:
        for file in _outputs_of(subtask, terms):
            writers.setdefault(file, []).append(subtask.id)
    faults: list[AaosError] = []
    for file in dict.fromkeys((*wanted, *writers)):
        match writers.get(file, []):
            case []:
                remedy = "make it the `output` of a writer, or one of the `outputs` of a generalist"
                faults.append(InputError(f"the goal asks for {quoted(file)}, and no subtask has to write it", remedy))
            case [_, _, *_] as several:
                message = f"{quoted(file)} is the output of {', '.join(several)}"
                faults.append(InputError(message, "let one subtask write it"))
    return faults


def _outputs_of(subtask: Subtask, terms: Terms) -> tuple[str, ...]:
    """The files that its role's contract will ask for."""
    offered = terms.offer.get(subtask.role)
    if offered is None:
        return ()
    inputs = dict.fromkeys(subtask.inputs, "")
    return expand(offered.role, subtask.params, inputs=inputs, now_s=terms.now_s).output_files


def _named(error: AaosError, subtask: str) -> AaosError:
    if f"subtask {subtask} " in error.message:
        return error
    named = copy.copy(error)
    named.message = f"subtask {quoted(subtask)[1:-1]}: {error.message}"
    return named
