"""Where workers are made and wait for an agent: a bounded, adaptive stock of parked ones.

Invariant: a parked worker holds nothing of any agent, belongs to nobody, and goes to one agent or is ended; whatever is
taken from the machine for it (process, socket, id, leaf) is given back exactly once.
"""

import asyncio
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from aaos.core.config import Settings
from aaos.core.errors import AaosError, BusyError
from aaos.core.layers import Layer
from aaos.sandbox import filters
from aaos.sandbox.attest import attest_parked
from aaos.sandbox.cgroup import CgroupTree, Leaf
from aaos.sandbox.ids import IdRange
from aaos.sandbox.policy import INSIDE_ID, parked_policy
from aaos.sandbox.session import reap
from aaos.sandbox.zygote import Zygote
from worker import abi, transport

DEMAND_S = 60.0  # launches of so long ago are still a reason to keep a worker ready
RETRY_S = 1.0  # until another try, when none could be made
LEAF_REMOVE_TRIES = 50
SETTLE_TRIES, SETTLE_S = 10, 0.005

WORKER = "worker"
Owner = tuple[int, int]  # the uid and gid that a worker sees as its own
Kind = tuple[str, Owner]  # a worker, or a cell with or without network; and whose


@dataclass(slots=True, eq=False)
class Parked:
    """A worker without an agent: behind all of the wall that needs none, waiting on its socket. One that `is_settled`
    was seen to be."""

    policy: abi.Policy
    sock: socket.socket
    leaf: Leaf | None
    pid: int
    pidfd: int
    is_settled: bool = False

    @property
    def owner(self) -> Owner:
        """Whom it can work for: the owner of what it may be granted."""
        return self.policy.inside_uid, self.policy.inside_gid

    @property
    def kind(self) -> Kind:
        """For what it can be taken."""
        return self.policy.profile, self.owner


class Yard:
    """Makes workers, and keeps some ahead of need: as many as were taken in the last minute, and like those."""

    def __init__(
        self, settings: Settings, layers: frozenset[Layer], *, zygote: Callable[[], Awaitable[Zygote]]
    ) -> None:
        self._settings = settings
        self._layers = layers
        self._zygote = zygote
        self._ids = IdRange(settings.worker)
        self._cgroups: CgroupTree | None = None
        self._filter_fds: dict[str, int] = {}
        self._parked: deque[Parked] = deque()
        self._dead: list[Parked] = []
        bound = settings.worker.parked
        first: Kind = WORKER, (INSIDE_ID, INSIDE_ID)
        self._taken = deque([(0.0, first)][:bound], maxlen=bound)
        self._launching = 0
        self._quiet, self._wanted = asyncio.Event(), asyncio.Event()
        self._quiet.set()
        self._wanted.set()
        self.known: set[int] = set()  # pids of its workers, parked or taken

    def open(self, cgroups: CgroupTree | None) -> None:
        """Before the first worker: what every worker shares."""
        self._cgroups = cgroups
        self._filter_fd(WORKER)

    async def close(self) -> None:
        """End all that are parked; those that were taken belong to who took them."""
        await self.clear()
        while self._filter_fds:
            os.close(self._filter_fds.popitem()[1])

    @property
    def parked(self) -> int:
        """How many wait."""
        return len(self._parked)

    @contextmanager
    def launching(self) -> Iterator[None]:
        """Nothing is parked in the meantime: a launch is not to wait for a stock."""
        self._launching += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._launching -= 1
            if not self._launching:
                self._quiet.set()

    async def take(self, owner: Owner, profile: str = WORKER) -> Parked:
        """A worker, or a cell of this profile, for `owner`: one that waits, or a new one.

        Raises BusyError, ConfinementError, WorkerLostError.
        """
        kind = profile, owner
        self._taken.append((time.monotonic(), kind))
        self._wanted.set()
        for parked in self._parked:
            if parked.kind == kind:
                self._leave(parked)
                return parked
        try:
            return await self._make(kind)
        except BusyError:
            if not self._parked:
                raise
        await self.end(self._leave(self._parked[0]))  # its id is needed
        return await self._make(kind)

    async def keep_filled(self) -> None:
        """Park workers when launches have shown the need, in quiet moments; runs until cancelled."""
        pause_s = DEMAND_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()
            self._wanted.clear()
            pause_s = DEMAND_S
            try:
                await self._fill()
            except AaosError:  # the next launch meets the same, and says so
                pause_s = RETRY_S
            await self._settle()

    async def clear(self) -> None:
        """End all that are parked, and those that ended while they were."""
        while self._parked:
            await self.end(self._leave(self._parked[0]))
        while self._dead:
            await self.end(self._dead.pop())
        self._wanted.set()

    async def end(self, parked: Parked) -> None:
        """Kill a worker that no session has, and take back what it held."""
        parked.sock.close()
        try:
            await reap(parked.pidfd, parked.leaf)
        finally:
            await self.release(parked)

    async def release(self, parked: Parked) -> None:
        """Take back the id and the leaf of a worker whose process is gone."""
        self.known.discard(parked.pid)
        if parked.leaf:
            await remove_leaf(parked.leaf)
        self._ids.release(parked.policy.host_uid)

    async def _fill(self) -> None:
        while self._dead:
            await self.end(self._dead.pop())
        while surplus := self._count() - self._demand():
            await self.end(self._leave(next(p for p in self._parked if p.kind in surplus)))
        while missing := self._demand() - self._count():
            await self._quiet.wait()
            self._park(await self._make(next(iter(missing))))

    async def _settle(self) -> None:
        """Look at what lasts of those that wait, once they have arrived. Of one that is taken before, or that is not
        as it should be, all is looked at when it is launched."""
        for _ in range(SETTLE_TRIES):
            if not (coming := [p for p in self._parked if not p.is_settled and p.policy.profile == WORKER]):
                return
            await asyncio.sleep(SETTLE_S)
            for parked in coming:
                await self._quiet.wait()
                with suppress(AaosError):
                    attest_parked(parked.pid, parked.policy)
                    parked.is_settled = True

    def _count(self) -> Counter[Kind]:
        return Counter(parked.kind for parked in self._parked)

    def _demand(self) -> Counter[Kind]:
        """The kinds of the last launches; of the very last one however long ago it was."""
        since = min(time.monotonic() - DEMAND_S, self._taken[-1][0]) if self._taken else 0.0
        return Counter(kind for when, kind in self._taken if when >= since)

    def _park(self, parked: Parked) -> None:
        asyncio.get_running_loop().add_reader(parked.sock, self._lost, parked)
        self._parked.append(parked)

    def _leave(self, parked: Parked) -> Parked:
        asyncio.get_running_loop().remove_reader(parked.sock)
        self._parked.remove(parked)
        return parked

    def _lost(self, parked: Parked) -> None:
        """It ended, or spoke without being asked. One launch less counts as a need: no loop that forks in vain."""
        self._dead.append(self._leave(parked))
        if need := next((need for need in self._taken if need[1] == parked.kind), None):
            self._taken.remove(need)
        self._wanted.set()

    def _filter_fd(self, profile: str) -> int:
        if profile not in self._filter_fds:
            program = filters.worker_filter() if profile == WORKER else filters.cell_filter(profile)
            self._filter_fds[profile] = transport.sealed_memfd(program)
        return self._filter_fds[profile]

    async def _make(self, kind: Kind) -> Parked:
        profile, owner = kind
        with ExitStack() as undo:
            host_id = self._ids.lease()
            undo.callback(self._ids.release, host_id)
            policy = parked_policy(
                owner, profile=profile, host_id=host_id, layers=self._layers, settings=self._settings
            )
            leaf = self._cgroups.make(f"w-{host_id}", self._settings.worker) if self._cgroups else None
            if leaf:
                undo.callback(leaf.remove)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(ours.close)
            ours.setblocking(False)
            with theirs:
                pid, pidfd = await self._fork(policy, theirs, leaf)
            self.known.add(pid)
            undo.pop_all()
        return Parked(policy, ours, leaf, pid, pidfd)

    async def _fork(self, policy: abi.Policy, theirs: socket.socket, leaf: Leaf | None) -> tuple[int, int]:
        procs = [leaf.procs_fd()] if leaf else []
        try:
            forked = await (await self._zygote()).fork(
                policy, [theirs.fileno(), self._filter_fd(policy.profile), *procs]
            )
        finally:
            for fd in procs:
                os.close(fd)
        return forked.pid, forked.pidfd


async def remove_leaf(leaf: Leaf) -> None:
    """Remove a leaf whose processes are about to be gone."""
    for _ in range(LEAF_REMOVE_TRIES):
        if leaf.remove():
            return
        await asyncio.sleep(0.002)
