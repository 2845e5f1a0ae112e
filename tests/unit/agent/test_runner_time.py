"""What an agent's time means to its grants, and to the end of its worker."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.agent import runner
from aaos.core.events import EventKind
from aaos.llm import types as llm
from tests.unit.agent.test_runner import READER, Bench, asks, reading


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_text("a note\n")
    return path


def test_what_was_granted_for_a_while_ends_no_later_for_a_restart(file: Path) -> None:
    """CAP-3, H-CAP-07, BRK-8: a relative expiry counts from when the agent first began."""
    role = replace(READER, capabilities=({"tool": "file_read"}, {"file_read": "{path}", "expires": "1h"}))
    texts = {}
    for name, ago_s in (("within", 3_500), ("after", 3_700)):
        bench = Bench(asks(file), llm.ModelAnswer("done"))
        begun = replace(reading(file, role), began_s=time.time() - ago_s, is_resumed=True)
        bench.run(begun)
        texts[name] = [event.kind for event in bench.audit.events if event.kind.value.startswith("tool.")]
    assert texts["within"] == [EventKind.TOOL_PERMITTED, EventKind.TOOL_DONE]
    assert texts["after"] == [EventKind.TOOL_DENIED]


def test_a_worker_that_cannot_be_ended_is_given_up_at_its_deadline(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """ISO-11: also in a task that was cancelled before, where `asyncio.timeout` is none on Python 3.11.2."""
    monkeypatch.setattr(runner, "_CLEAN_UP_S", 0.01)
    bench = Bench(None)
    late: list[asyncio.Task[None] | None] = []

    async def main() -> None:
        running = asyncio.ensure_future(bench.runner.run_agent(reading(file)))
        await bench.model.asked.wait()
        (session,) = bench.launcher.sessions
        usual, may_end = session.close, asyncio.Event()

        async def close(reason: str) -> None:
            late.append(asyncio.current_task())
            await may_end.wait()
            await usual(reason)

        monkeypatch.setattr(session, "close", close)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        may_end.set()
        await asyncio.gather(*filter(None, late), return_exceptions=True)

    asyncio.run(main())
    assert "could not be ended in 0.01 s" in caplog.text
    assert len(bench.registry) == 0
    assert all(session.closed for session in bench.launcher.sessions)
