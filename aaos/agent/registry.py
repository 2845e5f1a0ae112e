"""Who lives: every agent from its admission to its end, bounded, and visible only to the uid it works for.

Invariant: an agent is in the registry exactly while its runner holds its lease. It must not start or end anything.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

from aaos.agent.pause import Pause, Pauses
from aaos.core.errors import BusyError, ConflictError, LimitError, NotFoundError
from aaos.core.ids import AgentId, RoleName, RunId, SubtaskId, Uid
from aaos.core.ports import Session

_FEWER = "ask for less in one goal, or raise limits.run_calls in agentd.toml"


class AgentState(StrEnum):
    """What a live agent is doing; how it ended is in the outcome of its subtask."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"


@dataclass(slots=True)
class LiveAgent:
    """One live agent. Only its runner changes it; `started_s` is monotonic."""

    agent: AgentId
    run: RunId
    subtask: SubtaskId
    role: RoleName
    uid: Uid
    started_s: float
    state: AgentState = AgentState.STARTING
    session: Session | None = None
    pause: Pause = field(default_factory=Pause)

    @property
    def shown(self) -> AgentState:
        """Its state, as somebody sees it from outside."""
        is_held = self.state is not AgentState.STOPPING and self.pause.is_paused
        return AgentState.PAUSED if is_held else self.state

    def confined(self, session: Session) -> None:
        """The worker stands and both attestations agreed."""
        self.session = session
        self.state = AgentState.RUNNING


class Registry:
    """All live agents of this daemon, at most `max_agents`, and the clocks of their runs."""

    def __init__(self, max_agents: int) -> None:
        self.pauses = Pauses()
        self._max_agents = max_agents
        self._live: dict[AgentId, LiveAgent] = {}
        self._calls: Counter[RunId] = Counter()

    @contextmanager
    def admitted(self, entry: LiveAgent) -> Iterator[LiveAgent]:
        """Holds a place for `entry` until the block ends. Raises BusyError when all places are taken."""
        if len(self._live) >= self._max_agents:
            raise BusyError(
                f"{self._max_agents} agents live already",
                "wait for runs to end (`agentd list`), stop one (`agentd stop RUN`), or raise limits.max_agents",
            )
        if entry.agent in self._live:
            raise ConflictError(f"agent {entry.agent} lives already", "submit the goal again")
        self._live[entry.agent] = entry
        try:
            yield entry
        finally:
            del self._live[entry.agent]

    def charge_call(self, run: RunId, max_calls: int) -> None:
        """One tool call more of the whole run. Raises LimitError when its calls are used up."""
        if self._calls[run] >= max_calls:
            raise LimitError(f"the run's {max_calls} tool calls are used up", _FEWER)
        self._calls[run] += 1

    def restore_calls(self, run: RunId, calls: int) -> None:
        """The run is resumed after so many tool calls."""
        self._calls[run] = calls

    def forget(self, run: RunId) -> None:
        """The run has ended: its count and its clocks are not needed any more."""
        self.pauses.forget(run)
        del self._calls[run]

    def of_run(self, run: RunId) -> tuple[LiveAgent, ...]:
        """The live agents of one run."""
        return tuple(entry for entry in self._live.values() if entry.run == run)

    def find(self, prefix: str, *, uid: Uid) -> LiveAgent:
        """The one live agent whose id starts with `prefix` and whose run `uid` may see (0 sees all).

        Raises NotFoundError, also for the agents of others; ConflictError when several match.
        """
        mine = [entry for entry in self._live.values() if uid in (0, entry.uid)]
        found = [entry for entry in mine if prefix and entry.agent.startswith(prefix)]
        match found:
            case [entry]:
                return entry
            case []:
                raise NotFoundError(f"no live agent {prefix[:80]!r}", "`agentd status RUN` shows the agents of a run")
            case [*several]:
                names = ", ".join(entry.agent for entry in several[:5])
                raise ConflictError(f"{prefix!r} is the start of several agents: {names}", "give more of the id")
            case _ as impossible:
                assert_never(impossible)

    def __len__(self) -> int:
        return len(self._live)
