"""Stand-ins that speak the real protocols: a launcher whose workers are threads on a real ABI socket, without a wall.

Invariant: frames are encoded, sent, received and decoded by the product's own code, fds included; only confinement is
left out. For unit tests; what the wall promises is tested in tests/kernel.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import replace

from aaos.core.cell import CellNetwork, CellRequest, CellResult, Output
from aaos.core.errors import AaosError, ToolError, WorkerLostError
from aaos.core.events import Event, EventKind, Recorded
from aaos.core.ids import AgentId, CallId, RunId, Uid
from aaos.core.layers import ALL_LAYERS
from aaos.core.ports import (
    Attestation,
    CallOutcome,
    CallRecord,
    CallRow,
    CallState,
    LaunchRequest,
    Page,
    PageRequest,
    Spend,
    SpendStore,
)
from aaos.core.role import Tier
from aaos.llm import types as llm
from aaos.llm.budget import Account, Charge
from aaos.llm.schedule import Answered
from worker import abi, transport

Agent = Callable[[socket.socket], None]  # what runs in the worker; `entry` of the request chooses it


class MemoryAudit:
    """Keeps events in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.notes: list[Event] = []

    def note(self, event: Event) -> None:
        """As store.audit: told to those who watch, not recorded."""
        self.notes.append(event)

    def record(self, event: Event) -> Recorded:
        self.events.append(event)
        return Recorded(len(self.events), 0.0, event)

    def kinds(self) -> list[EventKind]:
        """The kinds of all events, in order."""
        return [event.kind for event in self.events]

    def of(self, kind: EventKind) -> list[Event]:
        """The events of one kind."""
        return [event for event in self.events if event.kind is kind]


class ThreadSession:
    """A session with a worker that is a thread of this process."""

    def __init__(self, request: LaunchRequest, agent: Agent) -> None:
        self.agent: AgentId = request.agent
        self.attestation = Attestation(
            agent=request.agent,
            pid=os.getpid(),
            host_uid=Uid(65534),
            layers=(),
            missing=tuple(sorted(ALL_LAYERS)),
            inside={},
            outside={},
            policy_digest="0" * 64,
            filter_digest="0" * 64,
            duration_ms=0.0,
        )
        self.closed: list[str] = []
        self.halts = 0
        self._handle: Callable[[abi.FromWorker], None] | None = None
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.setblocking(False)
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._theirs = theirs
        self._thread = threading.Thread(target=self._run, args=(agent, theirs), daemon=True)

    async def serve(self, start: abi.Start, handle: Callable[[abi.FromWorker], None]) -> str:
        """As ports.Session."""
        loop = asyncio.get_running_loop()
        self._handle = handle
        self._thread.start()
        loop.add_reader(self._sock, self._read, handle)
        self.send(start)
        return await self._ended

    def send(self, frame: abi.ToWorker, fds: Sequence[int] = ()) -> None:
        """As ports.Session; these workers always read."""
        if not self.closed:
            transport.send(self._sock, frame, fds)

    def attest_again(self) -> Attestation:
        """As ports.Session."""
        return self.attestation

    def attest_cells(self) -> tuple[Attestation, ...]:
        """As ports.Session; there are none."""
        return ()

    async def pause(self) -> None:
        """As ports.Session; a thread goes on, but nobody hears it."""
        asyncio.get_running_loop().remove_reader(self._sock)

    def go_on(self) -> None:
        """As ports.Session."""
        if self._handle is not None and not self.closed:
            asyncio.get_running_loop().add_reader(self._sock, self._read, self._handle)

    @asynccontextmanager
    async def halted(self) -> AsyncIterator[None]:
        """As ports.Session; a thread goes on, and what it was told so is counted."""
        self.halts += 1
        yield

    def fail(self, error: AaosError) -> None:
        """As ports.Session."""
        self._fail(error)

    async def close(self, reason: str) -> None:
        """As ports.Session; a thread can't be killed, but it ends with its socket."""
        if self.closed:
            return
        self.closed.append(reason)
        self._end(reason)
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        if self._thread.ident is None:
            self._theirs.close()
        else:
            await asyncio.to_thread(self._thread.join, 2.0)

    def _read(self, handle: Callable[[abi.FromWorker], None]) -> None:
        try:
            frame, _ = transport.receive(self._sock, abi.FROM_WORKER)
            handle(frame)
        except transport.ClosedError:
            self._end("the worker ended")
        except abi.FrameError as error:
            self._fail(WorkerLostError(f"the worker broke the ABI: {error}", ""))
        except AaosError as error:
            self._fail(error)

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)
            asyncio.get_running_loop().remove_reader(self._sock)

    def _fail(self, error: AaosError) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
            asyncio.get_running_loop().remove_reader(self._sock)

    @staticmethod
    def _run(agent: Agent, sock: socket.socket) -> None:
        with sock:
            with contextlib.suppress(OSError, transport.ClosedError):
                agent(sock)


class NoCells:
    """Implements cell.CellRunner for daemons whose agents start no program."""

    network: CellNetwork | None = None

    async def run_cell(self, request: CellRequest, output: Output) -> CellResult:  # a protocol's shape
        """Refuses."""
        raise AssertionError(f"{request.program} was to be run")


class ThreadLauncher:
    """Implements ports.Launcher; `choose` gives the code of each worker."""

    def __init__(self, choose: Callable[[LaunchRequest], Agent]) -> None:
        self._choose = choose
        self.requests: list[LaunchRequest] = []
        self.sessions: list[ThreadSession] = []
        self.cells = NoCells()

    async def launch(self, request: LaunchRequest) -> ThreadSession:
        """A worker that waits for `start`."""
        self.requests.append(request)
        session = ThreadSession(request, self._choose(request))
        self.sessions.append(session)
        return session

    async def start(self) -> None:
        """As the real launcher."""

    async def supervise(self) -> None:
        """Nothing of it can die."""

    async def stop(self) -> None:
        """As the real launcher."""


class MemoryLedger:
    """Keeps rows of calls and how they ended. A higher `epoch` is a new daemon on the same rows."""

    def __init__(self) -> None:
        self.opened: dict[CallId, CallRecord] = {}
        self.settled: dict[CallId, CallOutcome] = {}
        self.epochs: dict[CallId, int] = {}
        self.epoch = 1
        self.lowered: set[RunId] = set()

    def step(self) -> contextlib.AbstractContextManager[None]:
        """As ports.Ledger."""
        return contextlib.nullcontext()

    def open_call(self, record: CallRecord) -> None:
        """As ports.Ledger; an id comes once, or once more in a later epoch when it had no outcome."""
        before = self.opened.get(record.call)
        if before is not None:
            assert record.call not in self.settled
            assert self.epochs[record.call] < self.epoch
            assert before.digest == record.digest
        self.opened[record.call] = record
        self.epochs[record.call] = self.epoch

    def permit_call(self, call: CallId) -> None:
        """As ports.Ledger."""
        assert self.opened[call].state is CallState.HELD
        self.opened[call] = replace(self.opened[call], state=CallState.PERMITTED)

    def lower_trust(self, run: RunId) -> bool:
        """As ports.Ledger."""
        is_first = run not in self.lowered
        self.lowered.add(run)
        return is_first

    def settle_call(self, call: CallId, outcome: CallOutcome) -> None:
        """As ports.Ledger; a call ends once."""
        assert call in self.opened
        assert call not in self.settled
        self.settled[call] = outcome

    def of_agent(self, agent: AgentId) -> tuple[CallRow, ...]:
        """As store.calls."""
        found = (record for record in self.opened.values() if record.agent == agent)
        return tuple(CallRow(one, self.settled.get(one.call), self.epochs[one.call]) for one in found)


class ScriptedWeb:
    """The door to the web, with prepared pages by address; an error stands for a page that cannot be had."""

    def __init__(self, pages: Mapping[str, Page | AaosError] | None = None) -> None:
        self.pages = dict(pages or {})
        self.asked: list[PageRequest] = []

    async def fetch(self, asked: PageRequest) -> Page:
        """As broker.egress.Egress."""
        self.asked.append(asked)
        page = self.pages.get(asked.url.text) or ToolError(f"{asked.url.host}: its name cannot be resolved", "")
        if isinstance(page, AaosError):
            raise page
        part = page.text[asked.offset : asked.offset + asked.max_bytes]
        return replace(page, text=part, text_bytes=len(page.text))

    @asynccontextmanager
    async def open_door(self, listener_fd: int, request: CellRequest) -> AsyncIterator[None]:
        """No cell has a network."""
        raise AssertionError(f"{request.program} wanted a door at {listener_fd}")
        yield

    async def start(self) -> None:
        """As the real one."""

    async def supervise(self) -> None:
        """Nothing of it can die."""

    async def stop(self) -> None:
        """As the real one."""


def page(text: str, *, status: int = 200, location: str = "", media_type: str = "text/html") -> Page:
    """A page of the open internet."""
    return Page(status, location, "93.184.216.34", media_type, text.encode(), len(text.encode()), len(text), "")


class MemoryConversations:
    """Keeps messages in order."""

    def __init__(self) -> None:
        self.rows: list[tuple[AgentId, str, bytes]] = []

    def append(self, agent: AgentId, role: str, body: bytes) -> int:
        """As the store."""
        self.rows.append((agent, role, body))
        return len(self.rows)


class MemorySpends:
    """Keeps what runs spent and held, as it was written last."""

    def __init__(self) -> None:
        self.rows: dict[RunId, tuple[Spend, Spend]] = {}
        self.synced = 0

    def spent(self, run: RunId) -> Spend:
        """As ports.SpendStore."""
        spent, held = self.rows.get(run, (Spend(), Spend()))
        return Spend(spent.tokens + held.tokens, spent.cost_usd + held.cost_usd)

    def set_spent(self, run: RunId, spent: Spend, *, held: Spend) -> None:
        """As ports.SpendStore."""
        self.rows[run] = (spent, held)

    async def durable(self) -> None:
        """As ports.SpendStore."""
        self.synced += 1


class ScriptedModel:
    """The door to every model, with prepared answers; None is a model that never answers."""

    def __init__(self, *answers: llm.ModelAnswer | AaosError | None) -> None:
        self.answers = list(answers)
        self.seen: list[llm.ModelRequest] = []
        self.asked = asyncio.Event()

    async def complete(
        self,
        request: llm.ModelRequest,
        ladder: tuple[Tier, ...],
        *,
        account: Account,
        deadline_s: float,
        on_text: llm.OnText | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> Answered:
        """As llm.schedule.Models."""
        assert ladder
        assert account.run
        assert deadline_s > 0
        self.seen.append(request)
        self.asked.set()
        answer = self.answers.pop(0)
        if on_text is not None and isinstance(answer, llm.ModelAnswer) and answer.text:
            on_text(answer.text)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, AaosError):
            raise answer
        assert answer is not None
        usage = answer.usage
        charge = Charge(usage.input_tokens, usage.output_tokens, usage.cached_tokens)
        return Answered(answer, "scripted", ladder[0], charge)


def account(*, tokens: int = 1_000_000, cost_usd: float = 1.0, store: SpendStore | None = None) -> Account:
    """The account of run `r`."""
    return Account(RunId("r"), Spend(tokens, cost_usd), store or MemorySpends())


class AtOnce:
    """Steps that nobody waits for."""

    def step(self) -> AbstractContextManager[None]:
        return nullcontext()

    def trailing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def proceed(self) -> None:
        pass

    async def durable(self) -> None:
        pass


async def at_once() -> None:
    """A barrier of a database that is on no disk."""
