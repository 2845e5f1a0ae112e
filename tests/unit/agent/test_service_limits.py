"""Limits of a session that no loop's goodwill is asked for: deadlines, rates, repeats."""

import asyncio

import pytest

from aaos.agent import pace
from aaos.agent.order import AbiBrokenError
from aaos.core.errors import LimitError, ProviderError, WorkerLostError
from aaos.core.events import EventKind
from tests.unit.agent.sessions import AGENT, ECHO, Bench, calls, run, settled
from worker import abi


def test_a_call_that_is_never_done_ends_the_agent_at_its_deadline() -> None:
    """BRK-9, H-RES-13"""

    async def check(bench: Bench) -> None:
        bench.permit(1)
        await bench.service.ended.wait()

    bench = run(Bench(call_timeout_s=0.02), check)
    assert isinstance(bench.service.error, LimitError)
    assert bench.audit.of(EventKind.LIMIT_REACHED)[0].fields["tool"] == "echo"


def test_the_deadline_is_that_of_the_oldest_open_call() -> None:
    async def check(bench: Bench) -> None:
        first = bench.permit(1)
        await asyncio.sleep(0.06)
        bench.permit(2)
        bench.handle(abi.ToolDone(3, first, True, "x"))
        await asyncio.sleep(0.06)
        assert not bench.service.ended.is_set()
        await bench.service.ended.wait()

    run(Bench(call_timeout_s=0.1), check)


def test_the_calls_of_a_run_are_bounded() -> None:
    async def check(bench: Bench) -> None:
        bench.permit(1)
        bench.handle(abi.ToolCall(2, "echo", ECHO))
        assert bench.failure().code == "limit"

    run(Bench(max_calls=1), check)


def test_too_many_requests_are_busy_and_then_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-BRK-10: the flood is one event, not many."""
    monkeypatch.setattr("aaos.agent.service.REQUESTS", pace.Pace(per_s=0.001, burst=1))

    async def check(bench: Bench) -> None:
        bench.permit(0)
        for request in range(1, pace.MAX_BUSY + 1):
            bench.handle(abi.ToolCall(request, "echo", ECHO))
            assert bench.failure().code == "busy"
        with pytest.raises(AbiBrokenError):
            bench.handle(abi.ToolCall(pace.MAX_BUSY + 1, "echo", ECHO))

    bench = run(Bench(), check)
    assert len(bench.audit.of(EventKind.ABI_BUSY)) == 1


def test_logs_are_reported_evidence_and_rate_limited() -> None:
    """BRK-7, H-RES-14"""

    async def check(bench: Bench) -> None:
        for number in range(1_000):
            bench.handle(abi.Log(f"line {number}"))

    bench = run(Bench(), check)
    logs = bench.audit.of(EventKind.AGENT_LOG)
    assert pace.LOGS.burst <= len(logs) < 200
    assert {event.fields["evidence"] for event in logs} == {"reported"}
    assert len(bench.audit.of(EventKind.ABI_BUSY)) == 1


def flood(bench: Bench) -> None:
    for _ in range(100_000):
        bench.service.handle(abi.Log("x"))


def test_an_endless_flood_of_logs_ends_the_session() -> None:
    async def check(bench: Bench) -> None:
        with pytest.raises(AbiBrokenError):
            flood(bench)

    run(Bench(), check)


def test_a_checkpoint_is_stored_and_too_many_are_refused() -> None:
    """BRK-2, BRK-8"""

    async def check(bench: Bench) -> None:
        bench.handle(abi.Checkpoint(1, "step 1"))
        assert bench.reply() == {}
        for request in range(2, 30):
            bench.handle(abi.Checkpoint(request, "x"))
        assert bench.failure().code == "busy"

    bench = run(Bench(), check)
    assert (AGENT, "checkpoint", b"step 1") in bench.conversations.rows


def test_a_model_that_fails_is_a_typed_failure() -> None:
    """BRK-10"""

    async def check(bench: Bench) -> None:
        bench.handle(abi.ModelComplete(1))
        await settled()
        assert (bench.failure().id, bench.failure().code) == (1, "provider")
        bench.handle(abi.ModelComplete(2))
        assert bench.failure().code == "provider"

    run(Bench(ProviderError("503", "wait")), check)


def test_the_sixth_identical_call_ends_the_turns() -> None:
    """TOL-7, H-LLM-07: the loop's goodwill is not asked."""

    async def check(bench: Bench) -> None:
        request = 0
        for turn in range(1, 7):
            request += 2
            bench.handle(abi.ModelComplete(request))
            await settled()
            bench.handle(abi.ToolCall(request + 1, "echo", ECHO, f"a-one-{turn}-0"))
            if turn < 6:
                request += 1
                bench.handle(abi.ToolDone(request + 1, str(bench.reply()["permit"]), True, "hello"))
        assert bench.failure().code == "limit"
        bench.handle(abi.ModelComplete(100))
        assert bench.failure().code == "limit"

    bench = run(Bench(*[calls("echo")] * 7), check)
    assert isinstance(bench.turns.error, LimitError)


def test_an_unforeseen_error_ends_this_agent_with_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(bench: Bench) -> None:
        monkeypatch.setattr(bench.gate, "request", lambda *_: 1 // 0)
        with pytest.raises(WorkerLostError):
            bench.handle(abi.ToolCall(1, "echo", ECHO))

    bench = run(Bench(), check)
    assert len(bench.audit.of(EventKind.REQUEST_FAILED)) == 1
    assert isinstance(bench.service.error, WorkerLostError)
