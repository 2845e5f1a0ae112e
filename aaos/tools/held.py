"""Calls that wait for an approval, and are then carried out from what was committed (BRK-6).

Invariant: a held call never reaches the worker that asked for it: agentd or a cell carries it out, from the arguments
and the pre-image that the approval is bound to, when all grants that it was charged to are still in force. Whatever
changed meanwhile is a conflict, and nothing is done.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from aaos.broker.files import FileBroker
from aaos.broker.opening import relative_to
from aaos.broker.publishing import PendingWrite, write_all
from aaos.core.approval import Approval, ApprovalState, Asked, is_approved_first
from aaos.core.capability import Capability, Kind
from aaos.core.errors import AaosError, CancelledError, ConflictError, DeniedError, StorageError, ToolError
from aaos.core.text import quoted
from aaos.tools import preview
from aaos.tools.brokered import Failed, ToolResult
from aaos.tools.caller import Caller
from aaos.tools.desk import ApprovalDesk, refusal
from aaos.tools.handout import find_root
from aaos.tools.opencall import OpenCall
from aaos.tools.settle import ABSENT
from aaos.tools.spec import Tool, WorkerTool


def may_be_held(tool: Tool) -> bool:
    """Whether calls of the tool can wait for an approval: the others are carried out by the worker that asks."""
    return tool.is_effect or not isinstance(tool, WorkerTool)


def with_held_writes(
    wanted: Sequence[Capability], envelope: Sequence[Capability], catalog: Mapping[str, Tool]
) -> tuple[Capability, ...]:
    """What an agent asks for; where its tool for writing files waits for approvals, so does each grant to write.

    A directory that is granted without a condition is mounted in the worker, which could write there without a call.
    """
    first = {one.resource for one in (*wanted, *envelope) if one.kind is Kind.TOOL and is_approved_first([one])}
    tools = (catalog.get(name) for name in first)
    if not any(isinstance(tool, WorkerTool) and tool.is_effect for tool in tools):
        return tuple(wanted)
    return tuple(_held_write(one) if one.kind is Kind.FILE_WRITE else one for one in wanted)


def _held_write(capability: Capability) -> Capability:
    return replace(capability, constraints=replace(capability.constraints, is_approved_first=True))


def require_holdable(tool: Tool) -> None:
    """Raises DeniedError for a tool whose calls cannot be held."""
    if not may_be_held(tool):
        message = f"{tool.name} is carried out by the worker that asks for it, which an approved call never is"
        raise DeniedError(message, f"grant tool: {tool.name} without approval_required, or not at all")


def pre_text(pending: PendingWrite | None) -> str | None:
    """The name of the pre-image in records, None for a call that writes no file."""
    return None if pending is None else pending.pre.text if pending.pre else ABSENT


def asked_of(caller: Caller, opened: OpenCall, policy: str, files: FileBroker) -> Asked:
    """What the approval is bound to. Raises AaosError."""
    row = opened.draft.record
    return Asked(
        call=row.call,
        run=row.run,
        subtask=row.subtask,
        agent=row.agent,
        uid=caller.submitter.uid,
        tool=row.tool,
        resource=opened.draft.path or row.tool,
        arguments=row.arguments,
        pre_hash=pre_text(opened.handout.pending),
        preview=_preview(opened, files),
        policy=policy,
    )


@dataclass(frozen=True, slots=True)
class HeldCall:
    """A call that waits. `carry` carries it out, `is_usable` says whether its grants are in force."""

    caller: Caller
    opened: OpenCall
    approval: Approval
    desk: ApprovalDesk
    is_usable: Callable[[], bool]
    carry: Callable[[], Awaitable[ToolResult]]
    failed: Failed

    @property
    def is_effect(self) -> bool:
        """It writes down for itself what must be on the disk before it acts."""
        return False

    def release(self) -> None:
        """It holds nothing open while it waits; what nobody waits for any more is withdrawn. Idempotent."""
        with suppress(AaosError):  # on a full disk it stays, until its time is over
            self.desk.withdraw(self.approval.id)

    async def run(self) -> ToolResult:
        """Raises AaosError; the outcome is on record in any case."""
        try:
            with self.caller.hold():  # the deadlines of the agent stand meanwhile
                end = await self.desk.settled(self.approval.id)
            await self.caller.going()
            if end.state is not ApprovalState.APPROVED:
                raise refusal(end)
            if not self.is_usable():
                message = f"{end.asked.tool}: what it was granted by ended while it waited for its approval"
                raise DeniedError(message, "submit again")
        except AaosError as error:
            self.failed(self.opened, error)
            raise
        except asyncio.CancelledError:
            self.failed(self.opened, CancelledError("the call was stopped while it waited", "call it again"))
            raise
        return await self.carry()


def fill(opened: OpenCall, pre_hash: str | None) -> None:
    """Puts the content that the arguments say into the buffer of a write. Blocking.

    Raises ConflictError when the file is not the one that the approval was for.
    """
    pending = opened.handout.pending
    if pending is None:
        raise TypeError(f"{opened.draft.record.tool} writes no file")
    if pre_text(pending) != pre_hash:
        message = f"{quoted(pending.path)} was changed while the call waited for its approval: nothing was written"
        raise ConflictError(message, "read it again, then ask again")
    try:
        write_all(pending.content, _content(opened, pending))
    except OSError as error:
        raise StorageError(f"{quoted(pending.path)}: {error.strerror}", "see `journalctl -t agentd`") from error


def _content(opened: OpenCall, pending: PendingWrite) -> bytes:
    """Whether these are the right bytes is checked once more before they are published."""
    args = opened.args
    if opened.draft.record.tool == "file_write":
        content: str = args["content"]
        return content.encode()
    before = os.pread(pending.source, pending.pre.size if pending.pre else 0, 0)
    return _edited(before, args["old"].encode(), args["new"].encode())


def _edited(before: bytes, old: bytes, new: bytes) -> bytes:
    if before.count(old) != 1:
        raise ToolError("the old text does not occur exactly once in the file", "read the file and copy it exactly")
    return before.replace(old, new)


def _preview(opened: OpenCall, files: FileBroker) -> str:
    pending = opened.handout.pending
    if pending is None:
        return preview.of_arguments(opened.args)
    after = _content(opened, pending)
    if pending.pre is not None and pending.pre.size > preview.DIFF_BYTES:
        return preview.of_size(pending.pre.size, after)
    root = find_root((pending.root,), pending.path, writable=True)
    found, before = files.observe(root, relative_to(root, pending.path))
    if (found or ABSENT) != pre_text(pending):
        raise ConflictError(
            f"{quoted(pending.path)} is being changed by somebody else", "read it again, then ask again"
        )
    return preview.of_change(before, after)
