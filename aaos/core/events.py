"""Everything that can happen, as one closed list; the audit, the journal and the operator's stream carry these.

Invariant: a kind's MESSAGE_ID never changes (it is derived from the kind's name). Fields are flat scalars.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from aaos.core.ids import AgentId, RunId, SubtaskId

Scalar = str | int | float | bool | None
_NAMESPACE = uuid.UUID("8d1f2c53-3a54-4f7e-9d5b-60d7a4c0f3a1")


class EventKind(StrEnum):
    """One member per thing that happens."""

    DAEMON_STARTED = "daemon.started"
    DAEMON_STOPPING = "daemon.stopping"
    CONFINEMENT_REDUCED = "confinement.reduced"
    STALE_CLEANED = "stale.cleaned"
    ZYGOTE_STARTED = "zygote.started"
    ZYGOTE_LOST = "zygote.lost"
    EGRESS_STARTED = "egress.started"
    EGRESS_LOST = "egress.lost"
    EGRESS_REFUSED = "egress.refused"
    AUDIT_DROPPED = "audit.dropped"
    AUDIT_SUPPRESSED = "audit.suppressed"
    CLIENT_REFUSED = "client.refused"
    REQUEST_FAILED = "request.failed"
    ROLE_REFUSED = "role.refused"
    WRAPPER_REFUSED = "wrapper.refused"
    RUN_SUBMITTED = "run.submitted"
    RUN_REFUSED = "run.refused"
    RUN_ENVELOPE = "run.envelope"
    RUN_PLANNED = "run.planned"
    PLAN_REFUSED = "plan.refused"
    RUN_REPLANNED = "run.replanned"
    RUN_STARTED = "run.started"
    RUN_RESUMED = "run.resumed"
    RUN_PAUSED = "run.paused"
    RUN_CONTINUED = "run.continued"
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_STOPPING = "run.stopping"
    RUN_CANCELLED = "run.cancelled"
    SUBTASK_STARTED = "subtask.started"
    SUBTASK_COMPLETED = "subtask.completed"
    SUBTASK_FAILED = "subtask.failed"
    SUBTASK_RETRIED = "subtask.retried"
    SUBTASK_SKIPPED = "subtask.skipped"
    SUBTASK_CANCELLED = "subtask.cancelled"
    CONTRACT_BROKEN = "contract.broken"
    AGENT_STARTING = "agent.starting"
    AGENT_CONFINED = "agent.confined"
    AGENT_REFUSED = "agent.refused"
    AGENT_FINISHED = "agent.finished"
    AGENT_LOST = "agent.lost"
    AGENT_PAUSED = "agent.paused"
    AGENT_CONTINUED = "agent.continued"
    AGENT_STOPPED = "agent.stopped"
    AGENT_OOM = "agent.oom"
    AGENT_DRIFTED = "agent.drifted"
    AGENT_LOG = "agent.log"
    AGENT_CHECKPOINT = "agent.checkpoint"
    ABI_BROKEN = "abi.broken"
    ABI_BUSY = "abi.busy"
    CELL_CONFINED = "cell.confined"
    CELL_ENDED = "cell.ended"
    MODEL_REQUESTED = "model.requested"
    MODEL_WAITING = "model.waiting"
    MODEL_TEXT = "model.text"  # a note in the live stream, never recorded
    MODEL_ANSWERED = "model.answered"
    MODEL_FAILED = "model.failed"
    TOOL_PERMITTED = "tool.permitted"
    TOOL_OUTPUT = "tool.output"  # a note in the live stream, never recorded
    TOOL_DONE = "tool.done"
    TOOL_FAILED = "tool.failed"
    APPROVAL_ASKED = "approval.asked"
    APPROVAL_GIVEN = "approval.given"
    APPROVAL_DENIED = "approval.denied"
    APPROVAL_EXPIRED = "approval.expired"
    APPROVAL_WITHDRAWN = "approval.withdrawn"
    TOOL_DENIED = "tool.denied"
    TOOL_REPEATED = "tool.repeated"
    FILE_WRITTEN = "file.written"
    FILE_CHANGED = "file.changed"
    FILE_CONFLICT = "file.conflict"
    FILE_UNREPORTED = "file.unreported"
    OUTCOME_UNKNOWN = "outcome.unknown"
    NETWORK_FETCHED = "network.fetched"
    NETWORK_CONNECTED = "network.connected"
    NETWORK_REFUSED = "network.refused"
    RUN_TRUST_LOWERED = "run.trust_lowered"
    TOKEN_GRANTED = "token.granted"  # noqa: S105  # the name of an event
    WORKSPACE_MADE = "workspace.made"
    WORKSPACE_FULL = "workspace.full"
    WORKSPACE_REMOVED = "workspace.removed"
    LIMIT_REACHED = "limit.reached"
    ATTESTED = "attested"
    SELFTEST_DONE = "selftest.done"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `fields` hold the rest: tool, capability, decision, duration_ms, digest, message …"""

    kind: EventKind
    run: RunId | None = None
    subtask: SubtaskId | None = None
    agent: AgentId | None = None
    fields: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its place in the order of the machine and its UTC time in seconds since the epoch."""

    seq: int
    time_s: float
    event: Event


def message_id(kind: EventKind) -> str:
    """The 128-bit MESSAGE_ID as 32 hex digits. Source: systemd.journal-fields(7)."""
    return uuid.uuid5(_NAMESPACE, kind.value).hex
