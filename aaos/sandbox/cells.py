"""`run_cell`: the only way to a cell. One program behind the wall, from its request to the last thing it held.

Invariant: the cell hears of its program only after both attestations agreed and `cell.confined` is in the audit;
however it ends, nothing of it is left when `run_cell` returns or raises, and `cell.ended` is in the audit.
"""

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from aaos.core.cell import CellEnd, CellNetwork, CellRequest, CellResult, Output
from aaos.core.config import Settings
from aaos.core.errors import ConfinementError, WorkerLostError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ids import AgentId
from aaos.core.layers import Layer
from aaos.core.ports import Attestation, AuditSink
from aaos.core.threads import in_thread
from aaos.sandbox import filters
from aaos.sandbox.attest import Expected, agree, attest_outside, attest_started
from aaos.sandbox.attested import Digests, attested, told
from aaos.sandbox.cellplan import INIT, CellPlan, opened, plan_cell
from aaos.sandbox.cellwatch import Facts, Watch
from aaos.sandbox.cgroup import disks
from aaos.sandbox.overrun import Overrun
from aaos.sandbox.policy import policy_digest
from aaos.sandbox.session import reap, settle
from aaos.sandbox.usage import family
from aaos.sandbox.yard import Parked, Yard
from worker import abi, transport
from worker.cell import frames

REAP_WITHIN_S = 1.5  # a process that cannot be killed at once is collected later: the call returns


@dataclass(frozen=True, slots=True)
class _Confirmed:
    """A cell that has not been told its program. `program` and `door` are fds of its owner; no door is -1."""

    parked: Parked
    expected: Expected
    attestation: Attestation
    program: int
    door: int

    @property
    def policy(self) -> abi.Policy:
        """What it was given."""
        return self.expected.policy


class Cells:
    """Implements cell.CellRunner with the cells of one yard."""

    def __init__(self, settings: Settings, audit: AuditSink, yard: Yard, *, missing: tuple[Layer, ...]) -> None:
        self._settings = settings
        self._audit = audit
        self._yard = yard
        self._missing = missing
        self._live: dict[AgentId, dict[Watch, _Confirmed]] = {}
        self._paused: set[AgentId] = set()
        self.network: CellNetwork | None = None  # who opens doors; without it a request for one is refused

    async def run_cell(self, request: CellRequest, output: Output) -> CellResult:
        """See cell.CellRunner. Raises also ToolError for a program that cannot be started."""
        if request.egress and self.network is None:
            raise ConfinementError("there is no egress for this cell", "run agentd with its egress")
        if request.secret and not request.egress:
            raise ConfinementError("a secret for a cell without network", "name where the cell may connect to")
        plan = await _planned(request)
        with ExitStack() as starting:
            starting.enter_context(self._yard.launching())
            cell = await self._confirmed(plan)
            watch = Watch(cell.parked, request, output)
            try:
                async with self._door(cell, request):
                    await self._run(cell, watch, starting)
            finally:
                await self._kill(cell, watch)  # when there was no door
        if watch.fault is not None:
            raise watch.fault
        return _result(cell, watch)

    async def pause(self, agent: AgentId) -> None:
        """Let the agent's cells stand still, and those that come. Raises ConfinementError, BusyError."""
        self._paused.add(agent)
        for watch in tuple(self._live.get(agent, ())):
            await watch.pause()

    def go_on(self, agent: AgentId) -> None:
        """End the pause. Raises ConfinementError."""
        self._paused.discard(agent)
        for watch in tuple(self._live.get(agent, ())):
            watch.go_on()

    def attest(self, agent: AgentId) -> tuple[Attestation, ...]:
        """The outside half repeated on the agent's live cells and all that runs in them, one attestation for each.

        Any thread may; one that ends meanwhile is left out. Raises ConfinementError on drift.
        """
        return tuple(
            seen for watch, cell in tuple(self._live.get(agent, {}).copy().items()) for seen in self._again(cell, watch)
        )

    def forget(self, agent: AgentId) -> None:
        """It has ended, and so do its cells."""
        self._paused.discard(agent)

    def _again(self, cell: _Confirmed, watch: Watch) -> Iterator[Attestation]:
        """Its attestation now; none when it has ended meanwhile. Raises ConfinementError."""
        parked, limits = cell.parked, watch.request.limits
        try:
            if parked.leaf and parked.leaf.path.exists():  # what is over has no leaf any more, and has not drifted
                parked.leaf.check_bounds(memory_bytes=limits.memory_bytes, pids=limits.pids + INIT)
            outside = attest_outside(parked.pid, cell.expected)
            for pid in family(parked.pid, limits.pids + INIT):
                attest_started(pid, parked.pid, cell.expected)
        except WorkerLostError:
            return
        except ConfinementError:
            if watch not in self._live.get(watch.request.agent, ()):  # its leaf was taken away, say
                return
            raise
        yield replace(cell.attestation, outside=outside)

    @contextmanager
    def _known(self, watch: Watch, cell: _Confirmed) -> Iterator[None]:
        agent = watch.request.agent
        live = self._live.setdefault(agent, {})
        live[watch] = cell
        try:
            yield
        finally:
            del live[watch]
            if not live:
                self._live.pop(agent, None)

    async def _run(self, cell: _Confirmed, watch: Watch, starting: ExitStack) -> None:
        try:
            with self._known(watch, cell):
                if watch.request.agent in self._paused:
                    watch.hold()
                watch.start(cell.program, on_settled=starting.close)
                await watch.ended
        except asyncio.CancelledError:
            watch.end(CellEnd.CANCELLED)
            raise
        finally:
            await self._kill(cell, watch)  # and then the door is closed

    async def _kill(self, cell: _Confirmed, watch: Watch) -> None:
        """Whatever still runs in it; then nothing of it is held any more. Idempotent."""
        if watch.facts is not None:
            return
        watch.end(CellEnd.LOST)
        transport.close_all([fd for fd in (cell.program, cell.door) if fd >= 0])
        try:
            await reap(cell.parked.pidfd, cell.parked.leaf, within_s=REAP_WITHIN_S)
        finally:
            facts = watch.finish()
            self._tell_overrun(cell, watch.request)
            await self._yard.release(cell.parked)
            self._record_end(cell, watch, facts)

    def _door(self, cell: _Confirmed, request: CellRequest) -> AbstractAsyncContextManager[None]:
        if self.network is None or cell.door < 0:
            return nullcontext()
        return self.network.open_door(cell.door, request)

    async def _confirmed(self, plan: CellPlan) -> _Confirmed:
        """A confined cell that both attestations agree on. Raises ConfinementError, BusyError, WorkerLostError."""
        deadline = asyncio.timeout(self._settings.worker.start_timeout_s)
        try:
            async with deadline:
                return await self._launch(plan)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise WorkerLostError("the cell did not start in time", "look at the load, then try again") from error

    async def _launch(self, plan: CellPlan) -> _Confirmed:
        begun = time.monotonic_ns()
        request = plan.request
        parked = await self._yard.take(plan.owner, frames.WITH_DOOR if request.egress else frames.PLAIN)
        kept: list[int] = []
        try:
            policy = plan.policy(parked.policy)
            self._bound(parked, request)
            kept.append(_furnish(parked, plan, policy))
            digest = policy_digest(policy)  # now: the cell is at work meanwhile
            ready, door = await _ready(parked.sock)
            kept += door
            program_filter = filters.cell_filter(policy.profile)
            expected = Expected(policy, (filters.zygote_filter(), program_filter), _leaf_path(parked))
            outside = await agree("the cell", parked.pid, ready, expected)
            seen = attested(
                policy,
                parked.pid,
                inside=ready.canaries,
                outside=outside,
                missing=self._missing,
                digests=Digests(digest, hashlib.sha256(program_filter).hexdigest()),
                begun_ns=begun,
            )
            attestation = replace(seen, call=request.call)
            cell = _Confirmed(parked, expected, attestation, kept[0], door[0] if door else -1)
            self._record_start(cell, request)
        except BaseException:
            transport.close_all(kept)
            await self._yard.end(parked)
            raise
        return cell

    def _bound(self, parked: Parked, request: CellRequest) -> None:
        if parked.leaf:
            limits = request.limits
            parked.leaf.bound(memory_bytes=limits.memory_bytes, pids=limits.pids + INIT)
            devices = (os.fstat(root.fd).st_dev for root in request.roots)
            parked.leaf.limit_io(disks(devices), self._settings.worker.io_bytes_per_s)

    def _record_start(self, cell: _Confirmed, request: CellRequest) -> None:
        fields: dict[str, Scalar] = {
            "call": request.call,
            "program": cell.policy.entry,
            **told(cell.attestation),
        }
        self._audit.record(Event(EventKind.CELL_CONFINED, request.run, request.subtask, request.agent, fields))

    def _tell_overrun(self, cell: _Confirmed, request: CellRequest) -> None:
        def record(kind: EventKind, fields: Mapping[str, Scalar]) -> None:
            about = {"call": request.call, **fields}
            self._audit.record(Event(kind, request.run, request.subtask, request.agent, about))

        if cell.parked.leaf:
            Overrun(cell.parked.leaf, request.limits, record).look()

    def _record_end(self, cell: _Confirmed, watch: Watch, facts: Facts) -> None:
        request, (stdout, stderr) = watch.request, watch.outputs()
        fields: dict[str, Scalar] = {
            "call": request.call,
            "program": cell.policy.entry,
            "end": facts.end.value,
            "exit_code": facts.exit_code,
            "signal": facts.signal,
            "duration_ms": round(facts.duration_ms, 3),
            "cpu_ms": round(facts.cpu_ms, 3),
            "peak_bytes": facts.peak_bytes,
            "stdout_bytes": len(stdout[0]),
            "stderr_bytes": len(stderr[0]),
            "is_cut": stdout[1] or stderr[1],
        }
        self._audit.record(Event(EventKind.CELL_ENDED, request.run, request.subtask, request.agent, fields))


async def _planned(request: CellRequest) -> CellPlan:
    """In a thread when there are trees to search for control files; it ends before its caller, whose fds it uses."""
    if request.control_writable or not any(root.writable for root in request.roots):
        return plan_cell(request)
    return await in_thread(partial(plan_cell, request))


def _furnish(parked: Parked, plan: CellPlan, policy: abi.Policy) -> int:
    """Tell a parked cell its policy; one that has ended left its last words. The program's fd: the caller's.

    Raises ConfinementError, NotFoundError, WorkerLostError.
    """
    frame = frames.Furnish(policy=abi.policy_to_json(policy))
    try:
        userns_fd = os.open(f"/proc/{parked.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _lost() from error
    try:
        with opened(plan, userns_fd=userns_fd) as (trees, program), suppress(BrokenPipeError, ConnectionResetError):
            transport.send(parked.sock, frame, trees)
        return program
    except abi.FrameError as error:
        raise ConfinementError(f"the policy cannot be sent: {error}", "grant other roots, or fewer") from error
    finally:
        os.close(userns_fd)


async def _ready(sock: socket.socket) -> tuple[abi.Ready, list[int]]:
    """The cell's `ready`, and the fd of its door if it has one, which the caller closes.

    Raises ConfinementError with the cell's last words, WorkerLostError.
    """
    door: list[int] = []
    try:
        while True:
            await _readable(sock)
            try:
                frame, fds = _first_frame(sock)
            except (transport.ClosedError, abi.FrameError, OSError) as error:
                raise _lost() from error
            if isinstance(frame, frames.Door) and not door and len(fds) == 1:
                door = fds
                continue
            transport.close_all(fds)
            if isinstance(frame, abi.Ready):
                return frame, door
            text = frame.text if isinstance(frame, abi.Log) else "it opened more than one door"
            raise ConfinementError(f"the cell could not be confined: {text}", "run agentd doctor")
    except BaseException:
        transport.close_all(door)
        raise


def _first_frame(sock: socket.socket) -> tuple[frames.Door | abi.Ready | abi.Log, list[int]]:
    """A cell that ended before it read its policy resets the connection; what it said comes after that."""
    with suppress(ConnectionResetError):
        return transport.receive(sock, frames.FIRST)
    return transport.receive(sock, frames.FIRST)


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock, settle, readable)
    try:
        await readable
    finally:
        loop.remove_reader(sock)


def _leaf_path(parked: Parked) -> Path | None:
    return parked.leaf.path if parked.leaf else None


def _lost() -> WorkerLostError:
    return WorkerLostError("the cell ended before it was confined", "try again; then agentd doctor")


def _result(cell: _Confirmed, watch: Watch) -> CellResult:
    facts, (stdout, stderr) = watch.finish(), watch.outputs()
    return CellResult(
        end=facts.end,
        exit_code=facts.exit_code,
        signal=facts.signal,
        stdout=stdout[0],
        stderr=stderr[0],
        stdout_cut=stdout[1],
        stderr_cut=stderr[1],
        duration_ms=facts.duration_ms,
        cpu_ms=facts.cpu_ms,
        peak_bytes=facts.peak_bytes,
        policy_digest=cell.attestation.policy_digest,
        filter_digest=cell.attestation.filter_digest,
    )
