"""Rows and values as the operator's socket shows them. Pure.

Invariant: what is shown has the shapes of docs/operator-protocol.md; text is data, escaped by whoever prints it.
"""

import json
from collections.abc import Iterable, Mapping

from aaos.agent.registry import LiveAgent
from aaos.core.errors import AaosError
from aaos.core.events import Recorded
from aaos.core.graph import Plan
from aaos.core.ports import Attestation, Spend
from aaos.core.role import Role
from aaos.core.rpc import Json
from aaos.store.runs import RunRow, StoredError, SubtaskRow
from aaos.tools.spec import Tool, route_of

View = dict[str, Json]

# An answer is one line of at most rpc.MAX_LINE_BYTES, also with graph.MAX_SUBTASKS parts. Sizes are those of JSON text.
RESULT_BYTES = 400_000
PART_BYTES = 500
GOAL_BYTES = 500
PAGE_BYTES = 800_000


def fit(text: str, max_bytes: int) -> str:
    """`text` cut so that it takes at most about `max_bytes` as JSON, where one character may take twelve bytes."""
    kept = text
    while len(json.dumps(kept)) > max_bytes:
        kept = kept[: max(0, len(kept) * max_bytes // len(json.dumps(kept)) - 1)]
    return kept if len(kept) == len(text) else f"{kept}…"


def run_view(row: RunRow, *, is_whole: bool = True) -> View:
    """A run without its parts; in a list also without its result, and with the beginning of its goal."""
    return {
        "run": row.id,
        "uid": row.uid,
        "goal": row.goal if is_whole else fit(row.goal, GOAL_BYTES),
        "state": row.state.value,
        "trust": row.trust.value,
        "created_s": row.created_s,
        "finished_s": row.finished_s,
        "result": fit(row.result, RESULT_BYTES) if row.result is not None and is_whole else None,
        "error": _stored(row.error),
    }


def status_view(row: RunRow, subtasks: Iterable[SubtaskRow], *, plan: Plan | None, agents: Iterable[LiveAgent]) -> View:
    """A run with its subtasks and live agents."""
    roles: Mapping[str, str] = {subtask.id: subtask.role for subtask in plan.subtasks} if plan else {}
    shown: list[Json] = [_subtask(subtask, roles.get(subtask.id, "")) for subtask in subtasks]
    return {**run_view(row), "subtasks": shown, "agents": [agent_view(agent) for agent in agents]}


def spend_view(spent: Spend) -> View:
    """What the run's models took; with what turns under way may take at most."""
    return {"tokens": spent.tokens, "cost_usd": round(spent.cost_usd, 9)}


def agent_view(agent: LiveAgent) -> View:
    """A live agent."""
    return {"agent": agent.agent, "subtask": agent.subtask, "role": agent.role, "state": agent.shown.value}


def plan_view(plan: Plan) -> View:
    """A plan without its parameters."""
    subtasks: list[Json] = [{"id": s.id, "role": s.role, "inputs": list(s.inputs)} for s in plan.subtasks]
    return {"shape": plan.shape, "final": plan.final, "subtasks": subtasks}


def event_view(recorded: Recorded) -> View:
    """An event with its place in the order of the machine."""
    event = recorded.event
    return {
        "seq": recorded.seq,
        "time_s": recorded.time_s,
        "kind": event.kind.value,
        "run": event.run,
        "subtask": event.subtask,
        "agent": event.agent,
        "fields": dict(event.fields),
    }


def page_view(events: Iterable[Recorded]) -> list[Json]:
    """As many events as one answer can hold; a client asks for the rest with `after_seq`."""
    shown: list[Json] = []
    left = PAGE_BYTES
    for recorded in events:
        view = event_view(recorded)
        left -= len(json.dumps(view))
        if left < 0 and shown:
            break
        shown.append(view)
    return shown


def role_view(role: Role) -> View:
    """A role and what it may be given."""
    parameters: View = {
        name: {"type": parameter.type.value, "required": parameter.required, "summary": parameter.summary}
        for name, parameter in role.parameters.items()
    }
    tiers: list[Json] = [tier.value for tier in role.tiers]
    return {
        "name": role.name,
        "summary": role.summary,
        "entry": role.entry,
        "tiers": tiers,
        "parameters": parameters,
    }


def error_view(error: AaosError) -> View:
    """An error as data."""
    return dict(error.to_wire())


def tool_view(tool: Tool) -> View:
    """A tool with its route and schema."""
    return {
        "name": tool.name,
        "summary": tool.summary,
        "route": route_of(tool),
        "is_effect": tool.is_effect,
        "parameters": dict(tool.schema),
    }


def attestation_view(attestation: Attestation) -> View:
    """What was confirmed of a worker, or of the cell of a call."""
    return {
        "agent": attestation.agent,
        "call": attestation.call,
        "pid": attestation.pid,
        "host_uid": attestation.host_uid,
        "layers": [layer.value for layer in attestation.layers],
        "missing": [layer.value for layer in attestation.missing],
        "inside": dict(attestation.inside),
        "outside": dict(attestation.outside),
        "policy_digest": attestation.policy_digest,
        "filter_digest": attestation.filter_digest,
        "duration_ms": attestation.duration_ms,
    }


def _subtask(row: SubtaskRow, role: str) -> View:
    return {
        "subtask": row.id,
        "role": role,
        "state": row.state.value,
        "attempt": row.attempt,
        "agent": row.agent,
        "result": fit(row.result, PART_BYTES) if row.result is not None else None,
        "error": _stored(row.error),
    }


def _stored(error: StoredError | None) -> Json:
    if error is None:
        return None
    return {"code": error.code, "message": fit(error.message, PART_BYTES), "remedy": fit(error.remedy, PART_BYTES)}
