"""Pausing runs and agents: what stands still is written, what cannot be paused goes on, and nothing is left between."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from aaos.agent.registry import AgentState, LiveAgent, Registry
from aaos.core.errors import AaosError, BusyError, ConflictError, NotFoundError
from aaos.core.events import EventKind
from aaos.core.graph import Plan, RunState, Subtask, SubtaskState
from aaos.core.ids import AgentId, Gid, RoleName, RunId, SubtaskId, Uid
from aaos.core.ports import Session
from aaos.daemon.pausing import Pausing
from aaos.daemon.runs import LiveRuns
from aaos.store.database import Database
from aaos.store.runs import RunRow, Runs
from tests.fakes import MemoryAudit

RUN, ONE, OTHER = RunId("r-1"), AgentId("a-1"), AgentId("a-2")
ME = Uid(1000)


class Frozen:
    """A session that can only be paused."""

    def __init__(self, error: AaosError | None = None) -> None:
        self.error = error
        self.stands = False

    async def pause(self) -> None:
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        self.stands = True

    def go_on(self) -> None:
        self.stands = False


class Scene:
    """One run with two agents, each with a session."""

    def __init__(self, state: Path, *, has_leaves: bool = True, role: str = "analyzer") -> None:
        self.database = Database.open(state)
        self.runs, self.audit, self.agents = Runs(self.database), MemoryAudit(), Registry(4)
        self.live = LiveRuns(self.runs, self.audit, max_runs=2)
        self.pausing = Pausing(self.runs, self.audit, self.live, self.agents, has_leaves=has_leaves)
        self.runs.create(RunRow(RUN, ME, Gid(1000), "g", "{}", None, RunState.PENDING, 1.0))
        subtasks = tuple(Subtask(SubtaskId(name), RoleName(role), {}) for name in ("one", "other"))
        self.runs.add_plan(RUN, Plan(subtasks, subtasks[-1].id, "test"))
        self.runs.set_state(RUN, RunState.RUNNING)
        self.sessions = {ONE: Frozen(), OTHER: Frozen()}
        for agent, subtask in ((ONE, "one"), (OTHER, "other")):
            self.runs.set_subtask(RUN, SubtaskId(subtask), SubtaskState.RUNNING, attempt=1, agent=agent)

    def agent(self, agent: AgentId) -> LiveAgent:
        return self.agents.find(agent, uid=ME)

    def stands(self) -> list[AgentId]:
        return [agent for agent, session in self.sessions.items() if session.stands]

    def states(self) -> list[SubtaskState]:
        return [row.state for row in self.runs.subtasks(RUN)]

    def admit(self, agent: AgentId, subtask: str) -> LiveAgent:
        clock = self.agents.pauses.of_agent(RUN, agent)
        entry = LiveAgent(agent, RUN, SubtaskId(subtask), RoleName("analyzer"), ME, 0.0, pause=clock)
        entry.confined(cast("Session", self.sessions[agent]))  # what is used of it
        return entry

    def check(self, check: Callable[["Scene"], Awaitable[None]]) -> None:
        async def main() -> None:
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                self.live.open(group)
                self.live.start(RUN, ME, asyncio.Event().wait)
                one, other = self.admit(ONE, "one"), self.admit(OTHER, "other")
                with self.agents.admitted(one), self.agents.admitted(other):
                    await check(self)
                await self.live.stop(RUN)

        try:
            asyncio.run(main())
        finally:
            self.database.close()


def test_a_run_stands_still_with_all_its_agents_and_goes_on(tmp_path: Path) -> None:
    """RUN-5: twice is once."""

    async def check(scene: Scene) -> None:
        for _ in range(2):
            await scene.pausing.pause_run(RUN, ME)
            assert scene.stands() == [ONE, OTHER]
            assert scene.runs.get(RUN).state is RunState.PAUSED
            assert scene.agents.pauses.of_run(RUN).is_paused
            assert scene.agent(ONE).shown is AgentState.PAUSED
        for _ in range(2):
            scene.pausing.resume_run(RUN, ME)
            assert scene.stands() == []
            assert scene.runs.get(RUN).state is RunState.RUNNING
            assert not scene.agents.pauses.of_run(RUN).is_paused
            assert scene.agent(ONE).shown is AgentState.RUNNING
        assert scene.audit.kinds() == [EventKind.RUN_PAUSED, EventKind.RUN_CONTINUED]
        assert scene.audit.events[0].fields == {"uid": ME}

    Scene(tmp_path / "s").check(check)


def test_an_agent_stands_still_alone(tmp_path: Path) -> None:
    """RUN-5: its subtask says so, and its run does not."""

    async def check(scene: Scene) -> None:
        for _ in range(2):
            await scene.pausing.pause_agent(scene.agent(ONE), ME)
            assert scene.stands() == [ONE]
            assert scene.states() == [SubtaskState.PAUSED, SubtaskState.RUNNING]
        assert scene.runs.get(RUN).state is RunState.RUNNING
        for _ in range(2):
            scene.pausing.resume_agent(scene.agent(ONE), ME)
            assert scene.stands() == []
            assert scene.states() == [SubtaskState.RUNNING, SubtaskState.RUNNING]
        told = [(event.kind, event.agent, event.subtask) for event in scene.audit.events]
        assert told == [(EventKind.AGENT_PAUSED, ONE, "one"), (EventKind.AGENT_CONTINUED, ONE, "one")]

    Scene(tmp_path / "s").check(check)


def test_a_run_goes_on_with_those_that_were_paused_alone(tmp_path: Path) -> None:
    """RUN-5"""

    async def check(scene: Scene) -> None:
        await scene.pausing.pause_agent(scene.agent(ONE), ME)
        await scene.pausing.pause_run(RUN, ME)
        scene.pausing.resume_agent(scene.agent(ONE), ME)
        assert scene.stands() == [ONE, OTHER]  # the run is paused
        await scene.pausing.pause_agent(scene.agent(ONE), ME)
        scene.pausing.resume_run(RUN, ME)
        assert scene.stands() == []
        assert scene.states() == [SubtaskState.RUNNING, SubtaskState.RUNNING]

    Scene(tmp_path / "s").check(check)


def test_a_pause_that_cannot_be_made_whole_is_taken_back(tmp_path: Path) -> None:
    """RUN-5: one of two does not stand still."""

    async def check(scene: Scene) -> None:
        scene.sessions[OTHER].error = BusyError("it waits for a disk", "try again")
        with pytest.raises(BusyError):
            await scene.pausing.pause_run(RUN, ME)
        with pytest.raises(BusyError):
            await scene.pausing.pause_agent(scene.agent(OTHER), ME)
        assert scene.stands() == []
        assert scene.runs.get(RUN).state is RunState.RUNNING
        assert scene.states() == [SubtaskState.RUNNING, SubtaskState.RUNNING]
        assert not scene.agent(OTHER).pause.is_paused

    Scene(tmp_path / "s").check(check)


def test_without_the_layer_it_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """RUN-5, ISO-8: nothing else reaches a whole process tree."""

    async def check(scene: Scene) -> None:
        with pytest.raises(ConflictError, match="without that layer") as caught:
            await scene.pausing.pause_run(RUN, ME)
        assert "agentd stop" in caught.value.remedy
        with pytest.raises(ConflictError):
            await scene.pausing.pause_agent(scene.agent(ONE), ME)
        assert scene.runs.get(RUN).state is RunState.RUNNING
        assert scene.audit.events == []

    Scene(tmp_path / "s", has_leaves=False).check(check)


def test_what_does_not_run_cannot_be_paused(tmp_path: Path) -> None:
    """RUN-5: an agent on its way, a run that has ended."""

    async def check(scene: Scene) -> None:
        scene.agent(ONE).session = None
        with pytest.raises(NotFoundError, match="no worker yet"):
            await scene.pausing.pause_agent(scene.agent(ONE), ME)
        await scene.pausing.pause_run(RUN, ME)
        assert scene.stands() == [OTHER]
        scene.pausing.resume_run(RUN, ME)
        await scene.live.stop(RUN)
        for ask in (scene.pausing.pause_run(RUN, ME), scene.pausing.pause_agent(scene.agent(OTHER), ME)):
            with pytest.raises(ConflictError, match="does not run"):
                await ask
        with pytest.raises(ConflictError, match="does not run"):
            scene.pausing.resume_run(RUN, ME)

    Scene(tmp_path / "s").check(check)


def test_a_run_that_was_planned_goes_on_being_planned(tmp_path: Path) -> None:
    """RUN-5"""

    async def check(scene: Scene) -> None:
        await scene.pausing.pause_run(RUN, ME)
        scene.pausing.resume_run(RUN, ME)
        assert scene.runs.get(RUN).state is RunState.PLANNING

    Scene(tmp_path / "s", role="planner").check(check)
