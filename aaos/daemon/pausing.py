"""Pausing runs and single agents, and going on with them (RUN-5).

Invariant: what is said to be paused is written as such and stands still, down to the last process of each agent; a
pause that cannot be made whole is taken back. Paused runs stay paused over a restart. It ends nothing.
"""

from dataclasses import dataclass

from aaos.agent.registry import LiveAgent, Registry
from aaos.core.errors import AaosError, ConflictError, NotFoundError
from aaos.core.events import Event, EventKind
from aaos.core.graph import RunState, SubtaskState
from aaos.core.ids import RunId, SubtaskId, Uid
from aaos.core.ports import AuditSink
from aaos.daemon.runs import LiveRuns
from aaos.plan.planning import current, is_planning
from aaos.store.plans import plan_from_json
from aaos.store.runs import Runs


@dataclass(frozen=True, slots=True)
class Pausing:
    """Who pauses. `has_leaves`: each agent has a cgroup, which alone can be frozen."""

    runs: Runs
    audit: AuditSink
    live: LiveRuns
    agents: Registry
    has_leaves: bool

    async def pause_run(self, run: RunId, uid: Uid) -> None:
        """Everything of a run: no agent runs, none is begun, its time stands still.

        Raises ConflictError, BusyError, ConfinementError; the run goes on then.
        """
        self._require(run)
        with self.runs.step():
            if not self.runs.pause(run):
                return
            self._tell(EventKind.RUN_PAUSED, run, uid)
        self.agents.pauses.of_run(run).pause()
        try:
            for agent in self.agents.of_run(run):
                await _freeze(agent)
        except AaosError:
            self.resume_run(run, uid)
            raise

    def resume_run(self, run: RunId, uid: Uid) -> None:
        """A run with all of its agents, also those that were paused alone. Raises ConflictError, ConfinementError."""
        self._require(run)
        for agent in self.agents.of_run(run):
            if agent.pause.is_own:
                self._go_on(agent, uid)
        self.agents.pauses.of_run(run).go_on()
        for agent in self.agents.of_run(run):
            _thaw(agent)
        with self.runs.step():
            if self.runs.go_on(run, self._state(run)):
                self._tell(EventKind.RUN_CONTINUED, run, uid)

    async def pause_agent(self, agent: LiveAgent, uid: Uid) -> None:
        """One agent; the others and the time of the run go on. Raises as `pause_run`, and NotFoundError."""
        self._require(agent.run)
        if agent.session is None:
            raise NotFoundError(f"agent {agent.agent} has no worker yet", f"try again: agentd pause {agent.agent}")
        if agent.pause.is_own:
            return
        agent.pause.pause()
        try:
            await _freeze(agent)
        except AaosError:
            self._go_on(agent, uid)
            raise
        self._write(agent, SubtaskState.RUNNING, SubtaskState.PAUSED)
        self._tell(EventKind.AGENT_PAUSED, agent.run, uid, agent)

    def resume_agent(self, agent: LiveAgent, uid: Uid) -> None:
        """One agent; it stays paused as long as its run is. Raises ConflictError, ConfinementError."""
        self._require(agent.run)
        if agent.pause.is_own:
            self._go_on(agent, uid)

    def _go_on(self, agent: LiveAgent, uid: Uid) -> None:
        agent.pause.go_on()
        _thaw(agent)
        self._write(agent, SubtaskState.PAUSED, SubtaskState.RUNNING)
        self._tell(EventKind.AGENT_CONTINUED, agent.run, uid, agent)

    def _require(self, run: RunId) -> None:
        if not self.has_leaves:
            remedy = "start agentd by its unit and with all layers; or stop the run: agentd stop RUN"
            raise ConflictError("agents are paused by their cgroups, and this agentd runs without that layer", remedy)
        if run not in self.live:
            raise ConflictError(f"run {run} does not run", f"look at it: agentd status {run}")

    def _state(self, run: RunId) -> RunState:
        row = self.runs.get(run)
        is_planned = row.plan is not None and not is_planning(current(plan_from_json(row.plan))[0])
        return RunState.RUNNING if is_planned else RunState.PLANNING

    def _write(self, agent: LiveAgent, before: SubtaskState, after: SubtaskState) -> None:
        for row in self.runs.subtasks(agent.run):
            if row.id == agent.subtask and row.state is before:
                self.runs.set_subtask(agent.run, row.id, after, attempt=row.attempt)

    def _tell(self, kind: EventKind, run: RunId, uid: Uid, agent: LiveAgent | None = None) -> None:
        subtask: SubtaskId | None = agent.subtask if agent else None
        self.audit.record(Event(kind, run, subtask, agent.agent if agent else None, {"uid": uid}))


async def _freeze(agent: LiveAgent) -> None:
    """One that is being launched waits by itself: it gets its `start` when it may go on."""
    if agent.session is not None:
        await agent.session.pause()


def _thaw(agent: LiveAgent) -> None:
    if agent.session is not None and not agent.pause.is_paused:
        agent.session.go_on()
