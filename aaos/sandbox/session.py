"""agentd's end of one worker: frames in and out without ever blocking, and an end that leaves nothing.

Invariant: a session is made only by `launch`, after both attestations agreed; identity is this socket and this pidfd,
never what a frame says; whatever ends it, `close` kills, reaps and releases exactly once.
"""

import asyncio
import os
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn, Protocol

from aaos.core.errors import AaosError, BusyError, ConfinementError, ConflictError, WorkerLostError
from aaos.core.ids import AgentId
from aaos.core.pace import Bucket, Pace
from aaos.core.ports import Attestation
from aaos.sandbox.cgroup import Leaf
from aaos.sandbox.overrun import Overrun
from worker import abi, transport

QUEUE_FRAMES = 64
FRAMES_PER_WAKE = 32  # or this long: then other sessions get their turn
WAKE_S = 0.005
LARGE = Pace(per_s=4 * 2**20, burst=8 * 2**20)  # bytes of large frames: 4 MiB can take a quarter of a second to decode
REAP_TIMEOUT_S = 5.0
FREEZE_LOOKS, FREEZE_LOOK_S = 400, 0.005
_RESTLESS = "the worker does not stand still: it waits for a disk"
_CGROUP = "start agentd by its unit, with all layers: see agentd doctor"

FrameHandler = Callable[[abi.FromWorker], None]


class CellsOfAgents(Protocol):
    """The programs that run for an agent beside its worker."""

    async def pause(self, agent: AgentId) -> None: ...
    def go_on(self, agent: AgentId) -> None: ...
    def attest(self, agent: AgentId) -> tuple[Attestation, ...]: ...
    def forget(self, agent: AgentId) -> None: ...


@dataclass(frozen=True, slots=True)
class Confined:
    """A confirmed worker: everything that its session owns from now on."""

    sock: socket.socket
    pid: int
    pidfd: int
    attestation: Attestation
    attest: Callable[[], Attestation]
    release: Callable[[], Awaitable[None]]
    leaf: Leaf | None = None
    overrun: Overrun | None = None
    cells: CellsOfAgents | None = None


class WorkerSession:
    """Implements ports.Session."""

    def __init__(self, confined: Confined) -> None:
        self._confined = confined
        self._sock = confined.sock
        self._sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[abi.ToWorker, list[int]]] = deque()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._closed = False
        self._large = Bucket(LARGE, now_s=self._loop.time())
        self._rest_s = 0.0  # for so long nothing is read, after what was read last
        self._resting: asyncio.TimerHandle | None = None
        self._handle: FrameHandler | None = None
        self._is_paused = False
        self._halts = 0
        self._has_sent = False  # since a frame was read

    @property
    def agent(self) -> AgentId:
        """The agent that this worker is."""
        return self._confined.attestation.agent

    @property
    def attestation(self) -> Attestation:
        """What was confirmed at the start."""
        return self._confined.attestation

    async def serve(self, start: abi.Start, handle: FrameHandler) -> str:
        """Send `start`, then hand every frame to `handle` until the session ends; the reason.

        Raises AaosError that `handle` raised or `fail` was given, WorkerLostError when the worker broke the wire
        format, LimitError when it was ended at its memory limit.
        """
        self._handle = handle
        self._listen()
        try:
            self.send(start)
            reason = await self._ended
        finally:
            self._forget_socket()
        if met := self._look():
            raise met
        return reason

    def send(self, frame: abi.ToWorker, fds: Sequence[int] = ()) -> None:
        """Send or queue; the fds are duplicated. A full queue ends the session: the worker does not read."""
        if self._ended.done() or self._closed:
            return
        if self._queue:
            self._enqueue(frame, fds)
            return
        try:
            transport.send(self._sock, frame, fds)
            self._has_sent = True
        except BlockingIOError:
            self._enqueue(frame, fds)
            self._loop.add_writer(self._sock, self._flush)
        except OSError:
            self._end("the worker ended")

    def attest_again(self) -> Attestation:
        """The outside half repeated now. Raises ConfinementError on drift."""
        return self._confined.attest()

    def attest_cells(self) -> tuple[Attestation, ...]:
        """The same of its live cells. Raises ConfinementError on drift."""
        return self._confined.cells.attest(self.agent) if self._confined.cells else ()

    async def pause(self) -> None:
        """Freeze all of the worker and its cells, and read nothing of it from now on.

        Raises ConflictError without the cgroup layer, BusyError when it does not stand still in time and so goes on.
        """
        leaf = self._confined.leaf
        if leaf is None:
            raise ConflictError("a worker is paused by its cgroup, and this one has none", _CGROUP)
        if self._closed:
            return
        self._is_paused = True
        self._loop.remove_reader(self._sock)
        try:
            leaf.freeze(True)
            await frozen(leaf)
            if self._confined.cells:
                await self._confined.cells.pause(self.agent)
        except BaseException:
            self.go_on()
            raise

    def go_on(self) -> None:
        """End the pause; nothing when there is none. Raises ConfinementError."""
        if self._is_paused and not self._closed and self._confined.leaf:
            if self._confined.cells:
                self._confined.cells.go_on(self.agent)
            self._confined.leaf.freeze(False)
            self._is_paused = False
            self._listen()

    @asynccontextmanager
    async def halted(self) -> AsyncIterator[None]:
        """Not an instruction of the worker is carried out meanwhile, whatever it is paused for beside.

        Raises BusyError when it does not stand still in time. Source: pid_namespaces(7): SIGSTOP reaches its PID 1.
        """
        self._halts += 1
        try:
            self._signal(signal.SIGSTOP)
            await self._stopped()
            yield
        finally:
            self._halts -= 1
            if not self._halts:
                self._signal(signal.SIGCONT)

    def fail(self, error: AaosError) -> None:
        """End it for what was seen of it from outside: `serve` raises `error`."""
        self._fail(error)

    async def close(self, reason: str) -> None:
        """Kill the worker, wait until it is gone, give back what it held. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._confined.cells:
            self._confined.cells.forget(self.agent)
        self._end(reason)
        self._forget_socket()
        self._sock.close()
        while self._queue:
            transport.close_all(self._queue.popleft()[1])
        try:
            await reap(self._confined.pidfd, self._confined.leaf)
            self._look()
        finally:
            await self._confined.release()

    def _signal(self, number: signal.Signals) -> None:
        """Never after `close`, which closes the pidfd."""
        if not self._closed:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._confined.pidfd, number)

    async def _stopped(self) -> None:
        """Until it stands still, or has ended."""
        for _ in range(FREEZE_LOOKS):
            if self._closed or not _is_running(self._confined.pidfd):
                return
            await asyncio.sleep(FREEZE_LOOK_S)
        raise BusyError(_RESTLESS, "try again, or stop its run")

    def _look(self) -> AaosError | None:
        return self._confined.overrun.look() if self._confined.overrun else None

    def _read(self, handle: FrameHandler) -> None:
        until_s = self._loop.time() + WAKE_S
        for _ in range(FRAMES_PER_WAKE):
            if self._ended.done() or self._loop.time() > until_s:
                return
            try:
                frame, fds = transport.receive(self._sock, abi.FROM_WORKER, weigh=self._weigh)
                if fds:
                    _refuse(fds)
                self._has_sent = False
                handle(frame)
                if self._rest_s:
                    self._rest()
                    return
                if self._has_sent:  # the worker waited for that: a look would find nothing
                    return
            except BlockingIOError:
                return
            except (transport.ClosedError, ConnectionError):
                self._end("the worker ended")
            except abi.FrameError as error:
                self._fail(WorkerLostError(f"the worker broke the ABI: {error}", "see aaos-abi(7) for the wire format"))
            except AaosError as error:
                self._fail(error)

    def _listen(self) -> None:
        is_over = self._closed or self._ended.done() or self._is_paused
        if self._handle is not None and not is_over:
            self._loop.add_reader(self._sock, self._read, self._handle)

    def _weigh(self, size_bytes: int) -> None:
        self._rest_s = self._large.spend(size_bytes, self._loop.time())

    def _rest(self) -> None:
        """Let the worker wait, so that what it sends does not hold up the others."""
        rest_s, self._rest_s = self._rest_s, 0.0
        if not self._closed and not self._ended.done():
            self._loop.remove_reader(self._sock)
            self._resting = self._loop.call_later(rest_s, self._listen)

    def _enqueue(self, frame: abi.ToWorker, fds: Sequence[int]) -> None:
        if len(self._queue) >= QUEUE_FRAMES:
            self._fail(WorkerLostError("the worker does not read its frames", "mend the agent's program: it must poll"))
            return
        self._queue.append((frame, [os.dup(fd) for fd in fds]))

    def _flush(self) -> None:
        while self._queue:
            frame, fds = self._queue[0]
            try:
                transport.send(self._sock, frame, fds)
            except BlockingIOError:
                return
            except OSError:
                self._end("the worker ended")
                return
            transport.close_all(self._queue.popleft()[1])
        self._loop.remove_writer(self._sock)

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)

    def _fail(self, error: AaosError) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
            self._ended.exception()  # seen, even if nobody serves any more

    def _forget_socket(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)


async def frozen(leaf: Leaf) -> None:
    """Until all of a leaf stands still. Raises BusyError when it does not in time."""
    for _ in range(FREEZE_LOOKS):
        if leaf.is_frozen or not leaf.path.exists():
            return
        await asyncio.sleep(FREEZE_LOOK_S)
    raise BusyError(_RESTLESS, "try again, or stop its run")


def _is_running(pidfd: int) -> bool:
    """Whether a child has neither stopped nor ended; it stays to be looked at. Source: waitid(2), WNOWAIT."""
    look = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
        return os.waitid(os.P_PIDFD, pidfd, look) is None
    except ChildProcessError:  # collected already
        return False


async def reap(pidfd: int, leaf: Leaf | None = None, *, within_s: float = REAP_TIMEOUT_S) -> None:
    """SIGKILL to a child and all of its leaf; wait until it is gone and collected; its pidfd is closed.

    One that does not end in time (uninterruptible sleep), or that nobody waits for, is collected when it ends.
    Source: waitid(2), P_PIDFD; what is frozen is killed all the same: cgroup-v2.rst.
    """
    if leaf:
        with suppress(ConfinementError):  # the pidfd is left
            leaf.kill()
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    loop.add_reader(pidfd, _collect, pidfd, gone)
    await asyncio.wait({gone}, timeout=within_s)


def _collect(pidfd: int, gone: "asyncio.Future[None]") -> None:
    asyncio.get_running_loop().remove_reader(pidfd)
    with suppress(ChildProcessError):  # collected already, by who looked at it when it ended
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    os.close(pidfd)
    settle(gone)


def settle(future: "asyncio.Future[None]") -> None:
    """Resolve a future that a reader waits for, once."""
    if not future.done():
        future.set_result(None)


def _refuse(fds: Sequence[int]) -> NoReturn:
    transport.close_all(fds)
    raise abi.FrameError("a worker may send no fds")
