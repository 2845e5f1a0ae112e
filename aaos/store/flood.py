"""Decides which events of a flood are written: so many of one kind and agent in each second, the rest is counted.

Invariant: nothing is lost uncounted; one agent's flood takes nothing from another. Pure, given the time.
"""

from dataclasses import dataclass

from aaos.core.events import Event, EventKind
from aaos.core.ids import AgentId, RunId

PER_SECOND = 50
_WINDOW_S = 1.0
_NOISY = frozenset({EventKind.TOOL_DENIED, EventKind.AGENT_LOG, EventKind.ABI_BUSY, EventKind.NETWORK_REFUSED})
_Key = tuple[EventKind, AgentId | None, RunId | None]


@dataclass(slots=True)
class _Window:
    begin_s: float
    admitted: int = 0
    suppressed: int = 0


@dataclass(frozen=True, slots=True)
class Suppressed:
    """How many events of one kind and agent were not written since this was last told."""

    kind: EventKind
    run: RunId | None
    agent: AgentId | None
    count: int


class Flood:
    """Counters for what agents cause at will; the noisy kinds alone are ever suppressed."""

    def __init__(self) -> None:
        self._windows: dict[_Key, _Window] = {}

    def admits(self, event: Event, now_s: float) -> bool:
        """Whether the event is to be written; when not, it is counted. `now_s` is monotonic."""
        if event.kind not in _NOISY:
            return True
        key = (event.kind, event.agent, event.run)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(now_s)
        if now_s - window.begin_s >= _WINDOW_S:
            window.begin_s, window.admitted = now_s, 0
        if window.admitted < PER_SECOND:
            window.admitted += 1
            return True
        window.suppressed += 1
        return False

    def pending(self) -> tuple[Suppressed, ...]:
        """What is counted and not told yet."""
        return tuple(
            Suppressed(kind, run, agent, window.suppressed)
            for (kind, agent, run), window in self._windows.items()
            if window.suppressed
        )

    def told(self, suppressed: Suppressed) -> None:
        """Take back what `pending` gave, now that it is written."""
        window = self._windows[(suppressed.kind, suppressed.agent, suppressed.run)]
        window.suppressed -= suppressed.count

    def forget_idle(self, now_s: float) -> None:
        """Drop the counters of those that were silent for a second and have nothing to tell."""
        idle = [k for k, w in self._windows.items() if not w.suppressed and now_s - w.begin_s >= _WINDOW_S]
        for key in idle:
            del self._windows[key]
