"""Pauses of runs and agents, and the time that stands still meanwhile (RUN-5, BRK-9).

Invariant: what a run has paused is paused for each of its agents, and an agent's own pause is for it alone; a deadline
that was given to one of these clocks is never met while it stands. It must not stop a process: who pauses does both.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from aaos.core.ids import AgentId, RunId


@dataclass(slots=True, eq=False)
class _Deadline:
    timer: asyncio.Timeout
    at_s: float  # on this clock


class Pause:
    """A clock that can be stopped."""

    def __init__(self, parent: "Pause | None" = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is that of the event loop."""
        self._clock = clock
        self._is_own = False
        self._stops = 0  # its own and that of its parent, and those that hold it
        self._holds = 0
        self._stopped_s = 0.0
        self._lost_s = 0.0
        self._children: list[Pause] = []
        self._deadlines: set[_Deadline] = set()
        self._going = asyncio.Event()
        self._going.set()
        if parent is not None:
            parent._children.append(self)
            if parent.is_paused:
                self._stop()

    @property
    def is_paused(self) -> bool:
        """Whether it was paused, itself or its parent."""
        return self._stops > self._holds

    @property
    def is_standing(self) -> bool:
        """Whether no time passes on it."""
        return self._stops > 0

    @property
    def is_own(self) -> bool:
        """Whether it was stopped itself, whatever its parent does."""
        return self._is_own

    def pause(self) -> None:
        """Stop it; nothing when it was stopped before."""
        if not self._is_own:
            self._is_own = True
            self._stop()

    def go_on(self) -> None:
        """End its own pause."""
        if self._is_own:
            self._is_own = False
            self._start()

    @contextmanager
    def held(self) -> Iterator[None]:
        """It stands meanwhile, and is not paused: somebody is waited for."""
        self._holds += 1
        self._stop()
        try:
            yield
        finally:
            self._holds -= 1
            self._start()

    async def going(self) -> None:
        """Wait until it is not paused."""
        await self._going.wait()

    def time_s(self) -> float:
        """Seconds that passed while it was not paused."""
        return (self._stopped_s if self.is_standing else self._clock()) - self._lost_s

    def real_s(self, at_s: float) -> float:
        """When it will be `at_s` on this clock, in monotonic seconds, if it is not stopped any more."""
        standing_s = self._clock() - self._stopped_s if self.is_standing else 0.0
        return at_s + self._lost_s + standing_s

    @asynccontextmanager
    async def timeout(self, delay_s: float) -> AsyncIterator[None]:
        """As asyncio.timeout, on this clock. Raises TimeoutError."""
        async with asyncio.timeout(None if self.is_standing else delay_s) as timer:
            deadline = _Deadline(timer, self.time_s() + delay_s)
            self._deadlines.add(deadline)
            try:
                yield
            finally:
                self._deadlines.discard(deadline)

    def _stop(self) -> None:
        self._stops += 1
        self._tell()
        if self._stops > 1:
            return
        self._stopped_s = self._clock()
        for deadline in self._deadlines:
            _move(deadline, None)
        for child in self._children:
            child._stop()

    def _start(self) -> None:
        self._stops -= 1
        self._tell()
        if self._stops:
            return
        self._lost_s += self._clock() - self._stopped_s
        for deadline in self._deadlines:
            _move(deadline, self.real_s(deadline.at_s))
        for child in self._children:
            child._start()

    def _tell(self) -> None:
        if self.is_paused:
            self._going.clear()
        else:
            self._going.set()


class Pauses:
    """The clocks of all runs and their agents."""

    def __init__(self) -> None:
        self._runs: dict[RunId, tuple[Pause, dict[AgentId, Pause]]] = {}

    def of_run(self, run: RunId) -> Pause:
        """The run's clock."""
        return self._runs.setdefault(run, (Pause(), {}))[0]

    def of_agent(self, run: RunId, agent: AgentId) -> Pause:
        """The agent's clock, which stands when its run's does."""
        of_run = self.of_run(run)
        agents = self._runs[run][1]
        if agent not in agents:
            agents[agent] = Pause(of_run)
        return agents[agent]

    def forget(self, run: RunId) -> None:
        """The run has ended."""
        self._runs.pop(run, None)


def _move(deadline: _Deadline, at_s: float | None) -> None:
    """One that was met already stays met."""
    if not deadline.timer.expired():
        deadline.timer.reschedule(at_s)
