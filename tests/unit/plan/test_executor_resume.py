"""The executor goes on with a run of an earlier daemon, and leaves its own to the next (BRK-8, RUN-8)."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from aaos.agent.pause import Pauses
from aaos.core.errors import ToolError, WorkerLostError
from aaos.core.events import EventKind
from aaos.core.graph import RunState, SubtaskState
from aaos.core.ids import AgentId, RunId, SubtaskId
from aaos.core.ports import AgentOutcome, AgentTask
from aaos.core.rolefile import RoleSet
from aaos.plan.executor import Executor
from aaos.plan.growing import PlanningTerms
from aaos.plan.ports import SubtaskEnd, Underway
from tests.fakes import MemoryAudit
from tests.unit.plan.pretend import PLAIN, RUN, Pretender, Store, execute, order, outcome, plan, subtask

A = SubtaskId("a")


def test_a_resumed_run_does_not_repeat_what_was_completed() -> None:
    ends = {
        A: SubtaskEnd(SubtaskState.COMPLETED, "kept", 1),
        SubtaskId("x"): SubtaskEnd(SubtaskState.COMPLETED, "kept x", 2),
    }
    ran = execute(order(plan(subtask("a"), subtask("x"), subtask("b", "a", "x")), ends=ends))
    assert [task.subtask for task in ran.spawner.seen] == ["b"]
    assert ran.spawner.seen[0].inputs == {"a": "kept", "x": "kept x"}
    assert ran.outcome.state is RunState.COMPLETED


def test_a_resumed_run_whose_subtask_had_failed_fails() -> None:
    """RUN-4: with the error that it had before."""
    ends = {A: SubtaskEnd(SubtaskState.FAILED, "", 1, ToolError("no such file", "name another"))}
    ran = execute(order(plan(subtask("a"), subtask("b", "a")), ends=ends))
    assert ran.store.states == {"b": SubtaskState.SKIPPED}
    assert ran.outcome.state is RunState.FAILED
    assert ran.outcome.error is not None
    assert (ran.outcome.error.message, ran.outcome.error.remedy) == ("subtask a: no such file", "name another")


def test_what_was_under_way_goes_on_with_its_agent_as_the_next_attempt() -> None:
    """BRK-8"""
    begun = {A: Underway(AgentId("a-before"), attempt=2, failures=0, began_s=5.0)}
    made = replace(order(plan(subtask("a"), subtask("b", "a"))), underway=begun, resumes=1, wall_s=9.0)
    ran = execute(made)
    first, second = ran.spawner.seen
    assert (first.agent, first.is_resumed, first.attempt) == ("a-before", True, 3)
    assert (second.is_resumed, second.attempt) == (False, 1)
    assert first.began_s == 5.0 < second.began_s
    assert second.agent != first.agent
    assert ran.store.log[0] == ("a", "running", 3)
    (told,) = ran.audit.of(EventKind.RUN_RESUMED)
    assert {"resumes": 1, "ended": 0, "underway": 1, "wall_s": 9.0}.items() <= dict(told.fields).items()
    assert ran.audit.of(EventKind.RUN_STARTED) == []
    assert ran.audit.of(EventKind.SUBTASK_STARTED)[0].fields["resumed"] is True


async def lost(task: AgentTask) -> AgentOutcome:
    return outcome(task, error=WorkerLostError("gone", ""))


def test_a_restart_takes_no_retry_away_and_gives_none() -> None:
    """BRK-8: one of three attempts had failed before."""
    role = replace(PLAIN, retry=2)
    begun = {A: Underway(AgentId("a-before"), attempt=2, failures=1, began_s=5.0)}
    ran = execute(replace(order(plan(subtask("a"))), underway=begun, resumes=1), lost, (role,))
    assert [(task.attempt, task.is_resumed) for task in ran.spawner.seen] == [(3, True), (4, False)]
    assert ran.spawner.seen[0].agent != ran.spawner.seen[1].agent
    assert ran.outcome.state is RunState.FAILED


def test_each_attempt_has_an_agent_that_is_in_its_row_before_it_begins() -> None:
    """BRK-8: without it nobody could find what it had done."""
    store = Store()
    spawner = Pretender(_good, store)
    executor = Executor(
        spawner, runs=store, audit=MemoryAudit(), terms=PlanningTerms(RoleSet({PLAIN.name: PLAIN})), pauses=Pauses()
    )
    asyncio.run(executor.execute(order(plan(subtask("a")))))
    assert store.agents[0] == spawner.seen[0].agent


async def _good(task: AgentTask) -> AgentOutcome:
    return replace(outcome(task), agent=task.agent)


def test_a_suspended_run_leaves_its_rows_as_they_are() -> None:
    """BRK-8: a daemon that ends in good order leaves what a killed one leaves."""
    suspended = _cancelled(lambda executor: executor.suspend(RUN))
    assert (suspended.run, suspended.states) == ([RunState.RUNNING], {"a": SubtaskState.RUNNING})
    stopped = _cancelled(lambda executor: executor.suspend(RunId("r-other")))
    assert stopped.run[-1] is RunState.CANCELLED


def _cancelled(before: Callable[[Executor], None]) -> Store:
    store, started = Store(), asyncio.Event()

    async def act(task: AgentTask) -> AgentOutcome:
        started.set()
        await asyncio.Event().wait()
        return outcome(task)

    async def main() -> None:
        executor = Executor(
            Pretender(act, store),
            runs=store,
            audit=MemoryAudit(),
            terms=PlanningTerms(RoleSet({PLAIN.name: PLAIN})),
            pauses=Pauses(),
        )
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            running = group.create_task(executor.execute(order(plan(subtask("a"), subtask("b", "a")))))
            await started.wait()
            before(executor)
            running.cancel()

    asyncio.run(main())
    return store
