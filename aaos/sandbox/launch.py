"""`launch`: the only way to a worker. It returns a confirmed session or raises; there is nothing in between.

Invariant: the agent's code does not run before both attestations agreed and `agent.confined` is in the audit. Whatever
fails on the way is undone in reverse: process, leaf, id, fds.
"""

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from aaos.core.config import Settings
from aaos.core.errors import ConfinementError, WorkerLostError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ids import Uid
from aaos.core.layers import ALL_LAYERS, Layer
from aaos.core.ports import Attestation, AuditSink, Held, LaunchRequest
from aaos.sandbox import filters
from aaos.sandbox.attest import Expected, attest_outside
from aaos.sandbox.cgroup import CgroupTree, Leaf
from aaos.sandbox.control import control_paths
from aaos.sandbox.ids import IdRange
from aaos.sandbox.policy import Covered, build_policy, check_left_out, policy_digest
from aaos.sandbox.probe import require_machine
from aaos.sandbox.session import Confined, WorkerSession, reap, settle
from aaos.sandbox.strays import kill_strays
from aaos.sandbox.trees import detach_tree
from aaos.sandbox.zygote import BOOT, Forked, Zygote
from worker import abi, transport

RESTART_DELAY_S = 0.1
_FIRST_FRAMES: tuple[type[abi.Ready] | type[abi.Log], ...] = (abi.Ready, abi.Log)
LEAF_REMOVE_TRIES = 50


class ZygoteLauncher:
    """Implements ports.Launcher on one zygote, which it starts anew when it dies."""

    def __init__(
        self,
        settings: Settings,
        audit: AuditSink,
        *,
        without: frozenset[Layer],
        template_dir: Path,
        boot: Path = BOOT,
    ) -> None:
        check_left_out(without)
        self._settings = settings
        self._audit = audit
        self._layers = ALL_LAYERS - without
        self._missing = tuple(sorted(without))
        self._template_dir = template_dir
        self._boot = boot
        self._ids = IdRange(settings.worker)
        self._cgroups: CgroupTree | None = None
        self._zygote: Zygote | None = None
        self._lost: asyncio.Queue[Zygote] = asyncio.Queue()
        self._alive = asyncio.Event()
        self._known: set[int] = set()
        self._filter = filters.worker_filter()
        self._filter_digest = hashlib.sha256(self._filter).hexdigest()
        self._filters = (filters.zygote_filter(), self._filter)
        self._filter_fd = -1
        self._stopping = False

    async def start(self) -> None:
        """Make what every worker shares and start the zygote. Raises ConfinementError."""
        require_machine(self._settings, frozenset(self._missing))
        if Layer.CGROUP in self._layers:
            self._cgroups = CgroupTree.delegated()
            self._cgroups.prepare()
            await self._remove_stale(self._cgroups)
        self._filter_fd = transport.sealed_memfd(self._filter)
        self._template_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._start_zygote()

    async def _remove_stale(self, cgroups: CgroupTree) -> None:
        """Leaves of an earlier life: their workers died with it, or die now."""
        stale = cgroups.leaves()
        for leaf in stale:
            leaf.kill()
            await _remove(leaf)
        if stale:
            self._audit.record(Event(EventKind.STALE_CLEANED, fields={"cgroups": len(stale)}))

    async def supervise(self) -> None:
        """Start the zygote anew whenever it dies; runs until cancelled."""
        while True:
            await self._replace(await self._lost.get())

    async def stop(self) -> None:
        """Stop the zygote; sessions are closed by whoever holds them."""
        self._stopping = True
        if self._zygote is not None:
            await self._zygote.stop()
        if self._filter_fd >= 0:
            os.close(self._filter_fd)
            self._filter_fd = -1

    async def launch(self, request: LaunchRequest) -> WorkerSession:
        """A confined worker that waits for `start`. Raises ConfinementError, BusyError, WorkerLostError."""
        begun = time.monotonic_ns()
        deadline = asyncio.timeout(self._settings.worker.start_timeout_s)
        try:
            async with deadline:
                return await self._launch(request, begun)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise WorkerLostError("the worker did not start in time", "look at the load, then try again") from error

    async def _launch(self, request: LaunchRequest, begun: int) -> WorkerSession:
        with ExitStack() as undo:
            host_id = self._ids.lease()
            undo.callback(self._ids.release, host_id)
            policy, sock, leaf, forked = await self._fork(request, host_id, undo)
            try:
                ready = await _ready(sock)
                expected = Expected(policy, self._filters, leaf.path if leaf else None)
                attestation = self._agree(request, policy, forked.pid, ready, expected, begun)
            except BaseException:
                await reap(forked.pidfd)
                self._known.discard(forked.pid)
                raise
            self._record(request, attestation)
            undo.pop_all()
        return WorkerSession(self._confined(sock, forked, attestation, expected, host_id, leaf))

    async def _fork(
        self, request: LaunchRequest, host_id: int, undo: ExitStack
    ) -> tuple[abi.Policy, socket.socket, Leaf | None, Forked]:
        roots = [root for root in request.roots if root.held is Held.KERNEL]
        grants = [Covered(root, control_paths(root) if root.writable else ()) for root in roots]
        policy = build_policy(
            request.agent,
            request.entry,
            grants=grants,
            host_id=host_id,
            layers=self._layers,
            settings=self._settings,
        )
        leaf = self._cgroups.make(request.agent, self._settings.worker) if self._cgroups else None
        if leaf:
            undo.callback(leaf.remove)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        undo.callback(ours.close)
        ours.setblocking(False)
        with theirs, _opened(request, policy, leaf) as fds:
            forked = await (await self._living_zygote()).fork(policy, [theirs.fileno(), self._filter_fd, *fds])
        self._known.add(forked.pid)
        return policy, ours, leaf, forked

    def _agree(
        self, request: LaunchRequest, policy: abi.Policy, pid: int, ready: abi.Ready, expected: Expected, begun: int
    ) -> Attestation:
        """Both halves, layer by layer. Raises ConfinementError when they do not agree."""
        if ready.v != abi.VERSION:
            raise ConfinementError(f"the worker speaks ABI {ready.v}, agentd {abi.VERSION}", "restart agentd")
        undenied = sorted(layer for layer in policy.layers if ready.canaries.get(layer) != "denied")
        if undenied or set(ready.layers) != set(policy.layers):
            raise ConfinementError(f"not confirmed from inside: {', '.join(undenied)}", "run agentd doctor")
        before = time.monotonic_ns()
        outside = attest_outside(pid, expected, is_new=True)
        now = time.monotonic_ns()
        if unseen := sorted(set(policy.layers) - set(outside)):
            raise ConfinementError(f"not confirmed from outside: {', '.join(unseen)}", "run agentd doctor")
        return Attestation(
            agent=request.agent,
            pid=pid,
            host_uid=Uid(policy.host_uid),
            layers=tuple(Layer(layer) for layer in policy.layers),
            missing=self._missing,
            inside=dict(ready.canaries),
            outside=outside,
            policy_digest=policy_digest(policy),
            filter_digest=self._filter_digest,
            duration_ms=(now - begun) / 1e6,
            steps_us={**ready.steps, "outside attestation": (now - before) // 1000},
        )

    def _record(self, request: LaunchRequest, attestation: Attestation) -> None:
        fields: dict[str, Scalar] = {
            "pid": attestation.pid,
            "host_uid": int(attestation.host_uid),
            "layers": " ".join(attestation.layers),
            "missing": " ".join(attestation.missing),
            "policy_digest": attestation.policy_digest,
            "filter_digest": attestation.filter_digest,
            "duration_ms": round(attestation.duration_ms, 3),
        }
        self._audit.record(
            Event(EventKind.AGENT_CONFINED, request.run, request.subtask, request.agent, fields),
        )

    def _confined(
        self,
        sock: socket.socket,
        forked: Forked,
        attestation: Attestation,
        expected: Expected,
        host_id: int,
        leaf: Leaf | None,
    ) -> Confined:
        def attest() -> Attestation:
            return replace(attestation, outside=attest_outside(forked.pid, expected, is_new=False))

        async def release() -> None:
            self._known.discard(forked.pid)
            if leaf:
                await _remove(leaf)
            self._ids.release(host_id)

        return Confined(sock, forked.pid, forked.pidfd, attestation, attest, release)

    async def _living_zygote(self) -> Zygote:
        while self._zygote is None:
            await self._alive.wait()
        return self._zygote

    async def _start_zygote(self) -> None:
        zygote = Zygote(self._template_dir, self._zygote_lost, boot=self._boot)
        await zygote.start()
        self._zygote = zygote
        self._alive.set()
        self._known.add(zygote.pid)
        self._audit.record(Event(EventKind.ZYGOTE_STARTED, fields={"pid": zygote.pid}))

    def _zygote_lost(self, zygote: Zygote) -> None:
        if self._stopping or zygote is not self._zygote:
            return
        self._zygote = None
        self._alive.clear()
        self._audit.record(Event(EventKind.ZYGOTE_LOST, fields={"pid": zygote.pid}))
        self._lost.put_nowait(zygote)

    async def _replace(self, lost: Zygote) -> None:
        await lost.stop()
        self._known.discard(lost.pid)
        kill_strays(self._known)
        while not self._alive.is_set():
            try:
                await self._start_zygote()
            except ConfinementError:
                await asyncio.sleep(RESTART_DELAY_S)


async def _remove(leaf: Leaf) -> None:
    for _ in range(LEAF_REMOVE_TRIES):
        if leaf.remove():
            return
        await asyncio.sleep(0.002)


async def _ready(sock: socket.socket) -> abi.Ready:
    """The worker's first frame. Raises ConfinementError with the worker's last words, WorkerLostError."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock, settle, readable)
    try:
        await readable
    finally:
        loop.remove_reader(sock)
    try:
        frame, fds = transport.receive(sock, _FIRST_FRAMES)
    except (transport.ClosedError, abi.FrameError, OSError) as error:
        raise WorkerLostError("the worker ended before it was confined", "try again; then agentd doctor") from error
    for fd in fds:
        os.close(fd)
    if isinstance(frame, abi.Log):
        raise ConfinementError(f"the worker could not be confined: {frame.text}", "run agentd doctor")
    return frame


@contextmanager
def _opened(request: LaunchRequest, policy: abi.Policy, leaf: Leaf | None) -> Iterator[list[int]]:
    """The fds of a spawn request after socket and filter, in the order of the wire format; closed at the end."""
    fds: list[int] = []
    by_path = {root.path: root for root in request.roots if root.held is Held.KERNEL}
    try:
        if leaf:
            fds.append(leaf.procs_fd())
        fds.extend(detach_tree(by_path[mount.path].fd, mount) for mount in policy.mounts)
        if request.program is not None:
            fds.append(transport.sealed_memfd(request.program))
        yield fds
    finally:
        for fd in fds:
            os.close(fd)
