"""Limits of a session that no loop's goodwill is asked for: deadlines, rates, repeats."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from aaos.agent import pace
from aaos.agent.order import AbiBrokenError
from aaos.agent.replay import Checkpoint
from aaos.agent.turns import MAX_VAIN_TURNS
from aaos.core.cell import CellRequest, CellResult, Output
from aaos.core.errors import LimitError, ProviderError, WorkerLostError
from aaos.core.events import EventKind
from aaos.core.pace import Pace
from aaos.llm import types as llm
from aaos.tools.wrapper import Limits, Wrapper
from aaos.tools.wrapperparameter import cell_tool
from tests.unit.agent.sessions import AGENT, ECHO, Bench, calls, run, settled
from tests.unit.tools.cells import ENDED
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


class _Slow:
    """A cell that takes this long, whatever its limits say."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def run_cell(self, request: CellRequest, output: Output) -> CellResult:
        del request, output
        await asyncio.sleep(self.seconds)
        return ENDED


@pytest.mark.parametrize(("seconds", "is_done"), [(0.1, True), (60.0, False)])
def test_a_program_has_its_own_time_beside_that_of_the_call(seconds: float, is_done: bool) -> None:
    """BRK-9, ISO-12: and a cell that does not keep to it is not waited for."""
    program = cell_tool(Wrapper("slow", "s", "/usr/bin/slow", "slow", limits=Limits(wall_s=1)))

    async def check(bench: Bench) -> None:
        bench.handle(abi.ToolCall(1, "slow", {}))
        await bench.sent.came.wait()

    bench = run(Bench(call_timeout_s=0.05, programs={"slow": program}, cells=_Slow(seconds)), check)
    if is_done:
        assert bench.reply()["ok"]
    else:
        assert bench.failure().message.endswith("was not done in 1.05 s")


def test_the_calls_of_a_run_are_bounded() -> None:
    async def check(bench: Bench) -> None:
        bench.permit(1)
        bench.handle(abi.ToolCall(2, "echo", ECHO))
        assert bench.failure().code == "limit"

    run(Bench(max_calls=1), check)


def test_too_many_requests_are_busy_and_then_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-BRK-10: the flood is one event, not many."""
    monkeypatch.setattr("aaos.agent.pace.REQUESTS", Pace(per_s=0.001, burst=1))

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
    assert (AGENT, "checkpoint", Checkpoint("step 1").to_bytes()) in bench.conversations.rows


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


def asks_for(*wanted: tuple[str, Mapping[str, object]]) -> llm.ModelAnswer:
    asked = tuple(llm.AskedCall("x", tool, args) for tool, args in wanted)
    return llm.ModelAnswer("", asked, stop=llm.Stop.CALLS)


async def turn_with_its_calls(bench: Bench, request: int) -> int:
    """One turn, and each of its calls carried out as far as it is let; the next free request id."""
    bench.handle(abi.ModelComplete(request))
    await settled()
    for asked in cast("list[dict[str, Any]]", bench.reply()["calls"]):  # Any: the wire's JSON
        request += 1
        bench.handle(abi.ToolCall(request, asked["tool"], asked["args"], asked["call"]))
        if isinstance(bench.sent.last(), abi.Reply):
            request += 1
            bench.handle(abi.ToolDone(request, str(bench.reply()["permit"]), True, "done"))
    return request + 1


def test_a_model_that_asks_only_for_what_it_cannot_have_is_ended() -> None:
    """H-LLM-05: each is denied, recorded and told with the nearest name; after so many turns in a row it ends."""
    names = ("Echo", "echoo", "file_raed", "shell", "echo.echo", "mcp.x.y", "", "e" * 90)
    assert len(names) == MAX_VAIN_TURNS
    bench = Bench(*(asks_for((name, ECHO)) for name in names), llm.ModelAnswer("done"))

    async def check(bench: Bench) -> None:
        request = 0
        for _ in names:
            request = await turn_with_its_calls(bench, request)
            assert bench.failure().code == "denied"
        bench.handle(abi.ModelComplete(request))
        assert bench.failure().code == "limit"

    run(bench, check)
    assert len(bench.audit.of(EventKind.TOOL_DENIED)) == MAX_VAIN_TURNS
    assert isinstance(bench.turns.error, LimitError)
    assert bench.turns.answer is None
    (event,) = bench.audit.of(EventKind.LIMIT_REACHED)
    assert event.fields["limit"] == "refused_turns"
    told = [body for _, role, body in bench.conversations.rows if role == "tool"]
    assert any(b"did you mean 'echo'" in body for body in told)


def test_one_call_that_is_let_through_begins_the_count_anew() -> None:
    wrong, mixed = asks_for(("shell", ECHO)), asks_for(("shell", ECHO), ("echo", {"text": "now"}))
    bench = Bench(*[wrong] * 4, mixed, *[wrong] * 2, llm.ModelAnswer("done"))

    async def check(bench: Bench) -> None:
        request = 0
        for number in range(7):
            bench.model.answers[0] = renumbered(bench.model.answers[0], number)
            request = await turn_with_its_calls(bench, request)
        bench.handle(abi.ModelComplete(request))
        await settled()
        assert bench.reply()["text"] == "done"

    run(bench, check)


def renumbered(answer: object, number: int) -> llm.ModelAnswer:
    """The same answer with other arguments, so that the repeat guard does not speak first."""
    assert isinstance(answer, llm.ModelAnswer)
    asked = tuple(replace(call, args={"text": f"{number}"}) for call in answer.calls)
    return replace(answer, calls=asked)
