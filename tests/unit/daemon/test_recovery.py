"""What an earlier daemon left is put in order by its rows: BRK-8, RUN-8, ISO-11."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aaos.core.envelope import Envelope, Limits, Submitter
from aaos.core.errors import ToolError
from aaos.core.events import EventKind
from aaos.core.graph import Plan, RunState, Subtask, SubtaskState
from aaos.core.ids import AgentId, CallId, Gid, RoleName, RunId, SubtaskId, Uid
from aaos.core.ports import CallOutcome, CallRecord, CallState, Evidence, Origin
from aaos.daemon.recovery import MAX_RESUMES, Recovered, Recovery
from aaos.daemon.resume import Rows
from aaos.plan.ports import SubtaskEnd, Underway
from aaos.store.calls import Calls
from aaos.store.conversations import Conversations
from aaos.store.database import Database
from aaos.store.runs import RunRow, Runs
from tests.fakes import MemoryAudit

RUN = RunId("r-1")
A, B, C = SubtaskId("a"), SubtaskId("b"), SubtaskId("c")
AGENT = AgentId("a-1")
BEGAN_S, WALL_S = 1000.0, 600


def rows_of(database: Database) -> Rows:
    return Rows(Runs(database), Calls(database), Conversations(database))


def left_behind(state: Path, envelope: str | None = None) -> None:
    """A daemon that died while a run was under way: one subtask done, one begun, one waiting."""
    database = Database.open(state)
    runs = Runs(database)
    limits = Limits(wall_s=WALL_S)
    grants = envelope or Envelope(Submitter(Uid(1000), Gid(1000)), (), limits).to_json()
    runs.create(RunRow(RUN, Uid(1000), Gid(1000), "goal", grants, None, RunState.PENDING, BEGAN_S))
    subtasks = (
        Subtask(A, RoleName("analyzer"), {}),
        Subtask(B, RoleName("analyzer"), {}),
        Subtask(C, RoleName("writer"), {}, (A, B)),
    )
    runs.add_plan(RUN, Plan(subtasks, C, "test"))
    runs.keep_program(RUN, b"print()\n")
    runs.set_state(RUN, RunState.RUNNING)
    runs.set_subtask(RUN, A, SubtaskState.COMPLETED, attempt=1, result="of a")
    runs.set_subtask(RUN, B, SubtaskState.RUNNING, attempt=1, agent=AgentId("a-0"))
    runs.set_subtask(RUN, B, SubtaskState.RUNNING, attempt=2, agent=AGENT)
    for index, tool in enumerate(("file_read", "file_write")):
        Calls(database).open_call(call(index, tool))
    database.close()


def call(index: int, tool: str) -> CallRecord:
    about = (CallId(f"a-1-1-{index}"), RUN, B, AGENT, 1, tool, Origin.MODEL)
    return CallRecord(*about, '{"path":"/f"}', "0", CallState.PERMITTED, "absent")


def outcome(state: CallState, **evidence: object) -> CallOutcome:
    made = CallOutcome(state, "agentd stopped", truncated=False, evidence=Evidence.OBSERVED, duration_ms=0.0)
    return made if not evidence else CallOutcome(CallState.DONE, "created /f", False, Evidence.OBSERVED, 0, "b" * 64)


def unknown(record: CallRecord) -> CallOutcome | None:
    """A read was not done, and of a write nobody knows."""
    return outcome(CallState.OUTCOME_UNKNOWN) if record.tool == "file_write" else None


class Restarted:
    """A daemon that found those rows."""

    def __init__(
        self, state: Path, judge: Callable[[CallRecord], CallOutcome | None] = unknown, now_s: float = BEGAN_S + 10
    ) -> None:
        self.audit = MemoryAudit()
        database = Database.open(state)
        self.rows = rows_of(database)
        self.recovered: Recovered = Recovery(self.rows, audit=self.audit, judge=judge, now_s=lambda: now_s).recover()
        self.run = self.rows.runs.get(RUN)
        self.states = {subtask.id: subtask.state for subtask in self.rows.runs.subtasks(RUN)}
        self.calls = self.rows.calls.of_agent(AGENT)
        self.settled = self.rows.calls.settled([order.run for order in self.recovered.resumed])
        database.close()


def test_a_run_that_was_under_way_is_handed_on_from_its_rows(tmp_path: Path) -> None:
    """BRK-8, RUN-8: what has ended keeps its result, what was begun keeps its agent."""
    left_behind(tmp_path / "s")
    restarted = Restarted(tmp_path / "s")
    (order,) = restarted.recovered.resumed
    assert order.ends == {A: SubtaskEnd(SubtaskState.COMPLETED, "of a", 1)}
    assert order.underway == {B: Underway(AGENT, attempt=2, failures=1, began_s=BEGAN_S)}
    assert (order.run, order.goal, order.program, order.resumes) == (RUN, "goal", b"print()\n", 1)
    assert [subtask.id for subtask in order.plan.subtasks] == [A, B, C]
    assert restarted.run.state is RunState.RUNNING


def test_a_resumed_run_has_what_is_left_of_its_time(tmp_path: Path) -> None:
    """H-DUR-08: by the rows; a clock that went back gives nothing."""
    left_behind(tmp_path / "s")
    for now_s, left_s in ((BEGAN_S + 10, WALL_S - 10), (BEGAN_S - 99_999, WALL_S)):
        (order,) = Restarted(tmp_path / "s", now_s=now_s).recovered.resumed
        assert order.wall_s == left_s


def test_a_paused_run_loses_no_time_and_stays_paused(tmp_path: Path) -> None:
    """RUN-5: also the time in which no agentd ran; and an agent that was paused alone is known."""
    left_behind(tmp_path / "s")
    clock = [BEGAN_S + 10]
    database = Database.open(tmp_path / "s")
    runs = Runs(database, now_s=lambda: clock[0])
    assert runs.pause(RUN)
    clock[0] += 5_000
    assert runs.go_on(RUN, RunState.RUNNING)
    clock[0] += 20
    assert runs.pause(RUN)
    runs.set_subtask(RUN, B, SubtaskState.PAUSED, attempt=2)
    database.close()
    (order,) = Restarted(tmp_path / "s", now_s=BEGAN_S + 9_000).recovered.resumed
    assert order.is_paused
    assert set(order.paused) == {AGENT}
    assert order.wall_s == WALL_S - 30
    assert order.underway == {B: Underway(AGENT, 2, 1, BEGAN_S)}


def test_a_run_whose_time_is_over_ends_with_that_limit(tmp_path: Path) -> None:
    left_behind(tmp_path / "s")
    restarted = Restarted(tmp_path / "s", now_s=BEGAN_S + WALL_S)
    assert restarted.recovered.resumed == ()
    assert restarted.run.error is not None
    assert (restarted.run.state, restarted.run.error.code) == (RunState.FAILED, "limit")
    assert restarted.states == {A: SubtaskState.COMPLETED, B: SubtaskState.FAILED, C: SubtaskState.SKIPPED}
    assert len(restarted.audit.of(EventKind.RUN_FAILED)) == 1


def test_a_run_whose_rows_cannot_be_read_ends_with_that(tmp_path: Path) -> None:
    left_behind(tmp_path / "s", envelope="{}")
    restarted = Restarted(tmp_path / "s")
    assert restarted.recovered.ended == (RUN,)
    assert restarted.run.error is not None
    assert restarted.run.error.code == "storage"


def test_a_read_stays_open_for_its_agent_and_an_unknown_outcome_is_told(tmp_path: Path) -> None:
    """BRK-8, H-DUR-01, H-DUR-02"""
    left_behind(tmp_path / "s")
    restarted = Restarted(tmp_path / "s")
    assert [row.outcome and row.outcome.state for row in restarted.calls] == [None, CallState.OUTCOME_UNKNOWN]
    assert [event.fields["tool"] for event in restarted.audit.of(EventKind.OUTCOME_UNKNOWN)] == ["file_write"]
    assert (restarted.recovered.calls, restarted.settled) == (1, {RUN: 1})


def test_a_write_that_was_done_is_recorded_so(tmp_path: Path) -> None:
    """BRK-7, BRK-8"""
    left_behind(tmp_path / "s")
    done = CallOutcome(CallState.DONE, "created", False, Evidence.OBSERVED, 0.0, "b" * 64, size_bytes=3)
    restarted = Restarted(tmp_path / "s", lambda record: done if record.tool == "file_write" else None)
    assert restarted.calls[1].outcome == done
    (event,) = restarted.audit.of(EventKind.FILE_WRITTEN)
    assert (event.fields["path"], event.fields["sha256"], event.fields["size_bytes"]) == ("/f", "b" * 64, 3)


def test_the_open_calls_of_a_run_that_cannot_go_on_are_settled(tmp_path: Path) -> None:
    left_behind(tmp_path / "s")
    restarted = Restarted(tmp_path / "s", lambda _: None, now_s=BEGAN_S + WALL_S)
    assert [row.outcome and row.outcome.error_code for row in restarted.calls] == ["worker_lost"] * 2


def test_a_run_that_comes_no_further_is_not_resumed_for_ever(tmp_path: Path) -> None:
    """RUN-8: a run that ends the daemon each time must not keep it from working."""
    left_behind(tmp_path / "s")
    for count in range(1, MAX_RESUMES + 1):
        assert [order.resumes for order in Restarted(tmp_path / "s").recovered.resumed] == [count]
    restarted = Restarted(tmp_path / "s")
    assert restarted.recovered.ended == (RUN,)
    assert restarted.run.error is not None
    assert "came no further" in restarted.run.error.message
    assert f"agentd logs {RUN}" in restarted.run.error.remedy


@pytest.mark.parametrize("step", ["message", "call", "subtask", "failure"])
def test_a_run_that_comes_further_is_resumed_again(tmp_path: Path, step: str) -> None:
    left_behind(tmp_path / "s")
    for _ in range(MAX_RESUMES):
        Restarted(tmp_path / "s")
    database = Database.open(tmp_path / "s")
    rows = rows_of(database)
    match step:
        case "message":
            rows.conversations.append(AGENT, "user", b"{}")
        case "call":
            rows.calls.settle_call(CallId("a-1-1-0"), outcome(CallState.DONE))
        case "subtask":
            rows.runs.set_subtask(RUN, B, SubtaskState.FAILED, attempt=2, error=ToolError("no", ""))
        case "failure":
            rows.runs.set_subtask(RUN, B, SubtaskState.RUNNING, attempt=3, agent=AgentId("a-2"))
    database.close()
    assert [order.resumes for order in Restarted(tmp_path / "s").recovered.resumed] == [1]


def test_a_second_start_finds_nothing_to_settle(tmp_path: Path) -> None:
    left_behind(tmp_path / "s")
    Restarted(tmp_path / "s", lambda _: None, now_s=BEGAN_S + WALL_S)
    again = Restarted(tmp_path / "s")
    assert (again.recovered, again.audit.events) == (Recovered((), (), 0), [])
