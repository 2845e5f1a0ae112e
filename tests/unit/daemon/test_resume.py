"""A run of an earlier daemon as an order to go on with: BRK-8."""

from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.envelope import Envelope, Submitter
from aaos.core.errors import StorageError, ToolError
from aaos.core.graph import Plan, RunState, Subtask, SubtaskState
from aaos.core.ids import AgentId, Gid, RoleName, RunId, SubtaskId, Uid
from aaos.daemon.resume import Rows, order_of
from aaos.store.calls import Calls
from aaos.store.conversations import Conversations
from aaos.store.database import Database
from aaos.store.runs import RunRow, Runs

RUN = RunId("r-1")
A, B = SubtaskId("a"), SubtaskId("b")
ENVELOPE = Envelope(Submitter(Uid(1000), Gid(1000)), ())
PLAN = Plan((Subtask(A, RoleName("x"), {}), Subtask(B, RoleName("x"), {})), B, "test")


def test_what_failed_keeps_its_reason_and_what_waited_is_not_begun(tmp_path: Path) -> None:
    """RUN-4: the run ends with the error that it would have ended with."""
    database = Database.open(tmp_path / "s")
    runs = Runs(database)
    runs.create(RunRow(RUN, Uid(1), Gid(1), "g", ENVELOPE.to_json(), None, RunState.RUNNING, 0.0))
    runs.add_plan(RUN, PLAN)
    runs.set_subtask(RUN, A, SubtaskState.FAILED, attempt=2, error=ToolError("no such file", "name another"))
    order = order_of(runs.get(RUN), Rows(runs, Calls(database), Conversations(database)), left_s=1.0, resumes=2)
    error = order.ends[A].error
    assert isinstance(error, ToolError)
    assert (error.message, error.remedy) == ("no such file", "name another")
    assert (order.underway, order.program, order.wall_s, order.resumes) == ({}, None, 1.0, 2)
    database.close()


def test_attempts_that_went_on_are_no_failures(tmp_path: Path) -> None:
    """BRK-8: a restart takes no retry away."""
    database = Database.open(tmp_path / "s")
    runs = Runs(database)
    runs.create(RunRow(RUN, Uid(1), Gid(1), "g", ENVELOPE.to_json(), None, RunState.RUNNING, 0.0))
    runs.add_plan(RUN, PLAN)
    for attempt, is_resumed in enumerate((False, False, True, True), start=1):
        agent = AgentId("a-2" if is_resumed else f"a-{attempt}")
        runs.set_subtask(RUN, A, SubtaskState.RUNNING, attempt=attempt, agent=agent, is_resumed=is_resumed, began_s=2.0)
    order = order_of(runs.get(RUN), Rows(runs, Calls(database), Conversations(database)), left_s=1.0, resumes=1)
    assert (order.underway[A].agent, order.underway[A].attempt, order.underway[A].failures) == ("a-2", 4, 1)
    assert order.underway[A].began_s == 2.0
    with pytest.raises(StorageError, match="before this run had a plan"):
        order_of(
            replace(runs.get(RUN), plan=None),
            Rows(runs, Calls(database), Conversations(database)),
            left_s=1.0,
            resumes=1,
        )
    database.close()
