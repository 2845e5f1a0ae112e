"""`launch`: the only way to a worker. It returns a confirmed session or raises; there is nothing in between.

Invariant: the agent's code does not run before both attestations agreed and `agent.confined` is in the audit. Whatever
fails on the way is undone in reverse: process, leaf, id, fds.
"""

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from aaos.core.config import Settings
from aaos.core.errors import ConfinementError, SettingsError, WorkerLostError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.layers import ALL_LAYERS, Layer
from aaos.core.ports import Attestation, BatchAudit, Held, LaunchRequest
from aaos.sandbox import filters
from aaos.sandbox.attest import Expected, agree, attest_outside
from aaos.sandbox.attested import Digests, attested, told
from aaos.sandbox.cells import Cells
from aaos.sandbox.cgroup import CgroupTree, disks
from aaos.sandbox.control import control_paths
from aaos.sandbox.ids import egress_ids
from aaos.sandbox.overrun import Overrun
from aaos.sandbox.policy import Covered, check_left_out, plan_mounts, policy_digest
from aaos.sandbox.probe import require_machine
from aaos.sandbox.session import Confined, WorkerSession, settle
from aaos.sandbox.strays import kill_strays
from aaos.sandbox.together import Together
from aaos.sandbox.trees import detach_tree
from aaos.sandbox.yard import Parked, Yard, remove_leaf
from aaos.sandbox.zygote import BOOT, Zygote
from worker import abi, transport

RESTART_DELAY_S = 0.1
_FIRST_FRAMES: tuple[type[abi.Ready] | type[abi.Log], ...] = (abi.Ready, abi.Log)


class ZygoteLauncher:
    """Implements ports.Launcher on one zygote, which it starts anew when it dies."""

    def __init__(
        self,
        settings: Settings,
        audit: BatchAudit,
        *,
        without: frozenset[Layer],
        template_dir: Path,
        boot: Path = BOOT,
    ) -> None:
        check_left_out(without)
        self._settings = settings
        self._audit = audit
        self._confirmed = Together(audit)
        self._layers = ALL_LAYERS - without
        self._missing = tuple(sorted(without))
        self._template_dir = template_dir
        self._boot = boot
        self._yard = Yard(settings, self._layers, zygote=self._living_zygote)
        self._zygote: Zygote | None = None
        self._lost: asyncio.Queue[Zygote] = asyncio.Queue()
        self._alive = asyncio.Event()
        self._filter = filters.worker_filter()
        self._filter_digest = hashlib.sha256(self._filter).hexdigest()
        self._filters = (filters.zygote_filter(), self._filter)
        self._stopping = False
        self.cells = Cells(settings, audit, self._yard, missing=self._missing)

    async def start(self) -> None:
        """Make what every worker shares and start the zygote. Raises ConfinementError."""
        require_machine(self._settings, frozenset(self._missing))
        cgroups = CgroupTree.delegated() if Layer.CGROUP in self._layers else None
        if cgroups:
            cgroups.prepare()
            await self._remove_stale(cgroups)
        self._yard.open(cgroups)
        try:
            self._template_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            where = self._template_dir
            raise ConfinementError(f"{where}: {error.strerror}", f"look at it: ls -ld {where}") from error
        await self._start_zygote()

    async def _remove_stale(self, cgroups: CgroupTree) -> None:
        """Leaves of an earlier life: their workers died with it, or die now."""
        stale = cgroups.leaves()
        for leaf in stale:
            leaf.kill()
            await remove_leaf(leaf)
        if stale:
            self._audit.record(Event(EventKind.STALE_CLEANED, fields={"cgroups": len(stale)}))

    async def supervise(self) -> None:
        """Start the zygote anew whenever it dies, and keep workers parked; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._yard.keep_filled())
            while True:
                await self._replace(await self._lost.get())

    async def stop(self) -> None:
        """Stop the zygote and all that is parked; sessions are closed by whoever holds them."""
        self._stopping = True
        if self._zygote is not None:
            await self._zygote.stop()
        await self._yard.close()

    @property
    def parked(self) -> int:
        """How many workers wait for an agent."""
        return self._yard.parked

    async def launch(self, request: LaunchRequest) -> WorkerSession:
        """A confined worker that waits for `start`. Raises ConfinementError, BusyError, WorkerLostError."""
        begun = time.monotonic_ns()
        deadline = asyncio.timeout(self._settings.worker.start_timeout_s)
        try:
            with self._yard.launching():
                async with deadline:
                    return await self._launch(request, begun)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise WorkerLostError("the worker did not start in time", "look at the load, then try again") from error

    async def _launch(self, request: LaunchRequest, begun: int) -> WorkerSession:
        owner, mounts = plan_mounts(_grants(request))
        parked = await self._yard.take(owner)
        policy = replace(parked.policy, agent=request.agent, entry=request.entry, mounts=mounts)
        expected = Expected(policy, self._filters, parked.leaf.path if parked.leaf else None)
        try:
            if parked.leaf:
                devices = (os.fstat(root.fd).st_dev for root in request.roots)
                parked.leaf.limit_io(disks(devices), self._settings.worker.io_bytes_per_s)
            _assign(parked, policy, request)
            digest = policy_digest(policy)  # now: the worker is at work meanwhile
            ready = await ready_frame(parked.sock)
            attestation = await self._agree(parked, ready, expected=expected, digest=digest, begun=begun)
            await self._confirmed.record(_confirmed(request, attestation))
        except BaseException:
            await self._yard.end(parked)
            raise
        return WorkerSession(self._confined(request, parked, attestation, expected))

    async def _agree(
        self, parked: Parked, ready: abi.Ready, *, expected: Expected, digest: str, begun: int
    ) -> Attestation:
        """Both halves, layer by layer. Raises ConfinementError when they do not agree."""
        policy = expected.policy
        if ready.v != abi.VERSION:
            raise ConfinementError(
                f"the worker speaks ABI {ready.v}, agentd {abi.VERSION}", "restart agentd: systemctl restart agentd"
            )
        before = time.monotonic_ns()
        outside = await agree("the worker", parked.pid, ready, expected, is_settled=parked.is_settled)
        looked_us = (time.monotonic_ns() - before) // 1000
        attestation = attested(
            policy,
            parked.pid,
            inside=ready.canaries,
            outside=outside,
            missing=self._missing,
            digests=Digests(digest, self._filter_digest),
            begun_ns=begun,
        )
        return replace(attestation, steps_us={**ready.steps, "outside attestation": looked_us})

    def _confined(
        self, request: LaunchRequest, parked: Parked, attestation: Attestation, expected: Expected
    ) -> Confined:
        leaf, limits = parked.leaf, self._settings.worker

        def attest() -> Attestation:  # in any thread
            try:
                if leaf and leaf.path.exists():  # what is over has no leaf any more, and has not drifted
                    leaf.check(limits)
                return replace(attestation, outside=attest_outside(parked.pid, expected))
            except ConfinementError as error:
                if parked.sock.fileno() < 0:  # its session was closed meanwhile
                    raise WorkerLostError("the worker ended while it was inspected", "try again") from error
                raise

        async def release() -> None:
            await self._yard.release(parked)

        def record(kind: EventKind, fields: Mapping[str, Scalar]) -> None:
            self._audit.record(Event(kind, request.run, request.subtask, request.agent, fields))

        overrun = Overrun(leaf, limits, record) if leaf else None
        return Confined(parked.sock, parked.pid, parked.pidfd, attestation, attest, release, leaf, overrun, self.cells)

    async def _living_zygote(self) -> Zygote:
        while self._zygote is None:
            await self._alive.wait()
        return self._zygote

    async def _start_zygote(self) -> None:
        zygote = Zygote(self._template_dir, self._zygote_lost, boot=self._boot)
        await zygote.start()
        self._zygote = zygote
        self._alive.set()
        self._yard.known.add(zygote.pid)
        self._audit.record(Event(EventKind.ZYGOTE_STARTED, fields={"pid": zygote.pid}))

    def _egress_uid(self) -> int | None:
        try:
            return egress_ids(self._settings)[0]
        except SettingsError:  # then there is no egress
            return None

    def _zygote_lost(self, zygote: Zygote) -> None:
        if self._stopping or zygote is not self._zygote:
            return
        self._zygote = None
        self._alive.clear()
        self._audit.record(Event(EventKind.ZYGOTE_LOST, fields={"pid": zygote.pid}))
        self._lost.put_nowait(zygote)

    async def _replace(self, lost: Zygote) -> None:
        await lost.stop()
        self._yard.known.discard(lost.pid)
        await self._yard.clear()
        kill_strays(self._yard.known, spared_uid=self._egress_uid())
        while not self._alive.is_set():
            try:
                await self._start_zygote()
            except ConfinementError:
                await asyncio.sleep(RESTART_DELAY_S)


def _confirmed(request: LaunchRequest, attestation: Attestation) -> Event:
    return Event(EventKind.AGENT_CONFINED, request.run, request.subtask, request.agent, told(attestation))


def _grants(request: LaunchRequest) -> list[Covered]:
    roots = [root for root in request.roots if root.held is Held.KERNEL]
    return [Covered(root, control_paths(root) if root.writable else ()) for root in roots]


def _assign(parked: Parked, policy: abi.Policy, request: LaunchRequest) -> None:
    """Tell a parked worker whose it is; one that has ended left its last words.

    Raises ConfinementError, WorkerLostError.
    """
    frame = abi.Assign(policy.entry, abi.mounts_to_json(policy.mounts), program=request.program is not None)
    try:
        with _opened(request, policy, parked.pid) as fds, suppress(BrokenPipeError, ConnectionResetError):
            transport.send(parked.sock, frame, fds)
    except abi.FrameError as error:
        raise ConfinementError(f"the policy cannot be sent: {error}", "grant other roots, or fewer") from error


async def ready_frame(sock: socket.socket) -> abi.Ready:
    """The worker's first frame. Raises ConfinementError with the worker's last words, WorkerLostError."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock, settle, readable)
    try:
        await readable
    finally:
        loop.remove_reader(sock)
    try:
        frame, fds = _first_frame(sock)
    except (transport.ClosedError, abi.FrameError, OSError) as error:
        raise _lost() from error
    for fd in fds:
        os.close(fd)
    if isinstance(frame, abi.Log):
        raise ConfinementError(f"the worker could not be confined: {frame.text}", "run agentd doctor")
    return frame


def _first_frame(sock: socket.socket) -> tuple[abi.Ready | abi.Log, list[int]]:
    """A worker that ended before it read its assignment resets the connection; what it said comes after that."""
    with suppress(ConnectionResetError):
        return transport.receive(sock, _FIRST_FRAMES)
    return transport.receive(sock, _FIRST_FRAMES)


@contextmanager
def _opened(request: LaunchRequest, policy: abi.Policy, pid: int) -> Iterator[list[int]]:
    """The fds of an assignment, in the order of the wire format; closed at the end."""
    fds: list[int] = []
    by_path = {root.path: root for root in request.roots if root.held is Held.KERNEL}
    try:
        with _user_namespace(pid) as userns_fd:
            fds.extend(detach_tree(by_path[mount.path].fd, mount, userns_fd=userns_fd) for mount in policy.mounts)
        if request.program is not None:
            fds.append(transport.sealed_memfd(request.program))
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


@contextmanager
def _user_namespace(pid: int) -> Iterator[int]:
    try:
        fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _lost() from error
    try:
        yield fd
    finally:
        os.close(fd)


def _lost() -> WorkerLostError:
    return WorkerLostError("the worker ended before it was confined", "try again; then agentd doctor")
