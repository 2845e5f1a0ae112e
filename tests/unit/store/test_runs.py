from dataclasses import replace

import pytest

from aaos.core.errors import ConflictError, ContractError, NotFoundError
from aaos.core.graph import Plan, RunState, Subtask, SubtaskState
from aaos.core.ids import AgentId, Gid, RoleName, RunId, SubtaskId, Uid
from aaos.core.role import Tier
from aaos.store.database import Database
from aaos.store.plans import plan_from_json
from aaos.store.runs import RunRow, Runs, StoredError

ROOT, ALICE, BOB = Uid(0), Uid(1000), Uid(1001)
A, B = SubtaskId("a"), SubtaskId("b")
PLAN = Plan((Subtask(B, RoleName("analyzer"), {"path": "/x"}), Subtask(A, RoleName("writer"), {}, (B,))), A, "summary")


def _row(run: str, uid: Uid = ALICE) -> RunRow:
    return RunRow(RunId(run), uid, Gid(100), "count x", "{}", None, RunState.PENDING, 5.0)


@pytest.fixture
def runs(database: Database) -> Runs:
    return Runs(database, now_s=lambda: 9.0)


def test_a_run_comes_back_as_it_was_written(runs: Runs) -> None:
    row = replace(_row("r-1"), goal="zähle \x00 \x1b[2J …")
    runs.create(row)
    assert runs.get(RunId("r-1")) == row


def test_an_id_is_used_once(runs: Runs) -> None:
    runs.create(_row("r-1"))
    with pytest.raises(ConflictError, match="r-1 exists already"):
        runs.create(_row("r-1", BOB))


def test_a_run_moves_on_to_its_end(runs: Runs) -> None:
    runs.create(_row("r-1"))
    runs.set_state(RunId("r-1"), RunState.RUNNING)
    assert runs.get(RunId("r-1")).finished_s is None
    assert [row.id for row in runs.unfinished()] == ["r-1"]
    runs.set_state(RunId("r-1"), RunState.FAILED, result="part", error=ContractError("no file", "write it"))
    row = runs.get(RunId("r-1"))
    assert (row.state, row.finished_s, row.result) == (RunState.FAILED, 9.0, "part")
    assert row.error == StoredError("contract", "no file", "write it")
    assert runs.unfinished() == ()


def test_an_end_is_an_end(runs: Runs) -> None:
    """H-DUR-16: stop twice, or stop what has ended."""
    runs.create(_row("r-1"))
    runs.set_state(RunId("r-1"), RunState.COMPLETED, result="done")
    runs.set_state(RunId("r-1"), RunState.COMPLETED, result="again")
    assert runs.get(RunId("r-1")).result == "done"
    for state in (RunState.CANCELLED, RunState.RUNNING):
        with pytest.raises(ConflictError, match="r-1 is completed already"):
            runs.set_state(RunId("r-1"), state)


def test_an_unknown_run_is_told(runs: Runs) -> None:
    with pytest.raises(NotFoundError):
        runs.get(RunId("r-1"))
    with pytest.raises(NotFoundError):
        runs.set_state(RunId("r-1"), RunState.RUNNING)
    with pytest.raises(NotFoundError):
        runs.add_plan(RunId("r-1"), PLAN)


def test_a_unique_prefix_finds_a_run(runs: Runs) -> None:
    """OPS-1"""
    for name in ("r-aa", "r-ab", "r-b", "r-b2"):
        runs.create(_row(name))
    assert runs.find("r-ab", uid=ALICE).id == "r-ab"
    assert runs.find("r-b", uid=ALICE).id == "r-b"
    with pytest.raises(ConflictError, match="r-aa, r-ab"):
        runs.find("r-a", uid=ALICE)


@pytest.mark.parametrize("prefix", ["", "r-c", "%", "r_aa", "r-aa~", "r-aa\x00", "é", "\ud800"])
def test_a_prefix_that_no_run_has_is_not_found(runs: Runs, prefix: str) -> None:
    runs.create(_row("r-aa"))
    with pytest.raises(NotFoundError):
        runs.find(prefix, uid=ALICE)


def test_the_runs_of_others_do_not_exist_but_for_root(runs: Runs) -> None:
    """H-SEC-11"""
    runs.create(_row("r-aa", ALICE))
    runs.create(_row("r-ab", BOB))
    assert runs.find("r-a", uid=BOB).id == "r-ab"
    with pytest.raises(NotFoundError) as caught:
        runs.find("r-aa", uid=BOB)
    with pytest.raises(NotFoundError) as unknown:
        runs.find("r-zz", uid=BOB)
    assert caught.value.message.replace("r-aa", "") == unknown.value.message.replace("r-zz", "")
    assert runs.find("r-aa", uid=ROOT).id == "r-aa"
    assert [row.id for row in runs.list(BOB, 10)] == ["r-ab"]
    assert [row.id for row in runs.list(None, 10)] == ["r-ab", "r-aa"]


def test_a_list_is_bounded_and_newest_first(runs: Runs) -> None:
    for number in range(5):
        runs.create(_row(f"r-{number}"))
    assert [row.id for row in runs.list(ALICE, 2)] == ["r-4", "r-3"]


def test_a_plan_makes_pending_subtasks_in_its_order(runs: Runs) -> None:
    runs.create(_row("r-1"))
    runs.add_plan(RunId("r-1"), PLAN)
    assert plan_from_json(runs.get(RunId("r-1")).plan or "") == PLAN
    rows = runs.subtasks(RunId("r-1"))
    assert [(row.id, row.state, row.attempt) for row in rows] == [
        (B, SubtaskState.PENDING, 0),
        (A, SubtaskState.PENDING, 0),
    ]


def test_a_run_has_one_plan(runs: Runs) -> None:
    runs.create(_row("r-1"))
    runs.add_plan(RunId("r-1"), PLAN)
    with pytest.raises(ConflictError, match="has a plan already"):
        runs.add_plan(RunId("r-1"), replace(PLAN, shape="other"))
    assert plan_from_json(runs.get(RunId("r-1")).plan or "") == PLAN


def test_a_plan_may_grow_and_never_change(runs: Runs) -> None:
    """RUN-4: what was planned stays, with its rows."""
    run = RunId("r-1")
    runs.create(_row("r-1"))
    runs.add_plan(run, PLAN)
    runs.set_subtask(run, B, SubtaskState.COMPLETED, attempt=1, result="text")
    more = Subtask(SubtaskId("c"), RoleName("writer"), {"output": "/x"}, (B,), Tier.T2)
    grown = replace(PLAN, subtasks=(*PLAN.subtasks, more), final=more.id)
    runs.extend_plan(run, grown)
    assert plan_from_json(runs.get(run).plan or "") == grown
    states = [(row.id, row.state) for row in runs.subtasks(run)]
    assert states == [(B, SubtaskState.COMPLETED), (A, SubtaskState.PENDING), ("c", SubtaskState.PENDING)]
    for wrong in (PLAN, replace(grown, subtasks=grown.subtasks[1:]), replace(grown, subtasks=grown.subtasks[::-1])):
        with pytest.raises(ConflictError, match="may only grow"):
            runs.extend_plan(run, wrong)
    with pytest.raises(NotFoundError):
        runs.extend_plan(RunId("r-2"), grown)


def test_a_step_is_committed_whole_or_not_at_all(runs: Runs) -> None:
    run = RunId("r-1")
    runs.create(_row("r-1"))
    step = runs.step()
    step.__enter__()
    runs.add_plan(run, PLAN)
    error = ZeroDivisionError()
    step.__exit__(ZeroDivisionError, error, None)
    assert runs.get(run).plan is None
    assert runs.subtasks(run) == ()


def test_a_subtask_moves_on_to_its_end(runs: Runs) -> None:
    run = RunId("r-1")
    runs.create(_row("r-1"))
    runs.add_plan(run, PLAN)
    runs.set_subtask(run, B, SubtaskState.RUNNING, attempt=1, agent=AgentId("a-1"))
    runs.set_subtask(run, B, SubtaskState.COMPLETED, attempt=1, result="text")
    first = runs.subtasks(run)[0]
    assert (first.state, first.attempt, first.agent, first.result) == (SubtaskState.COMPLETED, 1, "a-1", "text")
    runs.set_subtask(run, B, SubtaskState.COMPLETED, attempt=1, result="other")
    assert runs.subtasks(run)[0].result == "text"
    with pytest.raises(ConflictError, match="subtask b of run r-1 is completed already"):
        runs.set_subtask(run, B, SubtaskState.RUNNING, attempt=2)
    with pytest.raises(NotFoundError):
        runs.set_subtask(run, SubtaskId("c"), SubtaskState.RUNNING, attempt=1)


def test_a_failed_subtask_keeps_why(runs: Runs) -> None:
    run = RunId("r-1")
    runs.create(_row("r-1"))
    runs.add_plan(run, PLAN)
    runs.set_subtask(run, A, SubtaskState.FAILED, attempt=2, error=ContractError("no file", "write it"))
    assert runs.subtasks(run)[1].error == StoredError("contract", "no file", "write it")


def test_a_paused_run_stays_paused_until_it_goes_on_or_ends(database: Database) -> None:
    """RUN-5: whatever its executor writes meanwhile; and the time is added up."""
    clock = [100.0]
    runs, run = Runs(database, now_s=lambda: clock[0]), RunId("r-1")
    runs.create(_row(run))
    assert not runs.go_on(run, RunState.RUNNING)
    assert runs.pause(run)
    assert not runs.pause(run)
    runs.set_state(run, RunState.RUNNING)
    assert (runs.get(run).state, runs.get(run).paused_at_s) == (RunState.PAUSED, 100.0)
    clock[0] = 130.0
    assert runs.get(run).paused_until_s(clock[0]) == 30.0
    assert runs.go_on(run, RunState.PLANNING)
    row = runs.get(run)
    assert (row.state, row.paused_s, row.paused_at_s) == (RunState.PLANNING, 30.0, None)
    assert runs.pause(run)
    clock[0] = 135.0
    assert runs.get(run).paused_until_s(clock[0]) == 35.0
    clock[0] = 0.0
    assert runs.get(run).paused_until_s(clock[0]) == 30.0
    runs.set_state(run, RunState.CANCELLED)
    assert runs.get(run).state is RunState.CANCELLED
    assert not runs.pause(run)
    assert not runs.go_on(run, RunState.RUNNING)
