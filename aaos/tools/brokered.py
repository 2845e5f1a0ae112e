"""A call that agentd carries out itself: what its tool may know of it, and how it ends.

Invariant: whatever the tool does, the call gets one outcome; each use of the network beyond the first is charged before
it is made, and revoking any of those grants discards the result.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aaos.core.capability import Kind
from aaos.core.errors import AaosError, CancelledError, DeniedError
from aaos.core.events import EventKind, Scalar
from aaos.core.ids import Uid
from aaos.core.ports import BrokerCall, BrokerResult, CallState, WrittenFile
from aaos.tools import admit
from aaos.tools.opencall import OpenCall
from aaos.tools.records import Records
from aaos.tools.spec import BrokerTool


@dataclass(frozen=True, slots=True)
class ToolResult:
    """How a call ended: the text that the agent gets; `written` is the file that agentd published for it."""

    text: str
    ok: bool
    truncated: bool = False
    written: WrittenFile | None = None


class Failed(Protocol):
    """Writes down that a call ended with an error."""

    def __call__(self, opened: OpenCall, error: AaosError, *, state: CallState = CallState.FAILED) -> None: ...


@dataclass(frozen=True, slots=True)
class Reported:
    """A call that the worker carried out. `record` writes that down: before anything that comes of the result."""

    result: ToolResult | DeniedError
    record: Callable[[], None]


@dataclass(frozen=True, slots=True)
class BrokerWork:
    """A call that was let through. `done` and `failed` write its outcome down."""

    tool: BrokerTool
    opened: OpenCall
    call: BrokerCall
    done: Callable[[OpenCall, BrokerResult], ToolResult]
    failed: Failed

    async def run(self) -> ToolResult:
        """Raises AaosError; the outcome is on record in any case."""
        try:
            got = await self.tool.run(self.opened.args, self.call)
        except AaosError as error:
            self.failed(self.opened, error)
            raise
        except asyncio.CancelledError:
            state = CallState.OUTCOME_UNKNOWN if self.tool.is_effect else CallState.FAILED
            self.failed(self.opened, CancelledError("the call was stopped", "call it again"), state=state)
            raise
        return self.done(self.opened, got)


def call_of(opened: OpenCall, charger: admit.Charger, *, uid: Uid, records: Records) -> BrokerCall:
    """What the tool may know and do while it carries the call out."""

    def charge(kind: Kind, resource: str, action: str) -> None:
        if kind is not Kind.NETWORK:
            raise TypeError(f"{kind} is charged before the call")
        opened.charges += (charger.charge_network(resource, action, opened.args),)

    def note(kind: EventKind, fields: Mapping[str, Scalar]) -> None:
        records.note(opened.draft, kind, fields)

    record = opened.draft.record
    limit_bytes = admit.network_bytes(charger.budgeted, opened.args)
    return BrokerCall(record.run, record.agent, uid, charge, note, limit_bytes)
