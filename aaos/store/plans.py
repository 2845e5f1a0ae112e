"""A plan as the database keeps it: JSON text and back.

Invariant: `plan_from_json(plan_to_json(p)) == p`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict

from aaos.core.errors import StorageError
from aaos.core.graph import Plan, Subtask
from aaos.core.ids import RoleName, SubtaskId
from aaos.core.role import Tier

Param = str | int | tuple[str, ...]


def plan_to_json(plan: Plan) -> str:
    """The plan as one line of ASCII."""
    return json.dumps(asdict(plan), separators=(",", ":"))


def plan_from_json(text: str) -> Plan:
    """The inverse. Raises StorageError when the text is not what `plan_to_json` writes."""
    try:
        document = json.loads(text)
        subtasks = tuple(_subtask(item) for item in document["subtasks"])
        return Plan(subtasks, SubtaskId(document["final"]), document["shape"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"a stored plan cannot be read: {error!r}", "submit the goal again") from error


def _subtask(item: Mapping[str, object]) -> Subtask:
    params, inputs = item["params"], item["inputs"]
    if not isinstance(params, dict) or not isinstance(inputs, list):
        raise TypeError("params or inputs")
    given: dict[str, Param] = {n: tuple(v) if isinstance(v, list) else v for n, v in params.items()}
    tier = item.get("tier")
    return Subtask(
        id=SubtaskId(str(item["id"])),
        role=RoleName(str(item["role"])),
        params=given,
        inputs=tuple(SubtaskId(i) for i in inputs),
        tier=None if tier is None else Tier(str(tier)),
    )
