"""The approvals on disk: one for each call, settled once, seen by whom they concern."""

from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.approval import Approval, ApprovalState, Asked, Settling
from aaos.core.errors import ConflictError, NotFoundError
from aaos.core.ids import AgentId, ApprovalId, CallId, RunId, SubtaskId, Uid
from aaos.store.approvals import Approvals
from aaos.store.database import Database

ASKED = Asked(
    CallId("a-1-1-1"), RunId("r-1"), SubtaskId("s"), AgentId("a-1"), Uid(1000), "file_write", "/f", "{}", "absent",
    "+x", "policy",
)  # fmt: skip
ONE = Approval(ApprovalId("ap-one"), ASKED, ASKED.digest, 1.0, 61.0)


def other(name: str, call: str, uid: int) -> Approval:
    asked = replace(ASKED, call=CallId(call), uid=Uid(uid), run=RunId("r-2"), pre_hash=None)
    return replace(ONE, id=ApprovalId(name), asked=asked, digest=asked.digest)


def test_what_was_written_is_read_again_by_the_next_daemon(tmp_path: Path) -> None:
    """APR-1, H-DUR-03"""
    database = Database.open(tmp_path / "s")
    Approvals(database).add(ONE)
    database.close()
    database = Database.open(tmp_path / "s")
    rows = Approvals(database)
    assert rows.get(ONE.id) == rows.of_call(ASKED.call) == rows.find("ap-o", uid=Uid(1000)) == ONE
    assert rows.of_run(ASKED.run) == rows.waiting() == rows.list(Uid(0), 9) == (ONE,)
    database.close()


def test_it_is_settled_once_and_a_call_has_one(tmp_path: Path) -> None:
    """H-API-06"""
    database = Database.open(tmp_path / "s")
    rows = Approvals(database)
    rows.add(ONE)
    with pytest.raises(ConflictError):
        rows.add(replace(ONE, id=ApprovalId("ap-two")))
    how = Settling(ApprovalState.APPROVED, Uid(0), "pts/1", "fine")
    assert rows.settle(ONE.id, how, now_s=5.0)
    assert not rows.settle(ONE.id, Settling(ApprovalState.DENIED), now_s=6.0)
    settled = replace(ONE, state=ApprovalState.APPROVED, settled_s=5.0, by=Uid(0), terminal="pts/1", reason="fine")
    assert rows.get(ONE.id) == settled
    assert rows.waiting() == ()
    database.close()


def test_those_of_other_users_are_not_there(tmp_path: Path) -> None:
    """H-SEC-11"""
    database = Database.open(tmp_path / "s")
    rows = Approvals(database)
    for one in (ONE, other("ap-two", "a-2-1-1", 1001)):
        rows.add(one)
    assert [one.id for one in rows.list(Uid(1001), 9)] == ["ap-two"]
    assert len(rows.list(Uid(0), 9)) == 2
    for prefix, uid in (("ap-one", 1001), ("ap-x", 0), ("", 0), ("ap-\u00e4", 0)):
        with pytest.raises(NotFoundError):
            rows.find(prefix, uid=Uid(uid))
    with pytest.raises(ConflictError, match="ap-one, ap-two"):
        rows.find("ap-", uid=Uid(0))
    with pytest.raises(NotFoundError):
        rows.get(ApprovalId("ap-none"))
    assert rows.of_call(CallId("a-9-1-1")) is None
    database.close()
