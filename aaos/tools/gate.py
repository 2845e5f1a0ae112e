"""The gate: a call is validated, charged to the agent's grants, recorded, and only then permitted or done.

Invariant: nothing is opened, handed out or run for a call whose every named resource was not charged first; a call has
one row and one outcome; a permit is good for one `tool.done` of the agent that got it, and for nothing after a
revocation. `request` and `done` never wait: what must wait comes back as work, `BrokerWork` or `Publish`.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import assert_never

from aaos.broker.fetch import OVERHEAD_BYTES
from aaos.broker.files import FileBroker
from aaos.broker.publishing import Observed
from aaos.core.approval import is_approved_first
from aaos.core.capability import Kind
from aaos.core.envelope import Submitter
from aaos.core.errors import (
    AaosError,
    CancelledError,
    ConflictError,
    DeniedError,
    LimitError,
    NotFoundError,
    ToolError,
    WorkerLostError,
)
from aaos.core.ids import AgentId, CallId, PermitId
from aaos.core.ports import (
    AuditSink,
    BrokerResult,
    CallOutcome,
    CallState,
    Evidence,
    Ledger,
    Origin,
    WrittenFile,
)
from aaos.core.text import clip, quoted
from aaos.core.token import Clock, TokenBox
from aaos.tools import admit
from aaos.tools.brokered import BrokerWork, Reported, ToolResult, call_of
from aaos.tools.caller import Caller, CallRequest, draft_of
from aaos.tools.celled import CellCall, Cells
from aaos.tools.desk import ApprovalDesk
from aaos.tools.handout import Handout, hand_out
from aaos.tools.held import Asking, HeldCall, fill, known, pre_text, require_holdable, require_same
from aaos.tools.opencall import OpenCall
from aaos.tools.publish import Publish
from aaos.tools.records import Draft, Records, published_text
from aaos.tools.repeat import END_AT, HINT_AT, RepeatGuard, hint, too_often
from aaos.tools.spec import BrokerTool, CellTool, Tool, WorkerTool
from aaos.tools.writers import NO_INODES, Claim, Turn, Writers
from worker import abi
from worker.abi import Json

MARKER_BYTES = 1_024  # what a result may have over its limit: its last line
_PATH_CHARS = 4_096


@dataclass(frozen=True, slots=True)
class Permit:
    """The worker may carry the call out. `value` is the reply's value; `fds` go with it and stay the gate's own."""

    permit: PermitId
    tool: str
    value: Mapping[str, Json]
    fds: tuple[int, ...]


@dataclass(slots=True)
class _Agent:
    """What the gate knows of one agent."""

    budgeted: frozenset[Kind]
    guard: RepeatGuard = field(default_factory=RepeatGuard)
    permits: dict[str, OpenCall] = field(default_factory=dict)
    unpublished: dict[CallId, OpenCall] = field(default_factory=dict)  # done by the worker, not yet begun by us


class Gate:
    """One for the daemon. Not thread-safe: it is used on the event loop.

    While `is_suspended`, what is cut short is left without an outcome. `may_act` is asked, in any thread, right before
    a file is published: False when another daemon has taken over.
    """

    def __init__(
        self,
        catalog: Mapping[str, Tool],
        *,
        tokens: TokenBox,
        ledger: Ledger,
        audit: AuditSink,
        files: Callable[[Submitter], FileBroker],
        clock: Clock,
        cells: Cells | None = None,
        desk: ApprovalDesk | None = None,
        is_suspended: Callable[[], bool] = lambda: False,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self._catalog = catalog
        self._tokens = tokens
        self._records = Records(ledger, audit, is_suspended)
        self._files = files
        self._cells = cells
        self._desk = desk
        self.writers = Writers()
        self._may_act = may_act
        self._clock = clock
        self._agents: dict[AgentId, _Agent] = {}

    def request(self, caller: Caller, call: CallRequest) -> Permit | BrokerWork | HeldCall:
        """Let a call through, hold it until it is approved, or neither; its refusal is on record.

        Raises:
            DeniedError: no such tool, or not granted; the remedy is the grant that would allow it.
            InputError: arguments that the tool does not take.
            LimitError: a grant is spent, or the same call came for the sixth time.
            AaosError: what it names cannot be opened.
        """
        started_s = self._clock.monotonic_s()
        try:
            tool = admit.find_tool(self._catalog, call.tool)
            args = admit.parse(tool, call.args)
        except AaosError as error:
            self._not_understood(caller, call, error)
            raise
        draft = draft_of(caller, call, tool, admit.canonical(args), path=next(iter(admit.paths_of(tool, args)), None))
        opened = OpenCall(draft, tool, args, started_s)
        try:
            opened.count = self._counted(draft, is_effect=tool.is_effect)
            self._admit(caller, opened)
            if is_approved_first([charge.capability for charge in opened.charges]):
                return self._held(caller, opened)
            match tool:
                case WorkerTool():
                    return self._permitted(opened)
                case BrokerTool():
                    self._records.permitted(draft, pre_hash=None)
                    return self._broker_work(caller, tool, opened)
                case CellTool():
                    return self._cell_work(caller, tool, opened)
                case _:
                    assert_never(tool)
        except AaosError as error:
            opened.handout.discard()
            self._records.refused(draft, error)
            raise

    def done(self, caller: Caller, report: abi.ToolDone) -> Reported | Publish:
        """A worker says that it carried a permit out. Its words are a report, and discarded when the grant was revoked
        meanwhile; a file is published by us, or not.

        Raises:
            WorkerLostError: the permit is not one that this agent has; the session must end.
        """
        opened = self._agent(caller.agent).permits.pop(report.permit, None)
        if opened is None:
            raise WorkerLostError(f"tool.done for {quoted(report.permit)}, which is not open", "see aaos-abi(7)")
        opened.handout.close()
        if not self._is_live(opened):
            error = _revoked(opened)
            return Reported(error, partial(self._failed, opened, error))
        if opened.handout.pending is None:
            return self._reported(opened, report)
        if report.ok:
            self._agent(caller.agent).unpublished[opened.draft.record.call] = opened
            return self._publishing(caller, opened)
        opened.handout.discard()
        return self._reported(opened, report)

    def abandon(self, caller: Caller) -> None:
        """The agent has ended: its open permits were not carried out, and nothing of them was published."""
        agent = self._agents.pop(caller.agent, None)
        if agent is None:
            return
        for opened in (left := (*agent.permits.values(), *agent.unpublished.values())):
            opened.handout.discard()
        error = WorkerLostError("the worker ended before the call was done; nothing was changed", "call it again")
        for opened in left:
            with suppress(NotFoundError):  # its permit was taken back, and never left
                self._failed(opened, error)

    def recall(self, caller: Caller, counted: Iterable[tuple[str, bool]]) -> None:
        """Counts (digest, is it an effect) of calls that a resumed agent made before."""
        for digest, is_effect in counted:
            self._agent(caller.agent).guard.count(digest, is_effect=is_effect)

    # --- on the way in ------------------------------------------------------------------------------------------------

    def _not_understood(self, caller: Caller, call: CallRequest, error: AaosError) -> None:
        """The refusal of a call that names no tool or gives it wrong arguments. Raises LimitError for the sixth."""
        path = call.args.get("path", call.args.get("url"))
        draft = draft_of(
            caller, call, self._catalog.get(call.tool), admit.canonical(call.args),
            path=path[:_PATH_CHARS] if isinstance(path, str) else None,
        ).shortened()  # fmt: skip
        try:
            self._counted(draft, is_effect=False)
        except LimitError as limit:
            self._records.refused(draft, limit)
            raise
        self._records.refused(draft, error)

    def _admit(self, caller: Caller, opened: OpenCall) -> None:
        """Charge the call, then open what it names. Raises AaosError."""
        files = self._files(caller.submitter)
        budgeted = self._agent(caller.agent).budgeted
        charger = admit.Charger(self._tokens, caller.agent, caller.roots, files, budgeted)
        admitted = charger.charge(opened.tool, opened.args)
        opened.charges, opened.uses = admitted.charges, admitted.uses
        if admitted.uses:
            opened.handout = hand_out(admitted.uses, caller.roots, files)

    def _held(self, caller: Caller, opened: OpenCall) -> HeldCall:
        """Written down with what it is bound to, before anybody is asked. Raises AaosError."""
        if self._desk is None:
            raise DeniedError(f"{opened.tool.name}: nobody approves calls here", "see `agentd doctor`")
        require_holdable(opened.tool)
        asking = Asking(self._desk, self._records, self._tokens, self._files(caller.submitter), caller, opened)
        return HeldCall(
            asking,
            is_usable=partial(self._is_live, opened, is_late=False),
            carry=partial(self._carry, self._desk, caller, opened),
            failed=self._failed,
            approval=None if isinstance(opened.tool, CellTool) else asking.ask(),
        )

    async def _carry(self, desk: ApprovalDesk, caller: Caller, opened: OpenCall) -> ToolResult:
        """What was approved, by agentd or in a cell. Raises AaosError; its outcome is on record in any case."""
        async with AsyncExitStack() as still:
            work = await self._approved(desk, caller, opened, still)
            return await (work.finish() if isinstance(work, Publish) else work.run())

    async def _approved(
        self, desk: ApprovalDesk, caller: Caller, opened: OpenCall, still: AsyncExitStack
    ) -> BrokerWork | Publish:
        """When it is all as it was. `still` is what keeps it so while a program runs."""
        files = self._files(caller.submitter)
        try:
            if opened.bound is not None:
                bound = opened.bound
                await still.enter_async_context(self.writers.alone(bound.paths, bound.inodes, hold=caller.hold))
            opened.handout = hand_out(opened.uses, caller.roots, files) if opened.uses else Handout()
            match opened.tool:
                case WorkerTool():
                    await asyncio.to_thread(fill, opened, opened.pre_hash)
                    self._records.permitted(opened.draft, pre_hash=opened.pre_hash)
                    self._agent(caller.agent).unpublished[opened.draft.record.call] = opened
                    work: BrokerWork | Publish = self._publishing(caller, opened)
                case BrokerTool():
                    self._records.permitted(opened.draft, pre_hash=None)
                    work = self._broker_work(caller, opened.tool, opened)
                case CellTool():
                    await require_same(opened, files, desk.bind_limits)
                    work = self._cell_work(caller, opened.tool, opened)
                case _:
                    assert_never(opened.tool)
            await desk.durable()
            if not self._is_live(opened, is_late=False):
                raise _revoked(opened)
        except BaseException as error:
            self._agent(caller.agent).unpublished.pop(opened.draft.record.call, None)
            opened.handout.discard()
            self._failed(opened, known(error))
            raise
        return work

    def _broker_work(self, caller: Caller, tool: BrokerTool, opened: OpenCall) -> BrokerWork:
        charger = admit.Charger(
            self._tokens, caller.agent, caller.roots, self._files(caller.submitter), self._agent(caller.agent).budgeted
        )
        call = call_of(opened, charger, who=caller.submitter, records=self._records)
        return BrokerWork(opened, partial(tool.run, opened.args, call), done=self._carried_out, failed=self._failed)

    def _cell_work(self, caller: Caller, tool: CellTool, opened: OpenCall) -> BrokerWork:
        if self._cells is None:
            raise ToolError(f"{tool.name}: this agentd runs no programs", "see `agentd doctor`")
        files, turn, who = self._files(caller.submitter), self._turn(caller, opened), caller.submitter
        call = CellCall(tool, opened, self._cells, self._records, files, turn, who)
        call.prepare()
        self._records.permitted(opened.draft, pre_hash=None)
        return BrokerWork(opened, call.run, done=self._carried_out, failed=self._failed)

    def _counted(self, draft: Draft, *, is_effect: bool) -> int:
        """How often this was asked for. A program may poll; a model that does is going round in circles."""
        if draft.record.origin is Origin.CODE:
            return 0
        count = self._agent(draft.record.agent).guard.count(draft.record.digest, is_effect=is_effect)
        if count in (HINT_AT, END_AT):
            self._records.repeated(draft, count)
        if count >= END_AT:
            raise too_often(draft.record.tool)
        return count

    def _permitted(self, opened: OpenCall) -> Permit:
        draft = opened.draft
        self._records.permitted(draft, pre_hash=pre_text(opened.handout.pending))
        permit = PermitId(draft.record.call)
        self._agent(draft.record.agent).permits[permit] = opened
        value = {
            "permit": permit,
            "tool": draft.record.tool,
            "args": opened.args,
            "files": opened.handout.files,
            "limit_bytes": opened.limit_bytes,
        }
        return Permit(permit, draft.record.tool, value, tuple(opened.handout.fds))

    # --- on the way out -----------------------------------------------------------------------------------------------

    def _reported(self, opened: OpenCall, report: abi.ToolDone) -> Reported:
        text, is_cut = clip(report.text, opened.limit_bytes + MARKER_BYTES, hint="the worker gave too much")
        result = ToolResult(text + hint(opened.count), report.ok, report.truncated or is_cut)
        return Reported(
            result, partial(self._records.done, opened.draft, self._outcome(opened, result, Evidence.REPORTED))
        )

    def _carried_out(self, opened: OpenCall, got: BrokerResult) -> ToolResult:
        if not self._is_live(opened):
            error = _revoked(opened)
            self._failed(opened, error)
            raise error
        if opened.tool.is_effect and (agent := self._agents.get(opened.draft.record.agent)):
            agent.guard.changed()
        kept, is_cut = clip(got.text, opened.limit_bytes + OVERHEAD_BYTES, hint="ask for less")
        result = ToolResult(kept + hint(opened.count), got.is_ok, got.is_truncated or is_cut)
        outcome = self._outcome(opened, result, Evidence.OBSERVED)
        self._records.done(opened.draft, replace(outcome, label=got.label), got.facts)
        return result

    def _published(self, opened: OpenCall, observed: Observed) -> ToolResult:
        if agent := self._agents.get(opened.draft.record.agent):
            agent.guard.changed()
        written = WrittenFile(observed.path, observed.sha256, observed.size_bytes)
        text = published_text(written, was_there=observed.was_there)
        result = ToolResult(text + hint(opened.count), ok=True, written=written)
        self._records.written(opened.draft, written, self._outcome(opened, result, Evidence.OBSERVED))
        return result

    def _publishing(self, caller: Caller, opened: OpenCall) -> Publish:
        return Publish(
            opened,
            begin=partial(self._begin_publishing, opened),
            publish=self._files(caller.submitter).publish,
            may_commit=lambda: self._may_act() and self._is_live(opened),
            published=self._published,
            failed=self._failed,
            turn=self._turn(caller, opened),
        )

    def _turn(self, caller: Caller, opened: OpenCall) -> Turn:
        """Its turn among those that change files; one that is alone has had it."""
        if opened.bound is not None:
            return lambda paths, inodes=NO_INODES: nullcontext(Claim(paths, inodes=inodes))
        controls = isinstance(opened.tool, CellTool) and opened.tool.wrapper.control_writable
        return partial(self.writers.writing, hold=caller.hold, controls=controls)

    def _begin_publishing(self, opened: OpenCall) -> None:
        """From here on the publisher settles the call. Raises CancelledError when `abandon` has done so already."""
        agent = self._agents.get(opened.draft.record.agent)
        if agent is None or agent.unpublished.pop(opened.draft.record.call, None) is None:
            raise CancelledError("the agent ended before its file was published", "submit again")

    def _outcome(self, opened: OpenCall, result: ToolResult, evidence: Evidence) -> CallOutcome:
        state, code = (CallState.DONE, None) if result.ok else (CallState.FAILED, ToolError.code)
        file, took_ms = result.written, self._took_ms(opened)
        seen = (state, result.text, result.truncated, evidence, took_ms)
        if file is None:
            return CallOutcome(*seen, error_code=code)
        return CallOutcome(*seen, file.sha256, code, size_bytes=file.size_bytes)

    def _failed(self, opened: OpenCall, error: AaosError, *, state: CallState = CallState.FAILED) -> None:
        if isinstance(error, ConflictError):
            self._records.conflict(opened.draft, error)
        self._records.failed(opened.draft, error, duration_ms=self._took_ms(opened), state=state)

    def _is_live(self, opened: OpenCall, *, is_late: bool = True) -> bool:
        """Whether no grant of the call was revoked since; unless `is_late`, nor has expired."""
        holds = self._tokens.is_live if is_late else self._tokens.is_usable
        return all(map(holds, opened.charges))

    def _took_ms(self, opened: OpenCall) -> float:
        return round((self._clock.monotonic_s() - opened.started_s) * 1_000, 3)

    def _agent(self, agent: AgentId) -> _Agent:
        known = self._agents.get(agent)
        if known is None:
            known = self._agents[agent] = _Agent(admit.budgeted_kinds(self._tokens, agent))
        return known


def _revoked(opened: OpenCall) -> DeniedError:
    opened.handout.discard()
    message = f"{opened.draft.record.tool}: the grant was revoked while the call ran; its result is discarded"
    return DeniedError(message, "ask the operator")
