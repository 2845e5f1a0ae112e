"""The gate against workers that lie, stall and die, and against grants that end (BRK-5 to BRK-8, CAP-5)."""

import asyncio
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from aaos.core.errors import (
    CancelledError,
    ConflictError,
    DeniedError,
    NotFoundError,
    StorageError,
    ToolError,
    WorkerLostError,
)
from aaos.core.events import EventKind
from aaos.core.ids import CallId
from aaos.core.ports import CallOutcome, CallState
from aaos.tools.gate import Permit
from aaos.tools.publish import Publish
from tests.unit.tools.scene import AGENT, Scene
from worker import abi
from worker.abi import Json

EACH: tuple[tuple[str, dict[str, Json]], ...] = (
    ("file_read", {}),
    ("file_write", {"content": "x"}),
    ("file_edit", {"old": "one", "new": "1"}),
)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    (tmp_path / "f").write_text("one\ntwo\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x.md").write_text("two too\n")
    return Scene(tmp_path)


def done(permit: Permit, *, ok: bool = True, text: str = "", truncated: bool = False) -> abi.ToolDone:
    return abi.ToolDone(9, permit.permit, ok, text, truncated)


def fill(permit: Permit, content: bytes) -> None:
    """What a worker writes, honest or not."""
    fds = [permit.fds[file["fd"]] for file in permit.value["files"] if file["use"] == "write"]
    os.write(fds[0], content)


# --- what a hostile worker says -----------------------------------------------------------------------------------


def test_a_permit_is_good_once(scene: Scene) -> None:
    """BRK-1, H-BRK-05"""
    permit = scene.permit("echo", text="a")
    scene.settled(scene.gate.done(scene.caller, done(permit, text="a")))
    with pytest.raises(WorkerLostError):
        scene.gate.done(scene.caller, done(permit, text="b"))
    for name in ("", "x" * 10_000, "a-other-1-1"):
        with pytest.raises(WorkerLostError):
            scene.gate.done(scene.caller, abi.ToolDone(9, name, ok=True, text=""))
    assert scene.last_outcome.result == "a"


def test_a_permit_of_another_agent_is_none(scene: Scene) -> None:
    """H-BRK-05, H-BRK-06"""
    permit = scene.permit("file_write", path=f"{scene.path}/new", content="x")
    other = type(scene.caller)(
        scene.caller.run, scene.caller.subtask, type(AGENT)("a-other"), scene.caller.submitter, scene.caller.roots
    )
    with pytest.raises(WorkerLostError):
        scene.gate.done(other, done(permit))
    fill(permit, b"x")
    assert scene.settled(scene.gate.done(scene.caller, done(permit))).ok


@pytest.mark.parametrize(
    ("tool", "args", "content"),
    [
        ("file_write", {"content": "asked"}, b""),
        ("file_write", {"content": "asked"}, b"asked for"),
        ("file_write", {"content": "asked"}, b"ASKED"),
        ("file_edit", {"old": "one", "new": "1"}, b"1\ntwo\nthree\n"),
        ("file_edit", {"old": "one", "new": "1"}, b""),
        ("file_edit", {"old": "o", "new": "1"}, b"1ne\ntwo\n"),
        ("file_edit", {"old": "none", "new": "1"}, b"one\ntwo\n"),
    ],
)
def test_only_what_was_asked_for_is_written(scene: Scene, tool: str, args: Mapping[str, Json], content: bytes) -> None:
    """BRK-6, H-LLM-10: a worker that lies about content makes the call fail, and no more."""
    permit = scene.permit(tool, path=f"{scene.path}/f", **args)
    fill(permit, content)
    with pytest.raises(ToolError):
        scene.settled(scene.gate.done(scene.caller, done(permit)))
    assert (scene.path / "f").read_text() == "one\ntwo\n"
    assert sorted(os.listdir(scene.path)) == ["d", "f"]
    assert scene.last_outcome.state is CallState.FAILED
    assert EventKind.FILE_WRITTEN not in scene.kinds


def test_a_worker_that_says_it_could_not_writes_nothing(scene: Scene) -> None:
    permit = scene.permit("file_write", path=f"{scene.path}/f", content="x")
    fill(permit, b"x")
    result = scene.gate.done(scene.caller, done(permit, ok=False, text="no"))
    assert scene.settled(result).text == "no"
    assert (scene.path / "f").read_text() == "one\ntwo\n"


def test_a_result_is_cut_to_its_bound(scene: Scene) -> None:
    """H-BRK-12, TOL-6"""
    permit = scene.permit("file_read", path=f"{scene.path}/f", max_bytes=64)
    result = scene.settled(scene.gate.done(scene.caller, done(permit, text="ä" * 1_000_000)))
    assert result.truncated
    assert len(result.text.encode()) < 1_400
    assert result.text.endswith("the worker gave too much]")


def test_a_changed_file_is_a_conflict(scene: Scene) -> None:
    """H-FS-19"""
    permit = scene.permit("file_edit", path=f"{scene.path}/f", old="one", new="1")
    report = scene.carried_out(permit)
    (scene.path / "f").write_text("theirs\n")
    with pytest.raises(ConflictError):
        scene.settled(scene.gate.done(scene.caller, report))
    assert (scene.path / "f").read_text() == "theirs\n"
    assert scene.kinds[-2:] == [EventKind.FILE_CONFLICT, EventKind.TOOL_FAILED]


# --- revocation and the end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["file_read", "file_write"])
def test_a_result_after_a_revocation_is_discarded(scene: Scene, tool: str) -> None:
    """CAP-5"""
    args: dict[str, Json] = {"content": "new"} if tool == "file_write" else {}
    permit = scene.permit(tool, path=f"{scene.path}/f", **args)
    report = scene.carried_out(permit)
    scene.tokens.revoke(AGENT)
    with pytest.raises(DeniedError, match="revoked"):
        scene.settled(scene.gate.done(scene.caller, report))
    assert (scene.path / "f").read_text() == "one\ntwo\n"
    assert scene.last_outcome.state is CallState.FAILED


def test_a_revocation_while_a_file_is_being_published_holds(scene: Scene) -> None:
    """CAP-5: asked for the last time just before the step."""
    permit = scene.permit("file_write", path=f"{scene.path}/f", content="new")
    publish = scene.gate.done(scene.caller, scene.carried_out(permit))
    assert isinstance(publish, Publish)
    scene.tokens.revoke(AGENT)
    with pytest.raises(ConflictError, match="revoked"):
        scene.settled(publish)
    assert (scene.path / "f").read_text() == "one\ntwo\n"


def test_a_cancelled_publication_is_recorded_when_it_ends(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """RUN-8: its thread cannot be stopped, but it is told not to take the step, and its outcome is never lost."""
    began, go_on = threading.Event(), threading.Event()
    real = os.fsync

    def slow(fd: int) -> None:
        began.set()
        assert go_on.wait(20)
        real(fd)

    monkeypatch.setattr(os, "fsync", slow)
    permit = scene.permit("file_write", path=f"{scene.path}/f", content="new")
    publish = scene.gate.done(scene.caller, scene.carried_out(permit))
    assert isinstance(publish, Publish)

    async def cancelled() -> None:
        task = asyncio.ensure_future(publish.finish())
        await asyncio.to_thread(began.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        scene.gate.abandon(scene.caller)
        go_on.set()

    asyncio.run(cancelled())
    assert (scene.path / "f").read_text() == "one\ntwo\n"
    assert scene.last_outcome.error_code == "conflict"
    assert sorted(os.listdir(scene.path)) == ["d", "f"]


def test_what_nobody_foresaw_is_an_unknown_outcome(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(os, "fsync", broken)
    permit = scene.permit("file_write", path=f"{scene.path}/f", content="new")
    with pytest.raises(StorageError, match="ZeroDivisionError"):
        scene.settled(scene.gate.done(scene.caller, scene.carried_out(permit)))
    assert scene.last_outcome.state is CallState.OUTCOME_UNKNOWN
    assert scene.kinds[-1] is EventKind.OUTCOME_UNKNOWN


def test_a_lost_worker_leaves_nothing_open(scene: Scene) -> None:
    """H-BRK-11, ISO-11, BRK-10"""
    before = len(os.listdir("/proc/self/fd"))
    for tool, args in EACH:
        scene.permit(tool, path=f"{scene.path}/f", **args)
    assert len(os.listdir("/proc/self/fd")) > before
    scene.gate.abandon(scene.caller)
    scene.gate.abandon(scene.caller)
    assert len(os.listdir("/proc/self/fd")) == before
    assert [outcome.error_code for outcome in scene.ledger.settled.values()] == ["worker_lost"] * 3
    assert sorted(os.listdir(scene.path)) == ["d", "f"]


def test_a_lost_worker_leaves_nothing_open_when_the_disk_is_full(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-DUR-04, ISO-11: the next start settles what could not be written down."""

    def full(call: CallId, outcome: CallOutcome) -> None:
        raise StorageError("the disk is full", "make room")

    before = len(os.listdir("/proc/self/fd"))
    for tool, args in EACH:
        scene.permit(tool, path=f"{scene.path}/f", **args)
    monkeypatch.setattr(scene.ledger, "settle_call", full)
    with pytest.raises(StorageError):
        scene.gate.abandon(scene.caller)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_permit_that_was_taken_back_keeps_no_other_call_from_its_outcome(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RUN-8, BRK-8: a full disk took back the row of the first one, and ended the session."""
    first, *others = (scene.permit(tool, path=f"{scene.path}/f", **args) for tool, args in EACH)
    settle = scene.ledger.settle_call

    def as_the_store(call: CallId, outcome: CallOutcome) -> None:
        if call == str(first.permit):
            raise NotFoundError(f"no call {call!r}", "see the calls of a run")
        settle(call, outcome)

    monkeypatch.setattr(scene.ledger, "settle_call", as_the_store)
    scene.gate.abandon(scene.caller)
    assert [str(call) for call in scene.ledger.settled] == [str(one.permit) for one in others]
    assert EventKind.TOOL_FAILED in scene.kinds


def test_a_thousand_calls_leave_nothing_open(scene: Scene) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(300):
        scene.call("file_read", path=f"{scene.path}/f")
        scene.call("file_write", path=f"{scene.path}/f", content=str(number))
        scene.call("grep", path=str(scene.path), pattern="x")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_publication_that_never_began_is_settled_with_its_agent(scene: Scene) -> None:
    """BRK-10: the agent ended between its `tool.done` and the publisher's turn."""
    before = len(os.listdir("/proc/self/fd"))
    permit = scene.permit("file_write", path=f"{scene.path}/f", content="new")
    publish = scene.gate.done(scene.caller, scene.carried_out(permit))
    assert isinstance(publish, Publish)
    scene.gate.abandon(scene.caller)
    assert scene.last_outcome.error_code == "worker_lost"
    with pytest.raises(CancelledError):
        scene.settled(publish)
    assert (scene.path / "f").read_text() == "one\ntwo\n"
    assert len(os.listdir("/proc/self/fd")) == before
