"""An agent's service with the real gate and everything but a worker: frames go in, answers are kept."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import cast

from aaos.agent.asked import AskedCalls
from aaos.agent.context import Context
from aaos.agent.service import AgentService, Doors, Terms
from aaos.agent.turns import Turns, TurnTerms
from aaos.broker.files import FileBroker
from aaos.core.capability import Capability, Kind
from aaos.core.cell import CellRunner
from aaos.core.envelope import Submitter
from aaos.core.errors import AaosError, LimitError
from aaos.core.ids import AgentId, Gid, RoleName, RunId, SubtaskId, Uid
from aaos.core.ports import Session
from aaos.core.role import Tier
from aaos.core.token import TokenBox
from aaos.daemon.clock import SystemClock
from aaos.llm import types as llm
from aaos.tools.caller import Caller
from aaos.tools.catalog import CATALOG
from aaos.tools.celled import Cells
from aaos.tools.gate import Gate
from aaos.tools.spec import CellTool
from tests.fakes import AtOnce, MemoryAudit, MemoryConversations, MemoryLedger, ScriptedModel, account
from worker import abi

AGENT = AgentId("a-one")
ECHO = {"text": "hello"}
NO_PROGRAMS: Mapping[str, CellTool] = {}
ME = Submitter(Uid(1000), Gid(1000))


class Sent:
    """The session's sending end."""

    def __init__(self) -> None:
        self.frames: list[abi.ToWorker] = []
        self.came = asyncio.Event()

    def send(self, frame: abi.ToWorker, fds: Sequence[int] = ()) -> None:
        del fds
        self.frames.append(abi.decode(abi.encode(frame), abi.TO_WORKER))
        self.came.set()

    def last(self) -> abi.ToWorker:
        return self.frames[-1]


@contextlib.contextmanager
def nobody_else(uid: int, gid: int, groups: Sequence[int]) -> Iterator[None]:
    """Acts as the one who runs the tests."""
    del uid, gid, groups
    yield


class Bench:
    """One agent with everything but a worker."""

    def __init__(
        self,
        *answers: llm.ModelAnswer | AaosError | None,
        may_code_call: bool = True,
        call_timeout_s: float = 5,
        max_calls: int = 1_000,
        programs: Mapping[str, CellTool] = NO_PROGRAMS,
        cells: CellRunner | None = None,
    ) -> None:
        self.audit, self.ledger, self.conversations = MemoryAudit(), MemoryLedger(), MemoryConversations()
        self.sent = Sent()
        self.calls_left = max_calls
        clock = SystemClock()
        tokens = TokenBox(clock)
        tokens.grant(AGENT, [Capability(Kind.TOOL, name) for name in ("echo", *programs)])
        lock = threading.Lock()
        self.gate = Gate(
            {**CATALOG, **programs},
            tokens=tokens,
            ledger=self.ledger,
            audit=self.audit,
            files=lambda submitter: FileBroker(submitter, publishing_lock=lock, act=nobody_else),
            clock=clock,
            cells=Cells(cells, self.audit.note) if cells else None,
        )
        self.caller = Caller(RunId("r"), SubtaskId("t"), AGENT, ME, ())
        asked = AskedCalls(AGENT)
        self.context = Context(AGENT, self.conversations, system="s", message="m")
        self.model = ScriptedModel(*answers)
        request = llm.ModelRequest(AGENT, RoleName("analyzer"), {}, "s", (), ())
        turn_terms = TurnTerms(RunId("r"), SubtaskId("t"), request, (Tier.T0,), account(), 8, 5)
        self.turns = Turns(
            turn_terms, self.context, asked=asked, models=self.model, audit=self.audit, note=self.audit.note
        )
        terms = Terms(self.caller, may_code_call, 3, call_timeout_s, self.charge)
        doors = Doors(self.gate, self.audit, self.conversations, AtOnce())
        self.service = AgentService(terms, self.turns, context=self.context, asked=asked, doors=doors)

    def charge(self) -> None:
        if not self.calls_left:
            raise LimitError("no calls left", "ask for less")
        self.calls_left -= 1

    def handle(self, frame: abi.FromWorker) -> None:
        """As the session does: what arrives was decoded from bytes."""
        self.service.handle(abi.decode(abi.encode(frame), abi.FROM_WORKER))

    def reply(self) -> dict[str, object]:
        frame = self.sent.last()
        assert isinstance(frame, abi.Reply), frame
        return dict(frame.value)

    def failure(self) -> abi.Failure:
        frame = self.sent.last()
        assert isinstance(frame, abi.Failure), frame
        return frame

    def permit(self, request: int, call: str | None = None) -> str:
        self.handle(abi.ToolCall(request, "echo", ECHO, call))
        return str(self.reply()["permit"])


Check = Callable[[Bench], Coroutine[None, None, None]]


def run(bench: Bench, check: Check) -> Bench:
    async def main() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            bench.service.attach(cast("Session", bench.sent), group.create_task)  # it only sends
            await check(bench)
            await bench.service.settle(1)
        bench.gate.abandon(bench.caller)

    asyncio.run(main())
    return bench


async def settled() -> None:
    """Lets tasks run until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


def calls(*tools: str) -> llm.ModelAnswer:
    asked = tuple(llm.AskedCall("x", tool, ECHO) for tool in tools)
    return llm.ModelAnswer("", asked, stop=llm.Stop.CALLS)
