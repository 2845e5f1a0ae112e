"""Calls that wait for an approval, and are then carried out from what was committed (BRK-6).

Invariant: a held call never reaches the worker that asked for it: agentd or a cell carries it out, from the arguments
and the pre-image that the approval is bound to, when all grants that it was charged to are still in force. Whatever
changed meanwhile is a conflict, and nothing is done.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from aaos.broker.binding import BindLimits, Bound
from aaos.broker.changes import changed_files, now_ns
from aaos.broker.files import FileBroker
from aaos.broker.opening import relative_to
from aaos.broker.publishing import PendingWrite, write_all
from aaos.core.approval import Approval, ApprovalState, Asked, is_approved_first, policy_digest
from aaos.core.capability import Capability, Kind
from aaos.core.envelope import Envelope
from aaos.core.errors import AaosError, CancelledError, ConflictError, DeniedError, StorageError, ToolError
from aaos.core.text import quoted
from aaos.core.threads import in_thread
from aaos.core.token import TokenBox
from aaos.tools import preview
from aaos.tools.brokered import Failed, ToolResult
from aaos.tools.caller import Caller
from aaos.tools.desk import ApprovalDesk, refusal
from aaos.tools.handout import Handout, find_root
from aaos.tools.opencall import OpenCall
from aaos.tools.records import Records
from aaos.tools.settle import ABSENT
from aaos.tools.spec import CellTool, Tool, WorkerTool

SHOWN_CHANGES = 3


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


def echo_lines(envelope: Envelope, catalog: Mapping[str, Tool]) -> tuple[str, ...]:
    """The echo of an envelope: each grant that waits for approvals says so, those to write with their tools."""
    held = with_held_writes(envelope.capabilities, (), catalog)
    return replace(envelope, capabilities=held).lines()


def _held_write(capability: Capability) -> Capability:
    return replace(capability, constraints=replace(capability.constraints, is_approved_first=True))


def require_holdable(tool: Tool) -> None:
    """Raises DeniedError for a tool whose calls cannot be held."""
    if not may_be_held(tool):
        message = f"{tool.name} is carried out by the worker that asks for it, which an approved call never is"
        raise DeniedError(message, f"grant tool: {tool.name} without approval_required, or not at all")


def known(error: BaseException) -> AaosError:
    """What is written down of whatever ended a call."""
    return error if isinstance(error, AaosError) else CancelledError("the call was stopped", "call it again")


def pre_text(pending: PendingWrite | None) -> str | None:
    """The name of the pre-image in records, None for a call that writes no file."""
    return None if pending is None else pending.pre.text if pending.pre else ABSENT


async def require_same(opened: OpenCall, files: FileBroker, limits: BindLimits) -> None:
    """Raises ConflictError when the program would see other files than those that it was approved for."""
    try:
        found = await _look_at(opened, files, limits)
    except ToolError as error:  # it grew past a bound
        raise ConflictError(f"{error.message}, which it could be before", "look at it, then ask again") from error
    if found == opened.bound:
        return
    trees = tuple(opened.handout.trees)
    look = partial(changed_files, trees, since_ns=opened.bound_ns, known={})
    names = [quoted(path) for path in (await in_thread(look)).paths[:SHOWN_CHANGES]]
    tool, which = opened.draft.record.tool, f" ({', '.join(names)})" if names else ""
    message = f"{tool}: what it would see was changed while the call waited for its approval{which}: it was not run"
    raise ConflictError(message, "look at what changed, then ask again")


@dataclass(frozen=True, slots=True)
class Asking:
    """How one call comes to its approval: written down with what it is bound to, before anybody is asked."""

    desk: ApprovalDesk
    records: Records
    tokens: TokenBox
    files: FileBroker
    caller: Caller
    opened: OpenCall

    def ask(self) -> Approval:
        """Lets go of what was opened for the call. Raises AaosError."""
        opened = self.opened
        policy = policy_digest(self.tokens.capabilities(self.caller.agent), of=_definition(opened.tool))
        asked = _asked(self.caller, opened, policy, self.files)
        opened.handout.discard()
        opened.handout, opened.pre_hash = Handout(), asked.pre_hash
        with self.records.ledger.step():
            approval = self.desk.ask(asked)
            self.records.held(opened.draft, pre_hash=asked.pre_hash)
        route = "broker" if isinstance(opened.tool, WorkerTool) else opened.draft.route
        opened.draft = replace(opened.draft, route=route, was_held=True)
        return approval

    async def look_and_ask(self) -> Approval:
        """As `ask`, after a look at all that the program is to see; a refusal is on record."""
        opened = self.opened
        try:
            opened.bound_ns = now_ns()
            opened.bound = await _look_at(opened, self.files, self.desk.bind_limits)
            return self.ask()
        except BaseException as error:
            self.records.unheld(opened.draft, known(error))
            raise
        finally:
            opened.handout.discard()


@dataclass(slots=True)
class HeldCall:
    """A call that waits. `carry` carries it out, `is_usable` says whether its grants are in force. What a program is
    to see takes a while to look at, so that the approval of its call is asked for by `run`."""

    asking: Asking
    is_usable: Callable[[], bool]
    carry: Callable[[], Awaitable[ToolResult]]
    failed: Failed
    approval: Approval | None = None

    @property
    def opened(self) -> OpenCall:
        """The call."""
        return self.asking.opened

    @property
    def is_effect(self) -> bool:
        """It writes down for itself what must be on the disk before it acts."""
        return False

    def release(self) -> None:
        """It holds nothing open while it waits; what nobody waits for any more is withdrawn. Idempotent."""
        if self.approval is None:
            self.opened.handout.discard()
        with suppress(AaosError):  # on a full disk it stays, until its time is over
            if self.approval is not None:
                self.asking.desk.withdraw(self.approval.id)

    async def run(self) -> ToolResult:
        """Raises AaosError; the outcome is on record in any case."""
        caller = self.asking.caller
        if self.approval is None:
            self.approval = await self.asking.look_and_ask()
        try:
            with caller.hold():  # the deadlines of the agent stand meanwhile
                end = await self.asking.desk.settled(self.approval.id)
            await caller.going()
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
        return preview.of_arguments(opened.args) + (preview.of_bound(opened.bound) if opened.bound else "")
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


def _definition(tool: Tool) -> str:
    """What a call of this tool would run, when that is read from a file: another file means another approval."""
    return tool.wrapper.sha256 if isinstance(tool, CellTool) else ""


async def _look_at(opened: OpenCall, files: FileBroker, limits: BindLimits) -> Bound | None:
    """What the program of a call is to see now; None for a call that shows nothing to a program. Raises ToolError."""
    trees = tuple(opened.handout.trees)
    if not trees:
        return None
    stop = threading.Event()
    look = partial(files.bind, trees, limits, may_go_on=lambda: not stop.is_set())
    return await in_thread(look, stop=stop.set)


def _asked(caller: Caller, opened: OpenCall, policy: str, files: FileBroker) -> Asked:
    """What the approval is bound to. Raises AaosError."""
    row, bound = opened.draft.record, opened.bound
    return Asked(
        call=row.call,
        run=row.run,
        subtask=row.subtask,
        agent=row.agent,
        uid=caller.submitter.uid,
        tool=row.tool,
        resource=opened.draft.path or row.tool,
        arguments=row.arguments,
        pre_hash=bound.text if bound else pre_text(opened.handout.pending),
        preview=_preview(opened, files),
        policy=policy,
    )
