"""agentd's end of the zygote: starts it, asks it for workers, notices when it dies.

Invariant: the zygote is exec'ed with an empty environment from the daemon's main thread, and again whenever it is
lost; a request is answered with a pidfd or with an error, never left open.
"""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import worker
from aaos.core.errors import ConfinementError, WorkerLostError
from aaos.sandbox import filters
from aaos.sandbox.session import reap
from worker import abi, transport

START_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 5.0  # a clone takes milliseconds, those queued before it included
BOOT = Path(worker.__file__).parent / "wall" / "__main__.py"


@dataclass(frozen=True, slots=True)
class Forked:
    """A worker that was cloned; the pidfd belongs to the caller."""

    pid: int
    pidfd: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A worker that could not be made; its pidfd, or -1 when there was no clone, belongs to the caller."""

    message: str
    pidfd: int


Answer = Forked | Refused


class Zygote:
    """One zygote process; after its loss a new one is a new object."""

    def __init__(
        self,
        template_dir: Path,
        on_lost: Callable[["Zygote"], None],
        *,
        boot: Path = BOOT,
        is_filtered: bool = True,
    ) -> None:
        self._template_dir = template_dir
        self._boot = boot
        self._is_filtered = is_filtered
        self._on_lost = on_lost
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._next_id = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 before the start."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Exec it and wait until it serves. Raises ConfinementError; the zygote's own words are on stderr."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("PDEATHSIG follows the forking thread: start the zygote from the main one")
        served: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[0] = served
        try:
            self._control = self._connect()
            async with asyncio.timeout(START_TIMEOUT_S):
                await served
        except (OSError, WorkerLostError) as error:
            await self.stop()
            raise ConfinementError("the zygote did not start", "run agentd doctor; its words are above") from error
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def fork(self, policy: abi.Policy, fds: Sequence[int]) -> Forked:
        """A cloned worker with its ids mapped, on its way to be parked; `policy` and `fds` are those of abi.Spawn.

        Raises ConfinementError, WorkerLostError.
        """
        if self._control is None:
            raise _gone()
        self._next_id += 1
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[self._next_id] = answer
        try:
            await self._send(self._control, abi.Spawn(self._next_id, abi.policy_to_json(policy)), fds)
        except BaseException:
            self._waiting.pop(self._next_id, None)
            raise
        try:
            answered = await self._answered(answer)
        except asyncio.CancelledError:
            await self._reap_unwanted(answer)
            raise
        if isinstance(answered, Refused):
            await _collect(answered)
            raise ConfinementError(f"no worker could be made: {answered.message}", "run agentd doctor")
        return answered

    async def stop(self) -> None:
        """Close its socket, at which it ends, and reap it."""
        self._close_control()
        if self._process is not None:
            process = self._process
            process.kill()
            await asyncio.to_thread(process.wait)

    def _connect(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        filter_fd = transport.sealed_memfd(filters.zygote_filter()) if self._is_filtered else -1
        try:
            self._process = _exec(self._boot, theirs.fileno(), filter_fd, self._template_dir)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
            if filter_fd >= 0:
                os.close(filter_fd)
        ours.setblocking(False)
        asyncio.get_running_loop().add_reader(ours, self._read)
        return ours

    async def _send(self, control: socket.socket, spawn: abi.Spawn, fds: Sequence[int]) -> None:
        while True:
            try:
                transport.send(control, spawn, fds)
                return
            except BlockingIOError:
                await asyncio.sleep(0.001)  # the zygote is busy with those before
            except OSError as error:
                raise _gone() from error

    async def _answered(self, answer: "asyncio.Future[Answer]") -> Answer:
        """The answer, or the end of a zygote that gives none: it is killed, and its loss wakes everybody who waits.

        Also for who was cancelled: asyncio.timeout would not end its wait there before Python 3.11.3.
        """
        done, _ = await asyncio.wait({answer}, timeout=ANSWER_TIMEOUT_S)
        if done:
            return answer.result()
        if self._process is not None:
            self._process.kill()
        raise WorkerLostError("the zygote does not answer", "try again: it is being started anew")

    async def _reap_unwanted(self, answer: "asyncio.Future[Answer]") -> None:
        """The caller went away: what was cloned for it ends before its id and its leaf are used again."""
        try:
            await _collect(await self._answered(answer))
        except WorkerLostError:
            return

    def _read(self) -> None:
        if self._control is None:
            return
        try:
            frame, fds = transport.receive(self._control, abi.FROM_ZYGOTE)
        except BlockingIOError:
            return
        except (transport.ClosedError, abi.FrameError, OSError):
            self._lost()
            return
        self._answer(frame, fds)

    def _answer(self, frame: abi.FromZygote, fds: list[int]) -> None:
        waiting = self._waiting.pop(frame.id, None)
        if waiting is None or waiting.done():
            for fd in fds:
                os.close(fd)
            return
        pidfd = fds[0] if fds else -1
        match frame:
            case abi.Spawned():
                waiting.set_result(Forked(frame.pid, pidfd))
            case abi.SpawnFailed():
                waiting.set_result(Refused(frame.message, pidfd))
            case _ as impossible:
                assert_never(impossible)

    def _lost(self) -> None:
        self._close_control()
        self._on_lost(self)

    def _close_control(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(_gone())
                waiting.exception()  # seen, even if nobody waits any more
        self._waiting.clear()


async def _collect(answer: Answer) -> None:
    if answer.pidfd >= 0:
        await reap(answer.pidfd)


def _gone() -> WorkerLostError:
    return WorkerLostError("the zygote is gone", "try again: it is being started anew")


def _exec(boot: Path, control_fd: int, filter_fd: int, template_dir: Path) -> subprocess.Popen[bytes]:
    flags = "-IS" if sys.flags.no_site else "-I"  # as this process: it finds the same modules
    return subprocess.Popen(  # fixed argv of our own
        [sys.executable, flags, str(boot), str(control_fd), str(filter_fd), str(template_dir)],
        pass_fds=(control_fd, filter_fd) if filter_fd >= 0 else (control_fd,),
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
