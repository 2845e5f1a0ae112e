"""The shipped wrappers on real cells: a gate with one agent that was granted a workspace of OWNER, and all tools.

Invariant: calls go the whole way, from their arguments through the gate to a program behind the wall.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from aaos.broker.files import FileBroker
from aaos.broker.roots import close_roots
from aaos.core.capability import Capability, Kind
from aaos.core.cell import CellRunner
from aaos.core.envelope import Submitter
from aaos.core.ids import AgentId, CallId, Gid, RunId, SubtaskId, Uid
from aaos.core.ports import Origin
from aaos.core.token import TokenBox
from aaos.daemon.clock import SystemClock
from aaos.tools.brokered import BrokerWork, ToolResult
from aaos.tools.caller import Caller, CallRequest
from aaos.tools.celled import Cells
from aaos.tools.gate import Gate
from aaos.tools.offered import offer
from aaos.tools.spec import Tool
from aaos.tools.wrapperfile import load_wrappers
from tests.fakes import MemoryAudit, MemoryLedger
from tests.kernel.harness import OWNER
from worker.abi import Json

SHIPPED = load_wrappers([Path(__file__).parents[2] / "etc/aaos/wrappers"], taken=())
OFFERED = offer(SHIPPED.wrappers.values(), most_wall_s=600)
Run = Callable[[Coroutine[object, object, ToolResult]], ToolResult]


class Workbench:
    """One agent and its gate; `more` are grants beside its workspace and all tools."""

    def __init__(
        self, cells: CellRunner, run: Run, workspace: Path, *, tools: Mapping[str, Tool], more: Iterable[Capability]
    ) -> None:
        self.workspace = workspace
        self.audit, self.ledger = MemoryAudit(), MemoryLedger()
        self._run, self._tokens, self._number = run, TokenBox(SystemClock()), 0
        submitter, agent = Submitter(Uid(OWNER), Gid(OWNER)), AgentId("a-work")
        files = FileBroker(submitter, publishing_lock=threading.Lock())
        grants = [Capability(kind, f"{workspace}/**") for kind in (Kind.FILE_READ, Kind.FILE_WRITE)]
        self._tokens.grant(agent, [*grants, *more, *(Capability(Kind.TOOL, name) for name in tools)])
        self._roots = files.open_roots(grants)
        self._caller = Caller(RunId("r-1"), SubtaskId("s1"), agent, submitter, self._roots)
        self.gate = Gate(
            tools,
            tokens=self._tokens,
            ledger=self.ledger,
            audit=self.audit,
            files=lambda _: files,
            clock=SystemClock(),
            cells=Cells(cells, lambda _: None),
        )

    def call(self, tool: str, **args: Json) -> ToolResult:
        """One call to its end. Raises AaosError."""
        self._number += 1
        request = CallRequest(CallId(f"a-work-1-{self._number}"), tool, args, Origin.CODE, 1)
        work = self.gate.request(self._caller, request)
        assert isinstance(work, BrokerWork)
        return self._run(work.run())

    def write(self, name: str, content: str | bytes, *, mode: int = 0o644) -> str:
        """A file of OWNER's in the workspace, with the directories above it; its path."""
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        self.own()
        return str(path)

    def own(self) -> None:
        """Everything in the workspace is OWNER's, as what OWNER made would be."""
        for directory, names, files in os.walk(self.workspace):
            for name in ("", *names, *files):
                os.chown(os.path.join(directory, name), OWNER, OWNER, follow_symlinks=False)

    def close(self) -> None:
        """Let go of the roots."""
        close_roots(self._roots)


@contextmanager
def workbench(
    cells: CellRunner, run: Run, *, tools: Mapping[str, Tool] = OFFERED.tools, more: Iterable[Capability] = ()
) -> Iterator[Workbench]:
    """A workbench for the length of a block, in a directory that OWNER can reach."""
    with tempfile.TemporaryDirectory(prefix="aaos-work-") as above:
        os.chmod(above, 0o755)  # noqa: S103  # others may pass
        workspace = Path(above, "work")
        workspace.mkdir()
        os.chown(workspace, OWNER, OWNER)
        made = Workbench(cells, run, workspace, tools=tools, more=more)
        try:
            yield made
        finally:
            made.close()
