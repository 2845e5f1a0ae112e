"""A call that agentd carries out itself: what its tool may know of it, and how it ends.

Invariant: whatever the tool does, the call gets one outcome; each use of the network beyond the first is charged before
it is made, and revoking any of those grants discards the result.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aaos.core.capability import Kind
from aaos.core.envelope import Submitter
from aaos.core.errors import AaosError, CancelledError, DeniedError, WorkerLostError
from aaos.core.events import EventKind, Scalar
from aaos.core.ports import BrokerCall, BrokerResult, CallState, WrittenFile
from aaos.tools import admit
from aaos.tools.opencall import OpenCall
from aaos.tools.records import Records


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
    """A call that was let through: `act` does it. `done` and `failed` write its outcome down."""

    opened: OpenCall
    act: Callable[[], Awaitable[BrokerResult]]
    done: Callable[[OpenCall, BrokerResult], ToolResult]
    failed: Failed

    @property
    def is_effect(self) -> bool:
        """Whether it may change something outside: then its row must be on the disk first."""
        return self.opened.tool.is_effect

    def release(self) -> None:
        """Let go of what was opened for the call. Idempotent."""
        self.opened.handout.close()

    async def run(self) -> ToolResult:
        """Raises AaosError; the outcome is on record in any case."""
        try:
            got = await self.act()
        except AaosError as error:
            is_lost = isinstance(error, WorkerLostError) and self.is_effect
            self.failed(self.opened, error, state=CallState.OUTCOME_UNKNOWN if is_lost else CallState.FAILED)
            raise
        except asyncio.CancelledError:
            state = CallState.OUTCOME_UNKNOWN if self.is_effect else CallState.FAILED
            self.failed(
                self.opened, CancelledError(f"the call was stopped{self.opened.told}", "call it again"), state=state
            )
            raise
        finally:
            self.release()
        return self.done(self.opened, got)


def call_of(opened: OpenCall, charger: admit.Charger, *, who: Submitter, records: Records) -> BrokerCall:
    """What the tool may know and do while it carries the call out."""

    def charge(kind: Kind, resource: str, action: str) -> None:
        if kind is Kind.SECRET:
            opened.charges += (charger.charge_secret(resource),)
            return
        if kind is not Kind.NETWORK:
            raise TypeError(f"{kind} is charged before the call")
        charge = charger.charge_network(resource, action, opened.args)
        if charge.capability.constraints.is_approved_first:
            raise DeniedError(f"{kind}: {resource} needs an approval of its own", "ask for that address itself")
        opened.charges += (charge,)

    def note(kind: EventKind, fields: Mapping[str, Scalar]) -> None:
        records.note(opened.draft, kind, fields)

    record = opened.draft.record
    limit_bytes = admit.network_bytes(charger.budgeted, opened.args)
    return BrokerCall(record.run, record.agent, who.uid, charge, note, limit_bytes, (who.gid, *who.groups))
