"""A cell that runs its program, watched: what it writes, how long, how much of a processor, and why it ended.

Invariant: the first reason to end is the reason; watching never blocks and never waits for the cell. Of the cell's own
words only how its program exited is believed, and that only for the audit and the caller.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aaos.core.cell import CellEnd, CellRequest, Output, Stream
from aaos.core.errors import ToolError
from aaos.sandbox import usage
from aaos.sandbox.session import frozen
from aaos.sandbox.streams import Drain
from aaos.sandbox.yard import Parked
from worker import abi, transport
from worker.cell import frames

LOOK_S = 0.25  # between two looks at the processor time, or as often as a look costs a fiftieth
_FIFTIETH = 50
_NEARLY = 0.7  # the kernel ends a process by the ticks that met it, and counts more finely afterwards: they differ
_READ_ONLY = 0o444  # no right to execute: Landlock does not see a memfd
_REMEDY = "look at the working directory, the grants and the limits of the call"
_KILLED_BY_LIMIT = frozenset({9, 24})  # SIGKILL, SIGXCPU; signal(7)


@dataclass(frozen=True, slots=True)
class Facts:
    """How a cell ended."""

    end: CellEnd
    exit_code: int | None
    signal: int | None
    duration_ms: float
    cpu_ms: float
    peak_bytes: int | None


class Watch:
    """From the word to run until nothing is to be seen any more."""

    def __init__(self, parked: Parked, request: CellRequest, output: Output) -> None:
        self._parked = parked
        self.request = request
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._begun_s = self._loop.time()
        self._ended_s = self._begun_s
        self._timers: list[asyncio.TimerHandle] = []
        self._wall: asyncio.TimerHandle | None = None
        self._left_s = request.limits.wall_s
        self._is_held = False
        self._drains: list[Drain] = []
        self._report: frames.Ended | None = None
        self._cpu_us = 0
        self._end: CellEnd | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.fault: BaseException | None = None  # what is to be raised when it is over
        self.facts: Facts | None = None  # when it is over
        self._on_settled: Callable[[], object] = lambda: None

    def start(self, program: int, *, on_settled: Callable[[], object]) -> None:
        """Tell the cell its program and watch. Raises ToolError for a command that cannot be sent.

        `on_settled` is called when it has run for a while: one that is over sooner is not to wait for other cells.
        """
        self._on_settled = on_settled
        self._begun_s = self._loop.time()
        limits = self.request.limits
        writing: list[int] = []
        try:
            for stream in Stream:
                drain, end = Drain.open(
                    stream, limits.output_bytes, self._output, on_full=self._is_full, on_error=self._fail
                )
                self._drains.append(drain)
                writing.append(end)
            if self.request.stdin:
                writing.append(_input(self.request.stdin))
            self._send([program, *writing])
        finally:
            transport.close_all(writing)
        self._loop.add_reader(self._parked.sock, self._hear)
        self._arm()
        self._timers.append(self._loop.call_later(LOOK_S, self._look))

    def hold(self) -> None:
        """Freeze it, and its time with it; a moment later it stands. Raises ConfinementError."""
        if self._parked.leaf is None or self._is_held or self._end is not None:
            return
        self._parked.leaf.freeze(True)
        self._is_held = True
        if self._wall is not None:
            self._left_s = max(0.0, self._wall.when() - self._loop.time())
            self._wall.cancel()

    async def pause(self) -> None:
        """Until it stands. Raises ConfinementError, BusyError when it does not in time."""
        self.hold()
        if self._parked.leaf and self._is_held:
            await frozen(self._parked.leaf)

    def go_on(self) -> None:
        """End the pause, with what is left of its time; nothing when there is none. Raises ConfinementError."""
        if self._parked.leaf and self._is_held and self._end is None:
            self._parked.leaf.freeze(False)
            self._is_held = False
            self._arm()

    def _arm(self) -> None:
        if not self._is_held:
            self._wall = self._loop.call_later(self._left_s, self.end, CellEnd.WALL)

    def end(self, reason: CellEnd) -> None:
        """It is to end, or has ended, for this reason; only the first counts."""
        if self._end is None:
            self._end = reason
            self._ended_s = self._loop.time()
        if not self.ended.done():
            self.ended.set_result(None)

    def finish(self) -> Facts:
        """Every process is gone, the leaf is still there: read what is left, and hold nothing any more. Idempotent."""
        if self.facts is not None:
            return self.facts
        self.end(CellEnd.LOST)
        if self._parked.sock.fileno() >= 0:
            self._loop.remove_reader(self._parked.sock)
            self._parked.sock.close()
        for timer in (*self._timers, *((self._wall,) if self._wall else ())):
            timer.cancel()
        for drain in self._drains:
            drain.finish()
        self.facts = self._facts()
        return self.facts

    def outputs(self) -> tuple[tuple[bytes, bool], ...]:
        """What was kept of stdout and of stderr, and whether there was more."""
        kept = tuple((bytes(drain.kept), drain.is_cut) for drain in self._drains)
        return kept or ((b"", False), (b"", False))

    def _facts(self) -> Facts:
        leaf, report, end = self._parked.leaf, self._report, self._end or CellEnd.LOST
        peak = report.peak_bytes if report else None
        cpu_us = max(self._cpu_us, report.cpu_us if report else 0)
        if leaf:
            cpu_us, peak = leaf.cpu_us(), leaf.peak_bytes()
            if end in (CellEnd.LOST, CellEnd.SIGNALLED) and leaf.trouble()["oom_kill"]:
                end = CellEnd.MEMORY
        return Facts(
            end=end,
            exit_code=report.exit_code if report else None,
            signal=report.signal if report else None,
            duration_ms=(self._ended_s - self._begun_s) * 1e3,
            cpu_ms=cpu_us / 1e3,
            peak_bytes=peak,
        )

    def _send(self, fds: Sequence[int]) -> None:
        request = self.request
        order = frames.Exec(argv=request.argv, env=dict(request.env), cwd=request.cwd)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it was killed: its socket says so
                transport.send(self._parked.sock, order, fds)
        except abi.FrameError as error:
            raise ToolError(f"{request.program}: its command cannot be sent: {error}", "pass less") from error

    def _hear(self) -> None:
        try:
            report, fds = transport.receive(self._parked.sock, frames.REPORTS)
        except BlockingIOError:
            return
        except (transport.ClosedError, abi.FrameError, OSError):
            self.end(CellEnd.LOST)
            return
        transport.close_all(fds)
        match report:
            case frames.NotStarted():
                self._fail(ToolError(f"{self.request.program} could not be started: {report.message}", _REMEDY))
            case frames.Ended():
                self._report = report
                self.end(self._how(report))

    def _how(self, report: frames.Ended) -> CellEnd:
        if report.signal is None:
            return CellEnd.EXITED
        is_out_of_time = report.cpu_us >= self.request.limits.cpu_s * 1e6 * _NEARLY
        return CellEnd.CPU if is_out_of_time and report.signal in _KILLED_BY_LIMIT else CellEnd.SIGNALLED

    def _look(self) -> None:
        self._on_settled()
        if self._end is not None:
            return
        before_s = self._loop.time()
        processes = self.request.limits.pids + 1
        self._cpu_us = max(self._cpu_us, usage.cpu_us(self._parked.pid, self._parked.leaf, max_processes=processes))
        if self._cpu_us >= self.request.limits.cpu_s * 1e6:
            self.end(CellEnd.CPU)
        cost_s = self._loop.time() - before_s
        self._timers[-1] = self._loop.call_later(max(LOOK_S, cost_s * _FIFTIETH), self._look)

    def _is_full(self) -> None:
        self.end(CellEnd.OUTPUT)

    def _fail(self, error: BaseException) -> None:
        self.end(CellEnd.LOST)
        if self.fault is None:
            self.fault = error


def _input(data: bytes) -> int:
    """A file in memory that can be read and nothing else; the caller closes it."""
    fd = transport.sealed_memfd(data)
    os.fchmod(fd, _READ_ONLY)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
