"""What a stopped daemon left open is judged from the file itself (BRK-8)."""

import hashlib
from pathlib import Path

import pytest

from aaos.core.errors import ConflictError
from aaos.core.ports import CallRecord, CallState, Evidence
from aaos.tools.settle import outcome_after_crash, temporary_name
from tests.unit.tools.scene import Scene, broker
from worker.abi import Json


def record(base: Path, tool: str, **args: Json) -> CallRecord:
    """The row of a call that got its permit."""
    scene = Scene(base)
    permit = scene.permit(tool, **args)
    row = next(iter(scene.ledger.opened.values()))
    assert permit.permit.startswith(row.call)
    scene.gate.abandon(scene.caller)
    return row


def judged(row: CallRecord, *, is_effect: bool = False) -> CallState | None:
    """None: it was not carried out."""
    outcome = outcome_after_crash(row, broker(), is_effect=is_effect)
    return None if outcome is None else outcome.state


def test_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    row = record(tmp_path, "file_write", path=str(path), content="new\n")
    assert judged(row) is None
    path.write_text("new\n")
    assert judged(row) is CallState.DONE
    path.write_text("else")
    assert judged(row) is CallState.OUTCOME_UNKNOWN


def test_a_replaced_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    row = record(tmp_path, "file_write", path=str(path), content="new")
    assert judged(row) is None
    path.write_text("new")
    assert judged(row) is CallState.DONE
    path.unlink()
    assert judged(row) is CallState.OUTCOME_UNKNOWN


def test_an_edited_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("one two three")
    row = record(tmp_path, "file_edit", path=str(path), old="two", new="2")
    assert judged(row) is None
    path.write_text("one 2 three")
    assert judged(row) is CallState.DONE
    path.write_text("one 2 three!")
    assert judged(row) is CallState.OUTCOME_UNKNOWN


def test_a_read_was_not_done(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    row = record(tmp_path, "file_read", path=f"{tmp_path}/f")
    assert judged(row) is None
    assert judged(row, is_effect=True) is CallState.OUTCOME_UNKNOWN


@pytest.mark.parametrize("state", ["before", "after"])
def test_the_temporary_file_of_the_call_is_removed(tmp_path: Path, state: str) -> None:
    """ISO-11: killed before the exchange it holds new content, killed after it the old."""
    path = tmp_path / "f"
    path.write_text("old")
    row = record(tmp_path, "file_write", path=str(path), content="new")
    (tmp_path / temporary_name(row.call)).write_text("new" if state == "before" else "old")
    path.write_text("old" if state == "before" else "new")
    assert judged(row) is (None if state == "before" else CallState.DONE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_what_cannot_be_looked_at_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    row = record(tmp_path, "file_write", path=f"{tmp_path}/d/f", content="new")
    (tmp_path / "d").rmdir()
    assert judged(row) is CallState.OUTCOME_UNKNOWN


def test_a_write_that_was_done_comes_back_with_its_evidence(tmp_path: Path) -> None:
    """BRK-8, RUN-3: as if agentd had been there to say so."""
    row = record(tmp_path, "file_write", path=f"{tmp_path}/f", content="new\n")
    (tmp_path / "f").write_text("new\n")
    outcome = outcome_after_crash(row, broker(), is_effect=True)
    assert outcome is not None
    digest = hashlib.sha256(b"new\n").hexdigest()
    assert (outcome.post_hash, outcome.size_bytes, outcome.evidence) == (digest, 4, Evidence.OBSERVED)
    assert outcome.result == f"created {tmp_path}/f: 4 bytes, sha256 {digest}"


def test_what_somebody_else_wrote_at_the_same_moment_is_kept(tmp_path: Path) -> None:
    """H-FS-09: killed after the exchange brought out another file than the pre-image, and before it was undone."""
    path = tmp_path / "f"
    path.write_text("old")
    row = record(tmp_path, "file_write", path=str(path), content="new")
    theirs = tmp_path / temporary_name(row.call)
    theirs.write_text("theirs")
    path.write_text("new")
    assert judged(row) is CallState.OUTCOME_UNKNOWN
    assert theirs.read_text() == "theirs"


def test_a_daemon_that_was_overtaken_publishes_nothing(tmp_path: Path) -> None:
    """H-DUR-12, H-BRK-07: it stood still while another took over, judged the call, and did it again."""
    scene = Scene(tmp_path, may_act=lambda: False)
    with pytest.raises(ConflictError, match="was not written"):
        scene.call("file_write", path=f"{tmp_path}/f", content="late")
    assert list(tmp_path.iterdir()) == []


def test_what_a_suspended_daemon_cuts_short_is_left_to_be_judged(tmp_path: Path) -> None:
    """BRK-8: a clean end leaves the rows that a kill leaves."""
    scene = Scene(tmp_path, is_suspended=lambda: True)
    scene.permit("file_write", path=f"{tmp_path}/f", content="new")
    scene.gate.abandon(scene.caller)
    assert (len(scene.ledger.opened), scene.ledger.settled) == (1, {})
    scene.call("file_write", path=f"{tmp_path}/g", content="done")
    assert [outcome.state for outcome in scene.ledger.settled.values()] == [CallState.DONE]
