"""The executor with a spawner that only pretends: what starts when, how it ends, and what is written of it."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.agent.pause import Pauses
from aaos.core.envelope import Limits
from aaos.core.errors import (
    AaosError,
    ConfinementError,
    DeniedError,
    LimitError,
    ProviderError,
    StorageError,
    ToolError,
    WorkerLostError,
)
from aaos.core.events import EventKind
from aaos.core.graph import Plan, RunState, Subtask, SubtaskState
from aaos.core.ids import AgentId, RoleName, SubtaskId
from aaos.core.ports import AgentOutcome, AgentTask, WrittenFile
from aaos.core.role import OutputContract, Parameter, ParameterType, RoleLimits, Tier
from aaos.core.rolefile import RoleSet
from aaos.plan.executor import Executor
from aaos.plan.growing import PlanningTerms
from aaos.plan.ports import Underway
from tests.fakes import MemoryAudit
from tests.unit.plan.pretend import PLAIN, RUN, Pretender, Store, execute, order, outcome, plan, subtask


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(1, 24))
    made: list[Subtask] = []
    for at in range(count):
        earlier = [f"t{before}" for before in range(at)]
        inputs = draw(st.lists(st.sampled_from(earlier), max_size=3, unique=True)) if earlier else []
        made.append(subtask(f"t{at}", *inputs))
    return Plan(tuple(draw(st.permutations(made))), SubtaskId(f"t{count - 1}"), "random")


@settings(max_examples=120, deadline=None)
@given(made=plans(), data=st.data(), parallel=st.integers(1, 6), retry=st.integers(0, 2))
def test_every_subtask_ends_once_and_none_starts_early(
    made: Plan, data: st.DataObject, parallel: int, retry: int
) -> None:
    """RUN-4: whatever fails, in whatever order things end."""
    ids = [one.id for one in made.subtasks]
    failing = data.draw(st.dictionaries(st.sampled_from(ids), st.integers(1, 4), max_size=len(ids)))
    turns = data.draw(st.fixed_dictionaries(dict.fromkeys(ids, st.integers(0, 4))))
    tries: Counter[str] = Counter()
    completed: set[str] = set()

    async def act(task: AgentTask) -> AgentOutcome:
        assert set(task.inputs) <= completed, "its inputs were completed"
        tries[task.subtask] += 1
        for _ in range(turns[task.subtask]):
            await asyncio.sleep(0)
        if tries[task.subtask] <= failing.get(task.subtask, 0):
            return outcome(task, error=WorkerLostError("gone"))
        completed.add(task.subtask)
        return outcome(task)

    ran = execute(order(made, Limits(max_parallel=parallel)), act, (replace(PLAIN, retry=retry),))
    ends = Counter(name for name, state, _ in ran.store.log if SubtaskState(state).is_final)
    assert ends == Counter(ids)
    assert ran.spawner.most <= parallel
    assert ran.spawner.running == 0
    needs = {one.id: one.inputs for one in made.subtasks}
    for name in ids:
        state = ran.store.states[name]
        if failing.get(name, 0) > retry and state is not SubtaskState.SKIPPED:
            assert state is SubtaskState.FAILED
        if any(ran.store.states[needed] is not SubtaskState.COMPLETED for needed in needs[name]):
            assert state is SubtaskState.SKIPPED
            assert tries[name] == 0
    all_good = all(state is SubtaskState.COMPLETED for state in ran.store.states.values())
    assert ran.outcome.state is (RunState.COMPLETED if all_good else RunState.FAILED)
    assert ran.store.run == [RunState.RUNNING, ran.outcome.state]
    assert {name: end.state for name, end in ran.outcome.ends.items()} == ran.store.states


def test_the_result_is_that_of_the_final_subtask_and_inputs_come_in_order() -> None:
    ran = execute(order(plan(subtask("b"), subtask("a"), subtask("end", "b", "a"))))
    assert ran.outcome.result == ran.store.result == "result of end"
    last = ran.spawner.seen[-1]
    assert list(last.inputs.items()) == [("b", "result of b"), ("a", "result of a")]
    assert ran.audit.kinds()[0] is EventKind.RUN_STARTED
    assert ran.audit.kinds()[-1] is EventKind.RUN_COMPLETED


def test_independent_subtasks_run_side_by_side() -> None:
    """RUN-1: all of them are under way before the first one ends."""
    gate = asyncio.Event()
    arrived = 0

    async def act(task: AgentTask) -> AgentOutcome:
        nonlocal arrived
        arrived += 1
        if arrived == 4:
            gate.set()
        await gate.wait()
        return outcome(task)

    ran = execute(order(plan(*(subtask(f"t{at}") for at in range(4)))), act)
    assert ran.spawner.most == 4


def test_a_failure_skips_what_depends_on_it_and_keeps_the_rest_with_its_name() -> None:
    """RUN-4: dependents say so; partial results are kept and named."""

    async def act(task: AgentTask) -> AgentOutcome:
        return outcome(task, error=DeniedError("no", "grant it with: --read /x") if task.subtask == "bad" else None)

    made = plan(subtask("fine"), subtask("bad"), subtask("next", "bad"), subtask("last", "next", "fine"))
    ran = execute(order(made), act)
    assert ran.store.states == {
        "fine": SubtaskState.COMPLETED,
        "bad": SubtaskState.FAILED,
        "next": SubtaskState.SKIPPED,
        "last": SubtaskState.SKIPPED,
    }
    assert ran.outcome.result == "[fine]\nresult of fine"
    assert ran.outcome.error is not None
    assert ran.outcome.error.message == "subtask bad: no"
    assert ran.outcome.error.remedy == "grant it with: --read /x"
    assert isinstance(ran.outcome.error, DeniedError)
    skipped = ran.audit.of(EventKind.SUBTASK_SKIPPED)
    assert [event.subtask for event in skipped] == ["next", "last"]
    assert all("subtask bad failed" in str(event.fields["message"]) for event in skipped)


@pytest.mark.parametrize(
    ("error", "tiers", "tries"),
    [
        (WorkerLostError("gone"), (Tier.T0,), 3),
        (ToolError("no"), (Tier.T0,), 3),
        (ProviderError("no"), (Tier.T1,), 3),
        (ProviderError("no"), (Tier.T0,), 1),
        (DeniedError("no"), (Tier.T1,), 1),
        (ConfinementError("no"), (Tier.T1,), 1),
    ],
)
def test_what_may_go_better_is_tried_again_and_nothing_else(
    error: AaosError, tiers: tuple[Tier, ...], tries: int
) -> None:
    async def act(task: AgentTask) -> AgentOutcome:
        return outcome(task, error=error)

    ran = execute(order(plan(subtask("a"))), act, (replace(PLAIN, retry=2, tiers=tiers),))
    assert [task.attempt for task in ran.spawner.seen] == list(range(1, tries + 1))
    assert len(ran.audit.of(EventKind.SUBTASK_RETRIED)) == tries - 1
    assert ran.outcome.state is RunState.FAILED


def test_an_error_that_is_raised_is_an_outcome_like_any_other() -> None:
    async def act(task: AgentTask) -> AgentOutcome:
        raise DeniedError("raised", "r")

    assert execute(order(plan(subtask("a"))), act).store.states == {"a": SubtaskState.FAILED}


# --- the output contract ------------------------------------------------------------------------------------------

WRITER = replace(
    PLAIN,
    name=RoleName("writer"),
    parameters={"output": Parameter(ParameterType.PATH, True, None)},
    output=OutputContract("{output}"),
)


@pytest.mark.parametrize(
    ("written", "is_kept"),
    [
        ((WrittenFile("/out.md", "0" * 64, 5),), True),
        ((WrittenFile("/out.md", "0" * 64, 5), WrittenFile("/out.md", "0" * 64, 0)), False),
        ((WrittenFile("/out.md", "0" * 64, 0),), False),
        ((WrittenFile("/other.md", "0" * 64, 5),), False),
        ((), False),
    ],
)
def test_a_declared_file_must_have_been_written_whatever_the_agent_says(
    written: tuple[WrittenFile, ...], is_kept: bool
) -> None:
    """RUN-3, H-LLM-10, H-FS-22."""

    async def act(task: AgentTask) -> AgentOutcome:
        return outcome(task, written=written)

    ran = execute(order(plan(subtask("w", role="writer", params={"output": "/out.md"}))), act, (WRITER,))
    assert (ran.outcome.state is RunState.COMPLETED) == is_kept
    assert len(ran.audit.of(EventKind.CONTRACT_BROKEN)) == (0 if is_kept else 1)
    if not is_kept:
        assert ran.outcome.error is not None
        assert ran.outcome.error.code == "contract"
        assert "/out.md" in ran.outcome.error.message


@pytest.mark.parametrize(
    ("written", "made", "is_kept"),
    [
        ((), {"/out.md": 5}, True),
        ((), {"/out.md": 0}, False),
        ((), {"/other.md": 5}, False),
        ((WrittenFile("/out.md", "0" * 64, 5),), {"/out.md": 0}, False),
        ((WrittenFile("/out.md", "0" * 64, 0),), {"/out.md": 5}, True),
    ],
)
def test_a_file_that_its_own_programs_left_counts(
    written: tuple[WrittenFile, ...], made: dict[str, int], is_kept: bool
) -> None:
    """RUN-3: as agentd saw it when the program had ended; what became of it last holds."""

    async def act(task: AgentTask) -> AgentOutcome:
        return replace(outcome(task, written=written), made=made)

    ran = execute(order(plan(subtask("w", role="writer", params={"output": "/out.md"}))), act, (WRITER,))
    assert (ran.outcome.state is RunState.COMPLETED) == is_kept


# --- time, cancellation, faults -----------------------------------------------------------------------------------


async def forever(task: AgentTask) -> AgentOutcome:
    await asyncio.Event().wait()
    return outcome(task)


def test_a_subtask_that_takes_too_long_fails_with_its_limit() -> None:
    role = replace(PLAIN, limits=RoleLimits(wall_s=0))
    ran = execute(order(plan(subtask("slow"), subtask("next", "slow"))), forever, (role,))
    assert ran.store.states == {"slow": SubtaskState.FAILED, "next": SubtaskState.SKIPPED}
    assert isinstance(ran.outcome.error, LimitError)


def test_a_run_that_takes_too_long_fails_and_leaves_nothing_running() -> None:
    """RUN-6: the wall clock ends running and waiting subtasks alike."""
    the_order = replace(order(plan(subtask("a"), subtask("b", "a"))), wall_s=0.01)
    ran = execute(the_order, forever)
    assert ran.store.states == {"a": SubtaskState.CANCELLED, "b": SubtaskState.CANCELLED}
    assert ran.outcome.state is RunState.FAILED
    assert isinstance(ran.outcome.error, LimitError)
    assert ran.spawner.running == 0
    assert ran.audit.of(EventKind.LIMIT_REACHED)


@pytest.mark.parametrize("turns", range(8))
def test_cancelling_at_any_moment_ends_every_subtask_once(turns: int) -> None:
    store, audit = Store(), MemoryAudit()
    spawner = Pretender(forever, store)
    executor = Executor(
        spawner, runs=store, audit=audit, terms=PlanningTerms(RoleSet({PLAIN.name: PLAIN})), pauses=Pauses()
    )

    async def main() -> None:
        task = asyncio.ensure_future(executor.execute(order(plan(subtask("a"), subtask("b"), subtask("c", "a", "b")))))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert spawner.running == 0
    if store.run:  # the execution had begun
        assert set(store.states.values()) == {SubtaskState.CANCELLED}
        assert len(store.states) == 3
        assert store.run[-1] is RunState.CANCELLED
        assert audit.kinds()[-1] is EventKind.RUN_CANCELLED


def test_a_store_that_fails_stops_the_run_with_that_error() -> None:
    store = Store()

    async def act(task: AgentTask) -> AgentOutcome:
        store.broken = True
        return outcome(task)

    executor = Executor(
        Pretender(act, store),
        runs=store,
        audit=MemoryAudit(),
        terms=PlanningTerms(RoleSet({PLAIN.name: PLAIN})),
        pauses=Pauses(),
    )
    with pytest.raises(StorageError, match="disk is full"):
        asyncio.run(executor.execute(order(plan(subtask("a"), subtask("b", "a")))))


def test_a_huge_result_is_kept_cut() -> None:
    async def act(task: AgentTask) -> AgentOutcome:
        return replace(outcome(task), text="x" * 1_000_000)

    ran = execute(order(plan(subtask("a"))), act)
    assert len(ran.outcome.result) < 300_000
    assert "[cut: " in ran.outcome.result


def test_a_hundred_subtasks_cost_no_more_than_their_bookkeeping() -> None:
    """Two rows and two events for each: the time it takes is that of writing them."""
    ran = execute(order(plan(*(subtask(f"t{at}") for at in range(100))), Limits(max_parallel=16)))
    assert ran.outcome.state is RunState.COMPLETED
    assert ran.spawner.most == 16
    assert len(ran.store.log) == 200
    assert len(ran.audit.events) == 202


def test_nothing_is_begun_while_the_run_is_paused() -> None:
    """RUN-5: what runs ends, what is next waits; and the run's own time stands still."""
    store, pauses, begun = Store(), Pauses(), asyncio.Event()

    async def act(task: AgentTask) -> AgentOutcome:
        begun.set()
        return outcome(task)

    async def main() -> list[str]:
        spawner = Pretender(act, store)
        terms = PlanningTerms(RoleSet({PLAIN.name: PLAIN}))
        executor = Executor(spawner, runs=store, audit=MemoryAudit(), terms=terms, pauses=pauses)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            pauses.of_run(RUN).pause()
            running = group.create_task(executor.execute(order(plan(subtask("a"), subtask("b", "a")))))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not begun.is_set()
            pauses.of_run(RUN).go_on()
            await begun.wait()
            pauses.of_run(RUN).pause()
            for _ in range(20):
                await asyncio.sleep(0)
            seen = [task.subtask for task in spawner.seen]
            pauses.of_run(RUN).go_on()
            assert (await running).state is RunState.COMPLETED
        return [str(one) for one in seen]

    assert asyncio.run(main()) == ["a"]


def test_an_agent_that_was_paused_is_begun_as_such() -> None:
    """RUN-5: over a restart of agentd."""
    store, pauses, agent = Store(), Pauses(), AgentId("a-old")
    states: list[SubtaskState] = []

    async def act(task: AgentTask) -> AgentOutcome:
        states.append(store.states[task.subtask])
        pauses.of_agent(RUN, agent).go_on()
        return outcome(task)

    class Lenient(Pretender):
        async def run_agent(self, task: AgentTask) -> AgentOutcome:
            return await self.act(task)

    pauses.of_agent(RUN, agent).pause()
    terms = PlanningTerms(RoleSet({PLAIN.name: PLAIN}))
    executor = Executor(Lenient(act, store), runs=store, audit=MemoryAudit(), terms=terms, pauses=pauses)
    resumed = replace(order(plan(subtask("a"))), underway={SubtaskId("a"): Underway(agent, 1, 0, 5.0)}, resumes=1)
    assert asyncio.run(executor.execute(resumed)).state is RunState.COMPLETED
    assert states == [SubtaskState.PAUSED]
