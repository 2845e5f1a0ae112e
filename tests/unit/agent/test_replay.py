"""Recorded calls are given back to those that ask for them again, and to nobody else (BRK-8)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.agent.replay import CHECKPOINT, Checkpoint, Past, Replay, read_past
from aaos.core.errors import AaosError, DeniedError, ReplayError, StorageError
from aaos.core.ids import AgentId, RunId, SubtaskId, call_id
from aaos.core.ports import CallOutcome, CallRecord, CallRow, CallState, Evidence, Origin
from aaos.llm import types as llm
from aaos.tools.brokered import ToolResult
from aaos.tools.caller import CallRequest

AGENT = AgentId("a-1")
DONE = CallOutcome(CallState.DONE, "text", True, Evidence.OBSERVED, 1.0, "h" * 64, size_bytes=4)


def row(index: int, outcome: CallOutcome | None = DONE, turn: int = 0, origin: Origin = Origin.CODE) -> CallRow:
    record = CallRecord(
        call_id(AGENT, turn, index), RunId("r"), SubtaskId("s"), AGENT, turn, "file_write", origin,
        '{"path":"/f"}', f"digest of {turn}-{index}", CallState.PERMITTED,
    )  # fmt: skip
    return CallRow(record, outcome, 1)


def asking(index: int, turn: int = 0, origin: Origin = Origin.CODE) -> CallRequest:
    return CallRequest(call_id(AGENT, turn, index), "file_write", {"at": f"{turn}-{index}"}, origin, turn)


def replay(*rows: CallRow, checkpoint: Checkpoint | None = None) -> Replay:
    past = Past(calls=rows, checkpoint=checkpoint or Checkpoint())
    return Replay(past, digest=lambda _, args: f"digest of {args['at']}")


def test_a_result_comes_back_as_it_was_once() -> None:
    made = replay(row(0))
    result = made.result(asking(0), is_passed=False)
    assert isinstance(result, ToolResult)
    assert (result.text, result.ok, result.truncated) == ("text", True, True)
    assert result.written is not None
    assert (result.written.path, result.written.size_bytes) == ("/f", 4)
    assert made.result(asking(0), is_passed=False) is None


def test_a_call_without_an_outcome_is_made() -> None:
    made = replay(row(0, None))
    assert made.result(asking(0), is_passed=False) is None
    assert made.result(asking(1), is_passed=False) is None


@pytest.mark.parametrize(
    ("state", "evidence", "code"),
    [
        (CallState.FAILED, Evidence.REPORTED, None),
        (CallState.FAILED, Evidence.OBSERVED, "conflict"),
        (CallState.DENIED, Evidence.OBSERVED, "denied"),
        (CallState.OUTCOME_UNKNOWN, Evidence.OBSERVED, "outcome_unknown"),
    ],
)
def test_a_failure_comes_back_as_what_it_was(state: CallState, evidence: Evidence, code: str | None) -> None:
    """What the worker reported was a reply; what agentd found was a failure with its code and remedy."""
    outcome = CallOutcome(state, "no", False, evidence, 1.0, error_code=code or "tool", remedy="do this")
    result = replay(row(0, outcome)).result(asking(0), is_passed=False)
    if code is None:
        assert isinstance(result, ToolResult)
        assert (result.ok, result.text) == (False, "no")
        return
    assert isinstance(result, AaosError)
    assert (result.code, result.message, result.remedy) == (code, "no", "do this")


def test_another_call_than_then_is_no_replay() -> None:
    with pytest.raises(ReplayError, match=f"{AGENT}-0-0 was file_write"):
        replay(row(0)).result(replace(asking(0), args={"at": "elsewhere"}), is_passed=False)


def test_a_call_that_was_passed_over_is_not_made_later() -> None:
    """H-BRK-05: a worker that skipped a call of the model, and asks for it in its second life."""
    assert isinstance(replay().result(asking(0, origin=Origin.MODEL), is_passed=True), DeniedError)
    with pytest.raises(ReplayError, match="was not made then"):
        replay().result(asking(0), is_passed=True)


@given(made=st.lists(st.booleans(), max_size=12), at=st.integers(0, 12))
def test_from_a_checkpoint_on_each_call_comes_back_in_its_place(made: list[bool], at: int) -> None:
    """Calls before it are behind the worker; of the others each is given once, then a turn may pass."""
    rows = [row(index, DONE if has_ended else None) for index, has_ended in enumerate(made)]
    again = replay(*rows, checkpoint=Checkpoint("x", 0, at))
    for index, has_ended in enumerate(made[at:], start=at):
        with pytest.raises(ReplayError):
            again.pass_turn(0)
        assert (again.result(asking(index), is_passed=False) is not None) is has_ended
    again.pass_turn(0)


def test_what_the_model_asked_for_need_not_be_asked_again() -> None:
    replay(row(0, origin=Origin.MODEL)).pass_turn(5)
    replay(row(0, turn=3)).pass_turn(2)


def test_the_rows_become_messages_results_and_the_last_checkpoint() -> None:
    """BRK-3"""
    rows = [
        ("system", llm.to_bytes(llm.SystemMessage("s"))),
        (CHECKPOINT, Checkpoint("one", 0, 2).to_bytes()),
        ("user", llm.to_bytes(llm.UserMessage("m"))),
        ("assistant", llm.to_bytes(llm.AssistantMessage("a"))),
        (CHECKPOINT, Checkpoint("two", 1, 0).to_bytes()),
    ]
    unknown = replace(DONE, state=CallState.OUTCOME_UNKNOWN, remedy="look", error_code="outcome_unknown")
    past = read_past(rows, [row(0), row(1, unknown), row(2, None)])
    assert [type(one) for one in past.messages] == [llm.SystemMessage, llm.UserMessage, llm.AssistantMessage]
    assert past.checkpoint == Checkpoint("two", 1, 0)
    assert past.unresolved == (call_id(AGENT, 0, 1),)
    assert list(past.results) == [call_id(AGENT, 0, 0), call_id(AGENT, 0, 1)]
    told = past.results[call_id(AGENT, 0, 1)]
    assert (told.ok, told.text) == (False, "text\nlook")


@pytest.mark.parametrize("body", [b"\xff", b"{}", b"[]", b'{"data":"x","turn":"one","index":0}', b'{"data":1}'])
def test_a_row_that_cannot_be_read_is_an_error_with_a_remedy(body: bytes) -> None:
    """H-DUR-06"""
    for role in ("user", CHECKPOINT):
        with pytest.raises(StorageError, match="cannot be read") as caught:
            read_past([(role, body)], [])
        assert "submit the goal again" in caught.value.remedy


def test_a_checkpoint_of_a_turn_that_was_not_stored_is_an_error() -> None:
    with pytest.raises(StorageError):
        read_past([(CHECKPOINT, Checkpoint("x", 1, 0).to_bytes())], [])
