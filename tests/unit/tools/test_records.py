"""The written trace: one row and one outcome for each call, and events that tell it to people."""

import pytest

from aaos.core.errors import AaosError, ConflictError, DeniedError, InputError, LimitError, ToolError
from aaos.core.events import EventKind
from aaos.core.ids import AgentId, CallId, RunId, SubtaskId
from aaos.core.ports import CallOutcome, CallRecord, CallState, Evidence, Origin, WrittenFile
from aaos.tools.records import Draft, Records
from tests.fakes import MemoryAudit, MemoryLedger

CALL = CallId("a-1-0")
ROW = CallRecord(
    CALL, RunId("r"), SubtaskId("s"), AgentId("a"), 1, "file_read", Origin.MODEL, "{}", "d1", CallState.PERMITTED
)
DRAFT = Draft(ROW, "worker", "/data/f")


@pytest.fixture
def records() -> Records:
    return Records(MemoryLedger(), MemoryAudit())


def ledger(records: Records) -> MemoryLedger:
    assert isinstance(records.ledger, MemoryLedger)
    return records.ledger


def audit(records: Records) -> MemoryAudit:
    assert isinstance(records.audit, MemoryAudit)
    return records.audit


def outcome(state: CallState, *, evidence: Evidence = Evidence.REPORTED, truncated: bool = False) -> CallOutcome:
    return CallOutcome(state, "text", truncated, evidence, 0.4)


def test_every_event_says_who_what_and_where(records: Records) -> None:
    """AUD-1"""
    records.permitted(DRAFT, pre_hash="p")
    records.done(DRAFT, outcome(CallState.DONE, truncated=True))
    first, second = audit(records).events
    about = {"call": CALL, "tool": "file_read", "route": "worker", "origin": "model", "path": "/data/f"}
    assert first.fields == {**about, "decision": "permitted", "digest": "d1"}
    assert second.fields == {**about, "duration_ms": 0.4, "evidence": "reported", "truncated": True}
    assert (first.kind, second.kind) == (EventKind.TOOL_PERMITTED, EventKind.TOOL_DONE)
    assert (first.run, first.subtask, first.agent) == ("r", "s", "a")
    assert ledger(records).opened[CALL].pre_hash == "p"


@pytest.mark.parametrize(
    ("error", "kind", "state", "decision"),
    [
        (DeniedError("no", "ask"), EventKind.TOOL_DENIED, CallState.DENIED, "denied"),
        (LimitError("no", "ask"), EventKind.TOOL_DENIED, CallState.DENIED, "denied"),
        (InputError("no", "ask"), EventKind.TOOL_FAILED, CallState.FAILED, "invalid"),
        (ToolError("no", "ask"), EventKind.TOOL_FAILED, CallState.FAILED, "failed"),
    ],
)
def test_a_refusal_is_on_record_with_its_remedy(
    records: Records, error: AaosError, kind: EventKind, state: CallState, decision: str
) -> None:
    records.refused(DRAFT, error)
    [event] = audit(records).events
    assert event.kind is kind
    assert {"decision": decision, "message": "no", "remedy": "ask", "code": error.code}.items() <= event.fields.items()
    assert ledger(records).settled[CALL].state is state


def test_a_failure_tells_why(records: Records) -> None:
    records.permitted(DRAFT, pre_hash=None)
    records.done(DRAFT, outcome(CallState.FAILED))
    assert audit(records).events[-1].kind is EventKind.TOOL_FAILED
    assert audit(records).events[-1].fields["message"] == "text"


def test_an_unknown_outcome_is_an_event_of_its_own(records: Records) -> None:
    records.permitted(DRAFT, pre_hash=None)
    records.failed(DRAFT, ToolError("x" * 5_000, ""), duration_ms=1.0, state=CallState.OUTCOME_UNKNOWN)
    assert audit(records).events[-1].kind is EventKind.OUTCOME_UNKNOWN
    assert len(str(audit(records).events[-1].fields["message"])) == 1_000


def test_a_published_file_is_observed(records: Records) -> None:
    """BRK-7"""
    records.permitted(DRAFT, pre_hash="absent")
    records.written(DRAFT, WrittenFile("/data/f", "h", 3), outcome(CallState.DONE, evidence=Evidence.OBSERVED))
    written, done = audit(records).events[1:]
    assert (written.kind, done.kind) == (EventKind.FILE_WRITTEN, EventKind.TOOL_DONE)
    assert {"sha256": "h", "size_bytes": 3, "evidence": "observed"}.items() <= written.fields.items()


def test_repeats_and_conflicts_are_told(records: Records) -> None:
    records.repeated(DRAFT, 3)
    records.conflict(DRAFT, ConflictError("changed", "again"))
    assert audit(records).kinds() == [EventKind.TOOL_REPEATED, EventKind.FILE_CONFLICT]
    assert audit(records).events[0].fields["count"] == 3
