"""Approvals as values: what is asked, what it is bound to, and how it was settled (APR-1, APR-2).

Invariant: an approval is for one call, once: its digest covers tool, canonical arguments, what its agent may do, and
the pre-image of what changes. Pure.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from aaos.core.capability import Capability
from aaos.core.ids import AgentId, ApprovalId, CallId, RunId, SubtaskId, Uid


class ApprovalState(StrEnum):
    """Where an approval stands; all but the first are final."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"  # nobody asks for it any more


@dataclass(frozen=True, slots=True)
class Asked:
    """The exact call. `resource` is the first path or address that it names, `preview` what it changes, for people;
    `policy` is the digest of what the agent may do."""

    call: CallId
    run: RunId
    subtask: SubtaskId
    agent: AgentId
    uid: Uid  # whose run it is
    tool: str
    resource: str
    arguments: str
    pre_hash: str | None
    preview: str
    policy: str

    @property
    def digest(self) -> str:
        """SHA-256 of all that is approved, hexadecimal."""
        bound = [self.call, self.run, self.agent, self.tool, self.arguments, self.policy, self.pre_hash]
        return hashlib.sha256(json.dumps(bound, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Approval:
    """One approval; times are UTC in seconds. `by` and `terminal` are of who settled it."""

    id: ApprovalId
    asked: Asked
    digest: str
    asked_s: float
    until_s: float
    state: ApprovalState = ApprovalState.WAITING
    settled_s: float | None = None
    by: Uid | None = None
    terminal: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Settling:
    """How an approval ends."""

    state: ApprovalState
    by: Uid | None = None
    terminal: str = ""
    reason: str = ""


class ApprovalStore(Protocol):
    """Rows of approvals; each method commits before it returns, or with the step that it is in."""

    def add(self, approval: Approval) -> None: ...
    def get(self, approval: ApprovalId) -> Approval: ...
    def of_call(self, call: CallId) -> Approval | None: ...
    def of_run(self, run: RunId) -> tuple[Approval, ...]: ...
    def waiting(self) -> tuple[Approval, ...]: ...

    def settle(self, approval: ApprovalId, how: Settling, *, now_s: float) -> bool:
        """Whether it was waiting still: it is settled once."""


def policy_digest(capabilities: Iterable[Capability], *, of: str = "") -> str:
    """SHA-256 of what an agent may do and of what a tool does, hexadecimal; the same after a restart."""
    return hashlib.sha256("\n".join([*sorted(one.text() for one in capabilities), of]).encode()).hexdigest()


def is_approved_first(capabilities: Collection[Capability]) -> bool:
    """Whether a use that was charged to these waits for an approval."""
    return any(one.constraints.is_approved_first for one in capabilities)
