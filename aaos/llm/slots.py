"""The places at one provider: so many turns at once, and who is next when they are all taken.

Invariant: at most `most` places are taken; every run that waits gets one place in each round before any gets a second,
so no run can starve another; within a round the earliest deadline goes first, then who came first. The queue is
bounded. A waiter that is cancelled leaves its place to the next.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aaos.core.errors import BusyError
from aaos.core.ids import RunId

MAX_WAITING = 4_096
TOLD_AFTER_S = 1.0


@dataclass(order=True, slots=True)
class _Waiter:
    deadline_s: float
    number: int
    called: "asyncio.Future[None]" = field(compare=False)


@dataclass(slots=True)
class _Queue:
    """Those of one run who wait; `round` is the one in which the run is served next."""

    round: int = 0
    waiters: list[_Waiter] = field(default_factory=list)


class Slots:
    """The places of one provider."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._taken = 0
        self._count = 0
        self._waiting = 0
        self._round = 0  # that of the last run that was called
        self._queues: dict[RunId, _Queue] = {}  # of runs that wait, or were called in this round

    @asynccontextmanager
    async def taken(
        self, run: RunId, *, deadline_s: float, on_wait: Callable[[str], None] | None = None
    ) -> AsyncIterator[None]:
        """A place, for the length of the block. `on_wait` is told when it takes a while. Raises BusyError."""
        if self._taken < self._most and not self._waiting:
            self._taken += 1
        else:
            await self._called(run, deadline_s, on_wait)
        try:
            yield
        finally:
            self._leave()

    async def _called(self, run: RunId, deadline_s: float, on_wait: Callable[[str], None] | None) -> None:
        """Wait for a place; when this returns it is taken."""
        if self._waiting >= MAX_WAITING:
            message = f"{MAX_WAITING} turns wait for {self._name} already"
            raise BusyError(message, "wait for runs to end: agentd list")
        waiter = self._queued(run, deadline_s)
        called = (waiter.called,)  # `wait` leaves it alone when we are cancelled: `_call` alone resolves it
        try:
            await asyncio.wait(called, timeout=TOLD_AFTER_S)
            if on_wait is not None and not waiter.called.done():
                on_wait(f"{self._taken} turns of {self._name} are under way and {self._waiting} wait")
            await asyncio.wait(called)
        except BaseException:
            self._give_up(run, waiter)
            raise

    def _queued(self, run: RunId, deadline_s: float) -> _Waiter:
        queue = self._queues.setdefault(run, _Queue())
        queue.round = max(queue.round, self._round)
        self._count += 1
        self._waiting += 1
        waiter = _Waiter(deadline_s, self._count, asyncio.get_running_loop().create_future())
        heapq.heappush(queue.waiters, waiter)
        return waiter

    def _give_up(self, run: RunId, waiter: _Waiter) -> None:
        if waiter.called.done():  # just when it gave up
            self._leave()
            return
        queue = self._queues[run]
        queue.waiters.remove(waiter)
        heapq.heapify(queue.waiters)
        self._waiting -= 1

    def _leave(self) -> None:
        self._taken -= 1
        waiting = [queue for queue in self._queues.values() if queue.waiters]
        if waiting:
            self._call(min(waiting, key=lambda queue: (queue.round, queue.waiters[0])))
        self._queues = {run: q for run, q in self._queues.items() if q.waiters or (waiting and q.round > self._round)}

    def _call(self, queue: _Queue) -> None:
        self._round = queue.round
        queue.round += 1
        self._taken += 1
        self._waiting -= 1
        heapq.heappop(queue.waiters).called.set_result(None)
