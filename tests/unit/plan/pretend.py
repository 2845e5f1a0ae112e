"""Runs that only pretend: rows as a log, a spawner that acts as it is told, and everything that was told of it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aaos.agent.pause import Pauses
from aaos.core.capability import parse_capabilities
from aaos.core.envelope import Envelope, Limits, Submitter
from aaos.core.errors import AaosError, StorageError
from aaos.core.graph import Plan, RunState, Subtask, SubtaskState
from aaos.core.ids import AgentId, Gid, RoleName, RunId, SubtaskId, Uid
from aaos.core.ports import AgentOutcome, AgentTask, WrittenFile
from aaos.core.role import Role, Tier
from aaos.core.rolefile import RoleSet, load_roles
from aaos.plan.executor import Executor, RunOrder
from aaos.plan.growing import PlanningTerms
from aaos.plan.ports import RunOutcome, SubtaskEnd
from tests.fakes import MemoryAudit

RUN = RunId("r-1")
PLAIN = Role(RoleName("plain"), "s", "loop", {}, ("tool: echo",), "", "m", (Tier.T1,))


@dataclass
class Store:
    """Rows as a log; refuses to move a subtask that is final, as the real one does."""

    log: list[tuple[str, str, int]] = field(default_factory=list)
    states: dict[str, SubtaskState] = field(default_factory=dict)
    agents: list[AgentId | None] = field(default_factory=list)
    run: list[RunState] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    result: str | None = None
    broken: bool = False

    def set_state(
        self, run: RunId, state: RunState, *, result: str | None = None, error: AaosError | None = None
    ) -> None:
        assert run == RUN
        assert not (self.run and self.run[-1].is_final)
        self.run.append(state)
        self.result = result

    def extend_plan(self, run: RunId, plan: Plan) -> None:
        assert run == RUN
        self.plans.append(plan)

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        yield

    def set_subtask(
        self,
        run: RunId,
        subtask: SubtaskId,
        state: SubtaskState,
        *,
        attempt: int,
        result: str | None = None,
        error: AaosError | None = None,
        agent: AgentId | None = None,
        is_resumed: bool = False,
        began_s: float | None = None,
    ) -> None:
        if self.broken:
            raise StorageError("the disk is full", "free some space")
        assert not (subtask in self.states and self.states[subtask].is_final), f"{subtask} was final"
        self.states[subtask] = state
        self.agents.append(agent)
        self.log.append((subtask, state.value, attempt))


Act = Callable[[AgentTask], Awaitable[AgentOutcome]]


@dataclass
class Pretender:
    """A spawner that keeps what it saw."""

    act: Act
    store: Store
    running: int = 0
    most: int = 0
    seen: list[AgentTask] = field(default_factory=list)

    async def run_agent(self, task: AgentTask) -> AgentOutcome:
        assert self.store.states[task.subtask] is SubtaskState.RUNNING, "committed before the act"
        self.seen.append(task)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self.act(task)
        finally:
            self.running -= 1


def outcome(task: AgentTask, *, error: AaosError | None = None, written: tuple[WrittenFile, ...] = ()) -> AgentOutcome:
    return AgentOutcome(AgentId(f"a-{task.subtask}"), f"result of {task.subtask}", written, error)


async def good(task: AgentTask) -> AgentOutcome:
    await asyncio.sleep(0)
    return outcome(task)


def subtask(name: str, *inputs: str, role: str = "plain", params: Mapping[str, str] | None = None) -> Subtask:
    return Subtask(SubtaskId(name), RoleName(role), dict(params or {}), tuple(SubtaskId(one) for one in inputs))


def plan(*subtasks: Subtask) -> Plan:
    return Plan(subtasks, subtasks[-1].id, "test")


ROLES = load_roles([Path(__file__).parents[3] / "etc" / "aaos" / "roles"])
READING = ("file_list", "file_read", "glob", "grep")


def envelope_of(*capabilities: str, tools: tuple[str, ...] = READING, limits: Limits | None = None) -> Envelope:
    granted = [*capabilities, *(f"tool: {name}" for name in tools)]
    return Envelope(Submitter(Uid(1000), Gid(1000)), parse_capabilities(granted, now_s=0.0), limits or Limits())


def order(made: Plan, limits: Limits | None = None, ends: Mapping[SubtaskId, SubtaskEnd] | None = None) -> RunOrder:
    envelope = Envelope(Submitter(Uid(1000), Gid(1000)), (), limits or Limits())
    return RunOrder(RUN, "goal", made, envelope, None, ends or {})


@dataclass
class Ran:
    """One execution and all its traces."""

    outcome: RunOutcome
    store: Store
    spawner: Pretender
    audit: MemoryAudit


def execute(
    the_order: RunOrder, act: Act = good, roles: tuple[Role, ...] = (PLAIN,), *, terms: PlanningTerms | None = None
) -> Ran:
    store, audit = Store(), MemoryAudit()
    spawner = Pretender(act, store)
    terms = terms or PlanningTerms(RoleSet({role.name: role for role in roles}))
    executor = Executor(spawner, runs=store, audit=audit, terms=terms, pauses=Pauses())
    return Ran(asyncio.run(executor.execute(the_order)), store, spawner, audit)
