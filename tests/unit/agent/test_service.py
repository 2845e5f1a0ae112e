"""The daemon's side of the ABI: what each frame of a worker leads to, with the real gate behind it."""

import pytest

from aaos.agent.order import AbiBrokenError
from aaos.core.errors import StorageError, WorkerLostError
from aaos.core.events import EventKind
from aaos.core.ids import CallId
from aaos.core.ports import CallOutcome, CallState
from aaos.llm import types as llm
from tests.unit.agent.sessions import ECHO, Bench, calls, run, settled
from worker import abi


def test_a_call_of_code_is_permitted_done_and_recorded() -> None:
    """BRK-2, BRK-7"""

    async def check(bench: Bench) -> None:
        permit = bench.permit(1)
        bench.handle(abi.ToolDone(2, permit, True, "hello"))
        assert bench.reply() == {"text": "hello", "ok": True, "truncated": False}

    bench = run(Bench(), check)
    assert [outcome.state for outcome in bench.ledger.settled.values()] == [CallState.DONE]
    assert next(iter(bench.ledger.opened.values())).origin == "code"


def test_a_quiet_report_is_recorded_and_not_answered() -> None:
    """BRK-2, BRK-7"""

    async def check(bench: Bench) -> None:
        first = bench.permit(1)
        bench.handle(abi.ToolDone(2, first, True, "hello", quiet=True))
        second = bench.permit(3)  # the next answer is its permit
        assert second != first
        bench.handle(abi.ToolDone(4, second, False, "broken", quiet=True))
        bench.handle(abi.Finish(True, ""))

    bench = run(Bench(), check)
    assert [outcome.state for outcome in bench.ledger.settled.values()] == [CallState.DONE, CallState.FAILED]
    assert [outcome.result for outcome in bench.ledger.settled.values()] == ["hello", "broken"]


def test_a_call_of_the_model_gets_its_recorded_result_into_the_conversation() -> None:
    """BRK-3, BRK-4"""

    async def check(bench: Bench) -> None:
        bench.handle(abi.ModelComplete(1))
        await settled()
        assert bench.reply()["calls"] == [{"call": "a-one-1-0", "tool": "echo", "args": ECHO}]
        permit = bench.permit(2, "a-one-1-0")
        bench.handle(abi.ToolDone(3, permit, True, "hello"))
        bench.handle(abi.ModelComplete(4))
        await settled()
        assert bench.reply()["done"] is True

    bench = run(Bench(calls("echo"), llm.ModelAnswer("done"), may_code_call=False), check)
    result = bench.model.seen[1].messages[-1]
    assert result == llm.ToolResultMessage(call="a-one-1-0", text="hello")
    assert bench.turns.answer == "done"


@pytest.mark.parametrize(
    ("tool", "args", "call"),
    [
        ("echo", ECHO, None),
        ("echo", ECHO, "a-one-1-1"),
        ("echo", {"text": "other"}, "a-one-1-0"),
        ("grep", ECHO, "a-one-1-0"),
    ],
)
def test_what_the_model_did_not_ask_for_is_refused_and_audited(
    tool: str, args: dict[str, str], call: str | None
) -> None:
    """BRK-4"""

    async def check(bench: Bench) -> None:
        bench.handle(abi.ModelComplete(1))
        await settled()
        bench.handle(abi.ToolCall(2, tool, args, call))
        failure = bench.failure()
        assert (failure.id, failure.code) == (2, "denied")
        assert failure.remedy

    bench = run(Bench(calls("echo"), may_code_call=False), check)
    assert bench.ledger.opened == {}
    assert len(bench.audit.of(EventKind.TOOL_DENIED)) == 1
    assert not bench.service.ended.is_set()


def test_a_tool_that_was_not_granted_is_refused_and_the_session_goes_on() -> None:
    """CAP-1, H-LLM-05"""

    async def check(bench: Bench) -> None:
        for request, tool in enumerate(("file_read", "ECHO", "ecko", "../echo"), start=1):
            bench.handle(abi.ToolCall(request, tool, {"path": "/etc/shadow"}, None))
            assert bench.failure().code in ("denied", "input")
        bench.handle(abi.ToolDone(9, bench.permit(8), True, "x"))
        assert bench.reply()["ok"] is True

    run(Bench(), check)


def test_a_refusal_is_what_the_model_sees() -> None:
    async def check(bench: Bench) -> None:
        bench.handle(abi.ModelComplete(1))
        await settled()
        bench.handle(abi.ToolCall(2, "grep", ECHO, "a-one-1-0"))
        bench.handle(abi.ModelComplete(3))
        await settled()

    bench = run(Bench(calls("grep"), llm.ModelAnswer("done")), check)
    result = bench.model.seen[1].messages[-1]
    assert isinstance(result, llm.ToolResultMessage)
    assert not result.ok
    assert "\n" in result.text  # what happened, and what would allow it


FRAMES: list[tuple[str, list[abi.FromWorker]]] = [
    ("a second ready", [abi.Ready(1, (), {}, {})]),
    ("an id again", [abi.ToolCall(5, "echo", ECHO), abi.ToolCall(5, "echo", ECHO)]),
    ("an id that falls", [abi.ToolCall(5, "echo", ECHO), abi.ToolCall(4, "echo", ECHO)]),
    ("more than the credits", [abi.ToolCall(number, "echo", ECHO) for number in range(4)]),
    ("done without a permit", [abi.ToolDone(1, "a-two-0-0", True, "x")]),
    ("done twice", [abi.ToolCall(1, "echo", ECHO), *[abi.ToolDone(n, "a-one-0-0", True, "x") for n in (2, 3)]]),
    ("two turns at once", [abi.ModelComplete(1), abi.ModelComplete(2)]),
    ("a turn during a call", [abi.ToolCall(1, "echo", ECHO), abi.ModelComplete(2)]),
    ("finish during a call", [abi.ToolCall(1, "echo", ECHO), abi.Finish(True, "x")]),
    ("finish twice", [abi.Finish(True, "x"), abi.Finish(True, "y")]),
    ("a call after finish", [abi.Finish(True, "x"), abi.ToolCall(1, "echo", ECHO)]),
    ("a log after finish", [abi.Finish(True, "x"), abi.Log("y")]),
    ("a log too long", [abi.Log("x" * (abi.LOG_BYTES + 1))]),
    ("a checkpoint too long", [abi.Checkpoint(1, "ä" * abi.CHECKPOINT_BYTES)]),
]


@pytest.mark.parametrize(("name", "frames"), FRAMES, ids=[name for name, _ in FRAMES])
def test_a_breach_of_the_order_ends_the_session_and_is_audited(name: str, frames: list[abi.FromWorker]) -> None:
    """BRK-1, H-BRK-05, H-BRK-06"""

    async def check(bench: Bench) -> None:
        *before, last = frames
        for frame in before:
            bench.handle(frame)
        with pytest.raises(AbiBrokenError):
            bench.handle(last)
        assert bench.service.ended.is_set()

    bench = run(Bench(None), check)
    assert len(bench.audit.of(EventKind.ABI_BROKEN)) == 1, name
    if "finish" not in name.split(maxsplit=1)[0] and "after" not in name:
        assert isinstance(bench.service.error, WorkerLostError)


def test_a_breach_after_a_good_end_does_not_unmake_it() -> None:
    async def check(bench: Bench) -> None:
        bench.handle(abi.Finish(True, "x"))
        with pytest.raises(AbiBrokenError):
            bench.handle(abi.Log("y"))

    bench = run(Bench(), check)
    assert bench.service.error is None
    assert bench.service.finish == abi.Finish(True, "x")


def test_open_permits_of_a_lost_worker_are_settled() -> None:
    """BRK-10, H-BRK-11"""

    async def check(bench: Bench) -> None:
        bench.permit(1)
        bench.service.end(WorkerLostError("killed", ""))

    bench = run(Bench(), check)
    assert [outcome.error_code for outcome in bench.ledger.settled.values()] == ["worker_lost"]


def test_what_cannot_be_written_down_ends_the_session() -> None:
    """RUN-8: the worker was answered, and what comes of the answer is not let through any more."""

    def full(call: CallId, outcome: CallOutcome) -> None:
        raise StorageError(f"{call} {outcome.state}: the disk is full", "free space")

    async def check(bench: Bench) -> None:
        permit = bench.permit(1)
        bench.ledger.settle_call = full  # type: ignore[method-assign]  # the disk fills up here
        with pytest.raises(StorageError):
            bench.handle(abi.ToolDone(2, permit, True, "hello"))
        assert isinstance(bench.service.error, StorageError)
        with pytest.raises(AbiBrokenError):
            bench.handle(abi.ToolCall(3, "echo", ECHO))
        del bench.ledger.settle_call

    run(Bench(), check)
