"""Where calls wait for approvals, and who approves settles them (APR-1 to APR-3).

Invariant: an approval is written before anybody is asked, and its end before anybody hears of it; it ends once, and by
its deadline at the latest, as not given. A run asks for a bounded number. It carries nothing out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

from aaos.broker.binding import DEFAULTS, BindLimits
from aaos.core.approval import Approval, ApprovalState, ApprovalStore, Asked, Settling
from aaos.core.errors import AaosError, BusyError, ConflictError, DeniedError, LimitError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ids import ApprovalId, RunId, new_approval_id
from aaos.core.ports import AuditSink

MAX_WAITING = 16  # of one run at a time
MAX_ALL_WAITING = 1_024
MAX_REFUSED = 8  # of one run: after that nobody is asked any more
_LOOK_S = 30.0  # so that a clock that is set is noticed
_KINDS = {
    ApprovalState.APPROVED: EventKind.APPROVAL_GIVEN,
    ApprovalState.DENIED: EventKind.APPROVAL_DENIED,
    ApprovalState.EXPIRED: EventKind.APPROVAL_EXPIRED,
    ApprovalState.WITHDRAWN: EventKind.APPROVAL_WITHDRAWN,
}
_REFUSED = (ApprovalState.DENIED, ApprovalState.EXPIRED)


@dataclass(slots=True)
class ApprovalDesk:
    """One for the daemon. `step` makes rows one transaction, `durable` waits until they survive a power cut. While
    `is_suspended`, nothing is withdrawn: the next daemon goes on waiting. `bind_limits` bound what one is bound to."""

    rows: ApprovalStore
    audit: AuditSink
    step: Callable[[], AbstractContextManager[None]]
    durable: Callable[[], Awaitable[None]]
    wait_s: float
    is_suspended: Callable[[], bool] = lambda: False
    now_s: Callable[[], float] = time.time
    bind_limits: BindLimits = DEFAULTS
    _bells: dict[ApprovalId, asyncio.Event] = field(default_factory=dict)

    def ask(self, asked: Asked) -> Approval:
        """The approval of a call: the one that it had before agentd was restarted, or a new one.

        Raises:
            ConflictError: it was asked for another call than this one is now.
            DeniedError, LimitError, BusyError: nobody is asked.
        """
        before = self.rows.of_call(asked.call)
        if before is not None:
            if before.digest == asked.digest:
                return before
            self.withdraw(before.id)
            message = (
                f"{asked.tool}: what it would change, or what the agent may do, is not what it was when it was held"
            )
            raise ConflictError(message, "read again what it changes, then ask again")
        self._check_flood(asked)
        now_s = self.now_s()
        approval = Approval(new_approval_id(), asked, asked.digest, now_s, now_s + self.wait_s)
        with self.step():
            self.rows.add(approval)
            self._tell(EventKind.APPROVAL_ASKED, approval, {"until_s": approval.until_s})
        return approval

    async def settled(self, approval: ApprovalId) -> Approval:
        """Waits for its end. Raises StorageError."""
        bell = self._bells.setdefault(approval, asyncio.Event())
        ends_s = time.monotonic() + self.wait_s  # whatever is done to the clock of the machine
        try:
            while (found := self.rows.get(approval)).state is ApprovalState.WAITING:
                left_s = min(found.until_s - self.now_s(), ends_s - time.monotonic())
                if left_s <= 0:
                    self._end(found, Settling(ApprovalState.EXPIRED))
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left_s, _LOOK_S)):
                        await bell.wait()
        finally:
            self._bells.pop(approval, None)
        await self.durable()
        return found

    async def settle(self, approval: Approval, digest: str, how: Settling) -> Approval:
        """Somebody approves or denies what they were shown, which `digest` says.

        Raises ConflictError: it is settled, over, or another call than that.
        """
        if digest != approval.digest:
            message = f"{approval.id} is for another call than the digest says"
            raise ConflictError(message, f"look at it again: agentd approvals show {approval.id}")
        if approval.until_s <= self.now_s():
            self._end(approval, Settling(ApprovalState.EXPIRED))
        elif self._end(approval, how):
            await self.durable()
            self._ring(approval.id)
            return self.rows.get(approval.id)
        state = self.rows.get(approval.id).state
        raise ConflictError(f"{approval.id} is {state} already", "see: agentd approvals list")

    def withdraw(self, approval: ApprovalId) -> None:
        """Nobody asks for it any more."""
        if not self.is_suspended():
            self._end(self.rows.get(approval), Settling(ApprovalState.WITHDRAWN))

    def withdraw_of(self, run: RunId) -> None:
        """A run has ended, or goes on with the next daemon."""
        for approval in self.rows.of_run(run):
            if approval.state is ApprovalState.WAITING:
                self.withdraw(approval.id)

    def withdraw_but(self, runs: Collection[RunId]) -> None:
        """At the start: what runs wait for that do not go on."""
        for approval in self.rows.waiting():
            if approval.asked.run not in runs:
                self._end(approval, Settling(ApprovalState.WITHDRAWN))

    def _check_flood(self, asked: Asked) -> None:
        of_run = self.rows.of_run(asked.run)
        refused = [one for one in of_run if one.state in _REFUSED]
        for one in refused:
            if (one.asked.tool, one.asked.arguments, one.asked.pre_hash) == (
                asked.tool,
                asked.arguments,
                asked.pre_hash,
            ):
                raise refusal(one)
        if len(refused) >= MAX_REFUSED:
            message = f"{len(refused)} calls of this run were not approved; nobody is asked any more"
            raise LimitError(message, "submit again, and grant what is meant without approval_required")
        if sum(one.state is ApprovalState.WAITING for one in of_run) >= MAX_WAITING:
            raise DeniedError(f"{MAX_WAITING} calls of this run wait for approval already", "wait for these first")
        if len(self.rows.waiting()) >= MAX_ALL_WAITING:
            raise BusyError(f"{MAX_ALL_WAITING} calls wait for approval", "settle some: agentd approvals list")

    def _end(self, approval: Approval, how: Settling) -> bool:
        """Whether this was its end."""
        with self.step():
            is_end = self.rows.settle(approval.id, how, now_s=self.now_s())
            if is_end:
                by: dict[str, Scalar] = {} if how.by is None else {"uid": how.by, "terminal": how.terminal}
                by |= {"reason": how.reason} if how.reason else {}
                self._tell(_KINDS[how.state], approval, by)
        if is_end and how.state is not ApprovalState.APPROVED:
            self._ring(approval.id)
        return is_end

    def _ring(self, approval: ApprovalId) -> None:
        if bell := self._bells.get(approval):
            bell.set()

    def _tell(self, kind: EventKind, approval: Approval, fields: dict[str, Scalar]) -> None:
        asked = approval.asked
        about: dict[str, Scalar] = {"approval": approval.id, "call": asked.call, "tool": asked.tool}
        about["path" if asked.resource.startswith("/") else "url"] = asked.resource
        about |= {"digest": approval.digest, **fields}
        self.audit.record(Event(kind, asked.run, asked.subtask, asked.agent, about))


def refusal(approval: Approval) -> AaosError:
    """What the agent is told of an approval that was not given."""
    if approval.state is ApprovalState.EXPIRED:
        return DeniedError(f"{approval.asked.tool}: nobody approved it in time", "do without it")
    if approval.state is ApprovalState.WITHDRAWN:
        return DeniedError(f"{approval.asked.tool}: it is not asked for any more", "ask again")
    why = f": {approval.reason}" if approval.reason else ""
    return DeniedError(f"{approval.asked.tool}: uid {approval.by} did not approve it{why}", "do without it")
