"""Who writes to which directories, so that an approved program sees what it was approved for (BRK-6).

Invariant: while a call is `alone` with some paths, no other call of any agent changes anything there, and every worker
that could write there without a call stands still. One that waits to be alone keeps nobody waiting, and waits no longer
than a bound: whom it waits for may be paused. It knows what aaOS started, and nothing else of the machine.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import dataclass
from typing import Protocol

from aaos.core.errors import BusyError
from aaos.core.ids import AgentId
from aaos.core.ports import Held, Root

ALONE_WAIT_S = 300.0  # as long as most programs run; who waits for an approved one has its deadlines held meanwhile

Paths = Sequence[str]
Inodes = frozenset[tuple[int, int]]  # device and inode of directories: one has another path by a bind mount
NO_INODES: Inodes = frozenset()
Hold = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, eq=False)
class Worker:
    """One that has the paths mounted for writing. Within `hold()` its deadlines stand, within `halted()` itself."""

    paths: Paths
    hold: Hold
    halted: Callable[[], AbstractAsyncContextManager[None]]
    inodes: Inodes = NO_INODES

    @classmethod
    def of(cls, roots: Iterable[Root], hold: Hold, halted: Callable[[], AbstractAsyncContextManager[None]]) -> "Worker":
        """The worker of an agent with these roots, and what it could change without a call."""
        mounted = [root for root in roots if root.writable and root.held is Held.KERNEL]
        return cls([root.path for root in mounted], hold, halted, inodes_of(mounted))


@dataclass(slots=True, eq=False)
class Claim:
    """A turn. `controls`: what has it may make control files; `met_controls`: another one there had, meanwhile."""

    paths: Paths
    controls: bool = False
    met_controls: bool = False
    inodes: Inodes = NO_INODES


class Turn(Protocol):
    """The way to a turn at the paths, for one call."""

    def __call__(self, paths: Paths, inodes: Inodes = NO_INODES) -> AbstractAsyncContextManager[Claim]:
        """Whether it is waited for is not the caller's."""


class Writers:
    """One for the daemon. Not thread-safe: it is used on the event loop."""

    def __init__(self, *, alone_wait_s: float = ALONE_WAIT_S) -> None:
        self._workers: dict[AgentId, Worker] = {}
        self._writing: set[Claim] = set()
        self._alone: set[Claim] = set()  # those that are, and none that waits
        self._alone_wait_s = alone_wait_s
        self._bell = asyncio.Event()

    async def join(self, agent: AgentId, worker: Worker) -> None:
        """Before any code of an agent runs in it: it waits while a call is alone there."""
        await self._until(lambda: not _meet(worker, self._alone))
        self._workers[agent] = worker

    def leave(self, agent: AgentId) -> None:
        """Its worker has ended. Idempotent."""
        self._workers.pop(agent, None)

    @asynccontextmanager
    async def writing(
        self, paths: Paths, inodes: Inodes = NO_INODES, *, hold: Hold = nullcontext, controls: bool = False
    ) -> AsyncIterator[Claim]:
        """For what changes something at or below the paths; it waits, within `hold()`, while a call is alone there."""
        turn = Claim(paths, controls, inodes=inodes)
        if _meet(turn, self._alone):
            with hold():
                await self._until(lambda: not _meet(turn, self._alone))
        for other in self._writing:
            if _meet(turn, [other]):
                turn.met_controls |= other.controls
                other.met_controls |= controls
        self._writing.add(turn)
        try:
            yield turn
        finally:
            self._writing.discard(turn)
            self._ring()

    @asynccontextmanager
    async def alone(self, paths: Paths, inodes: Inodes = NO_INODES, *, hold: Hold = nullcontext) -> AsyncIterator[None]:
        """Nobody else that aaOS started changes anything at, above or below the paths. Raises BusyError when somebody
        writes there all the time, or a worker does not stand still in time."""
        turn = Claim(paths, inodes=inodes)
        with hold():
            await self._free(turn)
        self._alone.add(turn)  # nothing was awaited since it was free
        try:
            async with AsyncExitStack() as still:
                for worker in [one for one in self._workers.values() if _meet(turn, [one])]:
                    still.enter_context(worker.hold())
                    await still.enter_async_context(worker.halted())
                yield
        finally:
            self._alone.discard(turn)
            self._ring()

    async def _free(self, turn: Claim) -> None:
        """Until nobody writes there and nobody is alone there. Raises BusyError."""
        try:
            async with asyncio.timeout(self._alone_wait_s):
                await self._until(lambda: not _meet(turn, (*self._alone, *self._writing)))
        except TimeoutError as error:
            message = f"others have been writing at {turn.paths[0]} for {self._alone_wait_s:g} s, or are paused there"
            raise BusyError(message, "see who is paused: agentd list; then call it again") from error

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            await self._bell.wait()

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()


def inodes_of(roots: Iterable[Root]) -> Inodes:
    """Of those that are open."""
    found = [os.fstat(root.fd) for root in roots if root.fd >= 0]
    return frozenset((status.st_dev, status.st_ino) for status in found)


def _meet(one: Worker | Claim, others: Iterable[Worker | Claim]) -> bool:
    """Whether one of its paths is one of theirs, or holds it, or lies in it, or is the same directory by another."""
    return any(
        one.inodes & other.inodes or any(_holds(a, b) or _holds(b, a) for a in one.paths for b in other.paths)
        for other in others
    )


def _holds(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith(f"{outer.rstrip('/')}/")
