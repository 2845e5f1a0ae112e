"""The event loop's way of waiting: where answers come within microseconds, it looks again before it sleeps.

Invariant: everything that the loop waits for is seen in every look, so nobody waits for longer than without it; the
time that is spent in vain is bounded as worker/linger.py says. It does not yield: under load that costs a time slice.
"""

import asyncio
import selectors
import time
from collections.abc import Callable

from worker.linger import Linger

WINDOW_S = 0.000_2  # a worker reads a file and tells it in half of it

_Ready = list[tuple[selectors.SelectorKey, int]]


class LingeringSelector(selectors.EpollSelector):
    """epoll(7), with a look ahead of the sleep when short waits were the rule."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._linger = Linger(WINDOW_S)
        self.looks = 0

    def select(self, timeout: float | None = None) -> _Ready:
        """As `EpollSelector.select`."""
        if timeout is not None and timeout <= 0:
            return super().select(0)
        begun_s = self._now_s()
        if self._linger.is_worth:
            return self._look(begun_s, timeout)
        ready = super().select(timeout)
        if ready:
            self._linger.slept(self._now_s() - begun_s)
        return ready

    def _look(self, begun_s: float, timeout: float | None) -> _Ready:
        self.looks += 1
        window_s = WINDOW_S if timeout is None else min(WINDOW_S, timeout)
        while self._now_s() - begun_s < window_s:
            if ready := super().select(0):
                self._linger.found()
                return ready
        self._linger.missed()
        return super().select(None if timeout is None else timeout - window_s)


def make_loop() -> asyncio.SelectorEventLoop:
    """A loop that waits like this."""
    return asyncio.SelectorEventLoop(LingeringSelector())
