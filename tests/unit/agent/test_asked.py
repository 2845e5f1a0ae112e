"""Provenance of calls: BRK-4."""

import pytest

from aaos.agent.asked import AskedCalls
from aaos.core.errors import DeniedError
from aaos.core.ids import AgentId

AGENT = AgentId("a-one")
ARGS = {"path": "/data/x", "offset": 1}


def asked() -> tuple[AskedCalls, str]:
    calls = AskedCalls(AGENT)
    calls.begin_turn()
    return calls, calls.add("file_read", ARGS)


def test_a_call_of_the_model_passes_once() -> None:
    calls, call = asked()
    assert calls.use(call, tool="file_read", args=dict(reversed(ARGS.items()))) == call
    with pytest.raises(DeniedError, match="made already"):
        calls.use(call, tool="file_read", args=ARGS)


def test_ids_are_durable_and_name_agent_turn_and_index() -> None:
    """BRK-8"""
    calls, first = asked()
    assert first == "a-one-1-0"
    assert calls.add("grep", {}) == "a-one-1-1"
    assert calls.code_call() == "a-one-1-2"
    calls.begin_turn()
    assert calls.code_call() == "a-one-2-0"


def test_equal_ids_of_the_model_become_different_ids() -> None:
    """H-LLM-06"""
    calls = AskedCalls(AGENT)
    calls.begin_turn()
    assert len({calls.add("echo", {"text": "x"}) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("tool", "args"),
    [
        ("file_write", ARGS),
        ("file_read", {"path": "/data/y", "offset": 1}),
        ("file_read", {"path": "/data/x"}),
        ("file_read", {"path": "/data/x", "offset": 1, "extra": None}),
        ("file_read", {"path": "/data/x", "offset": 1.0}),
        ("file_read", {"path": "/data/x", "offset": True}),
        ("file_read", {}),
    ],
)
def test_another_tool_or_other_arguments_are_refused(tool: str, args: dict[str, object]) -> None:
    calls, call = asked()
    with pytest.raises(DeniedError):
        calls.use(call, tool=tool, args=args)
    assert calls.use(call, tool="file_read", args=ARGS) == call


@pytest.mark.parametrize("call", ["", "a-one-1-1", "a-two-1-0", "a-one-0-0", "x" * 10_000])
def test_an_id_that_the_model_did_not_get_is_refused(call: str) -> None:
    """H-BRK-05, H-BRK-06"""
    calls, _ = asked()
    with pytest.raises(DeniedError):
        calls.use(call, tool="file_read", args=ARGS)


def test_calls_of_an_earlier_answer_are_refused() -> None:
    calls, call = asked()
    calls.begin_turn()
    with pytest.raises(DeniedError):
        calls.use(call, tool="file_read", args=ARGS)
