"""What an earlier daemon left is put in order by its rows: ISO-11, H-DUR-11."""

import os
from pathlib import Path

import pytest

from aaos.core.events import EventKind
from aaos.core.graph import Plan, RunState, Subtask, SubtaskState
from aaos.core.ids import AgentId, CallId, Gid, RoleName, RunId, SubtaskId, Uid
from aaos.core.ports import CallOutcome, CallRecord, CallState, Evidence, Origin
from aaos.daemon.recovery import Recovery, clean, start_time
from aaos.store.calls import Calls
from aaos.store.database import Database
from aaos.store.leases import Lease, LeaseKind, Leases
from aaos.store.runs import RunRow, Runs
from tests.fakes import MemoryAudit

RUN = RunId("r-1")
A, B = SubtaskId("a"), SubtaskId("b")


def left_behind(state: Path) -> None:
    """A daemon that died while a run was under way."""
    database = Database.open(state)
    runs = Runs(database)
    runs.create(RunRow(RUN, Uid(1000), Gid(1000), "goal", "{}", None, RunState.PENDING, 1.0))
    subtasks = (Subtask(A, RoleName("analyzer"), {}), Subtask(B, RoleName("writer"), {}, (A,)))
    runs.add_plan(RUN, Plan(subtasks, B, "test"))
    runs.set_state(RUN, RunState.RUNNING)
    runs.set_subtask(RUN, A, SubtaskState.RUNNING, attempt=1, agent=AgentId("a-1"))
    for index, tool in enumerate(("file_read", "file_write")):
        Calls(database).open_call(
            CallRecord(
                CallId(f"a-1-1-{index}"), RUN, A, AgentId("a-1"), 1, tool, Origin.MODEL, "{}", "0", CallState.PERMITTED
            )
        )
    Leases(database).record(LeaseKind.HOST_UID, "1900000000")
    database.close()


def judged(record: CallRecord) -> CallOutcome:
    state = CallState.OUTCOME_UNKNOWN if record.tool == "file_write" else CallState.FAILED
    return CallOutcome(state, "agentd stopped", truncated=False, evidence=Evidence.OBSERVED, duration_ms=0.0)


def recovered(state: Path, audit: MemoryAudit) -> Database:
    database = Database.open(state)
    Recovery(
        Leases(database),
        Runs(database),
        calls=Calls(database),
        audit=audit,
        judge=judged,
    ).recover()
    return database


def test_a_run_that_was_under_way_ends_with_a_typed_error(tmp_path: Path) -> None:
    """H-DUR-01"""
    left_behind(tmp_path / "s")
    audit = MemoryAudit()
    database = recovered(tmp_path / "s", audit)
    row = Runs(database).get(RUN)
    assert row.state is RunState.FAILED
    assert row.error is not None
    assert "submit the goal again" in row.error.remedy
    states = {subtask.id: subtask.state for subtask in Runs(database).subtasks(RUN)}
    assert states == {A: SubtaskState.FAILED, B: SubtaskState.SKIPPED}
    assert len(audit.of(EventKind.RUN_FAILED)) == 1
    database.close()


def test_a_read_has_failed_and_a_write_has_an_unknown_outcome(tmp_path: Path) -> None:
    """RUN-8, H-DUR-02"""
    left_behind(tmp_path / "s")
    audit = MemoryAudit()
    database = recovered(tmp_path / "s", audit)
    states = [row.outcome.state for row in Calls(database).of_agent(AgentId("a-1")) if row.outcome]
    assert states == [CallState.FAILED, CallState.OUTCOME_UNKNOWN]
    assert [event.fields["tool"] for event in audit.of(EventKind.OUTCOME_UNKNOWN)] == ["file_write"]
    database.close()


def test_leases_are_given_back_once_and_told(tmp_path: Path) -> None:
    left_behind(tmp_path / "s")
    audit = MemoryAudit()
    database = recovered(tmp_path / "s", audit)
    assert Leases(database).stale() == ()
    told = audit.of(EventKind.STALE_CLEANED)[0].fields
    assert (told["host_uid"], told["kept"], told["calls"], told["runs"]) == (1, 0, 2, 1)
    database.close()
    again = MemoryAudit()
    recovered(tmp_path / "s", again).close()
    assert again.events == []


def lease(kind: LeaseKind, key: object, **detail: int) -> Lease:
    return Lease(kind, str(key), detail, 1)


def test_a_temporary_file_is_removed_by_its_inode(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    for path in (ours, other):
        path.write_text("x")
        status = path.stat()
        inode = status.st_ino if path == ours else status.st_ino + 1
        clean(lease(LeaseKind.TEMP_FILE, path, device=status.st_dev, inode=inode))
    assert not ours.exists()
    assert other.exists()


def test_a_temporary_file_behind_a_link_stays(tmp_path: Path) -> None:
    """H-FS-17: a link in the path is not followed."""
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "f"
    target.write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    status = target.stat()
    with pytest.raises(OSError, match="symbolic link"):
        clean(lease(LeaseKind.TEMP_FILE, tmp_path / "link" / "f", device=status.st_dev, inode=status.st_ino))
    assert target.exists()


def test_what_is_gone_already_is_clean(tmp_path: Path) -> None:
    clean(lease(LeaseKind.TEMP_FILE, tmp_path / "gone" / "f", device=1, inode=1))
    clean(lease(LeaseKind.PROCESS, 2**22 - 1, start_time=1))
    clean(lease(LeaseKind.CGROUP, tmp_path / "gone"))
    clean(lease(LeaseKind.HOST_UID, 5))


def test_a_process_with_another_start_time_is_not_killed() -> None:
    """H-BRK-07: pids come again; this very process would die otherwise."""
    clean(lease(LeaseKind.PROCESS, os.getpid(), start_time=start_time(os.getpid()) + 1))
