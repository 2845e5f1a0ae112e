"""Names of things: types that keep ids apart, their making and their one charset.

Invariant: an id matches `[a-z0-9-]{1,64}`, so it is safe in a path, a cgroup name, a journal field and a terminal.
"""

import re
import secrets
from typing import NewType

from aaos.core.errors import InputError

RunId = NewType("RunId", str)
SubtaskId = NewType("SubtaskId", str)  # unique within its run
AgentId = NewType("AgentId", str)
CallId = NewType("CallId", str)  # agent, turn, index: durable, unique in the machine
PermitId = NewType("PermitId", str)
ApprovalId = NewType("ApprovalId", str)
RoleName = NewType("RoleName", str)
ToolName = NewType("ToolName", str)
Uid = NewType("Uid", int)
Gid = NewType("Gid", int)

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


def new_run_id() -> RunId:
    """A fresh id of 60 random bits."""
    return RunId(f"r-{_random(12)}")


def new_agent_id() -> AgentId:
    """A fresh id of 60 random bits."""
    return AgentId(f"a-{_random(12)}")


def new_approval_id() -> ApprovalId:
    """A fresh id of 60 random bits."""
    return ApprovalId(f"ap-{_random(12)}")


def call_id(agent: AgentId, turn: int, index: int) -> CallId:
    """The durable id of the index-th call of a turn."""
    return CallId(f"{agent}-{turn}-{index}")


def check_name(value: str, field: str) -> str:
    """`value` when it has the one charset of names. Raises InputError that names `field`."""
    if not _NAME.fullmatch(value):
        raise InputError(f"{field}: {value[:80]!r} is not a name", "use 1 to 64 of a-z, 0-9 and -")
    return value


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
