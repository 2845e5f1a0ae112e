"""A scene whose calls wait for approvals, and rows of approvals in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from aaos.broker.binding import DEFAULTS, BindLimits
from aaos.core.approval import Approval, ApprovalState, Settling
from aaos.core.capability import Capability, Kind
from aaos.core.cell import CellRunner
from aaos.core.constraint import Constraints
from aaos.core.errors import ConflictError, NotFoundError
from aaos.core.ids import ApprovalId, CallId, RunId
from aaos.core.ports import Held
from aaos.tools.brokered import ToolResult
from aaos.tools.catalog import CATALOG
from aaos.tools.desk import ApprovalDesk
from aaos.tools.held import HeldCall
from aaos.tools.spec import Tool
from tests.fakes import MemoryAudit, at_once
from tests.unit.tools.scene import AGENT, Scene
from worker.abi import Json

FIRST = Constraints(is_approved_first=True)


class MemoryApprovals:
    """Implements ApprovalStore."""

    def __init__(self) -> None:
        self.rows: dict[ApprovalId, Approval] = {}

    def add(self, approval: Approval) -> None:
        if self.of_call(approval.asked.call):
            raise ConflictError("it is there already", "")
        self.rows[approval.id] = approval

    def get(self, approval: ApprovalId) -> Approval:
        if approval not in self.rows:
            raise NotFoundError(f"no approval {approval}", "")
        return self.rows[approval]

    def of_call(self, call: CallId) -> Approval | None:
        return next((one for one in self.rows.values() if one.asked.call == call), None)

    def of_run(self, run: RunId) -> tuple[Approval, ...]:
        return tuple(one for one in self.rows.values() if one.asked.run == run)

    def waiting(self) -> tuple[Approval, ...]:
        return tuple(one for one in self.rows.values() if one.state is ApprovalState.WAITING)

    def settle(self, approval: ApprovalId, how: Settling, *, now_s: float) -> bool:
        if self.rows[approval].state is not ApprovalState.WAITING:
            return False
        self.rows[approval] = replace(
            self.rows[approval],
            state=how.state,
            settled_s=now_s,
            by=how.by,
            terminal=how.terminal,
            reason=how.reason,
        )
        return True


class HeldScene(Scene):
    """One agent whose grants of `tools`, or of `files` for writing, wait for an approval."""

    def __init__(
        self,
        path: Path,
        *,
        tools: tuple[str, ...] = (),
        files: Constraints = FIRST,
        wait_s: float = 60.0,
        catalog: Mapping[str, Tool] = CATALOG,
        cells: CellRunner | None = None,
        bind_limits: BindLimits = DEFAULTS,
    ) -> None:
        self.approvals, self.is_closing, self.approvals_audit = MemoryApprovals(), False, MemoryAudit()
        self.desk = ApprovalDesk(
            self.approvals,
            self.approvals_audit,
            step=nullcontext,
            durable=at_once,
            wait_s=wait_s,
            is_suspended=lambda: self.is_closing,
            bind_limits=bind_limits,
        )
        writes = Capability(Kind.FILE_WRITE, f"{path}/**", files)
        reads = Capability(Kind.FILE_READ, f"{path}/**")
        super().__init__(
            path,
            held=Held.GATE if cells is None else Held.KERNEL,
            grants=[reads, writes],
            desk=self.desk,
            is_suspended=lambda: self.is_closing,
            catalog=catalog,
            cells=cells,
        )
        if tools:
            self.tokens.revoke(AGENT)
            held = [Capability(Kind.TOOL, name, FIRST) for name in tools]
            self.tokens.grant(AGENT, [reads, replace(writes, constraints=Constraints()), *held])

    def held(self, tool: str, **args: Json) -> HeldCall:
        """A call that waits now."""
        made = self.request(tool, args)
        assert isinstance(made, HeldCall)
        return made

    def one(self) -> Approval:
        """The only approval."""
        (found,) = self.approvals.rows.values()
        return found

    def outcome(self, call: HeldCall, meanwhile: Callable[[], Awaitable[object]]) -> ToolResult:
        """What the call came to when that happened while it waited."""

        async def main() -> ToolResult:
            async with asyncio.timeout(10):
                running = asyncio.ensure_future(call.run())
                for _ in range(2_000):  # a program's call is asked about when its files were looked at
                    if call.approval is not None or running.done():
                        break
                    await asyncio.sleep(0.001)
                if running.done():
                    return await running
                for _ in range(5):
                    await asyncio.sleep(0)
                try:
                    await meanwhile()
                except BaseException:
                    running.cancel()
                    raise
                return await running

        return asyncio.run(main())

    async def approve(self) -> Approval:
        """By the digest that was shown."""
        one = self.approvals.waiting()[0]
        return await self.desk.settle(one, one.digest, Settling(ApprovalState.APPROVED))
