"""Any sequence of frames that a hostile worker may send: H-BRK-14, H-FUZZ-11."""

from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.agent.order import AbiBrokenError
from aaos.core.events import EventKind
from aaos.llm import types as llm
from tests.unit.agent.sessions import ECHO, Bench, calls, run, settled
from worker import abi

NUMBERS = st.integers(0, 12)
CALLS = st.sampled_from([None, "a-one-1-0", "a-one-1-1", "a-one-2-0", "a-two-1-0", ""])
PERMITS = st.sampled_from(["a-one-0-0", "a-one-0-1", "a-one-1-0", "a-one-1-1", "a-two-0-0", ""])
ARGS = st.one_of(st.just(ECHO), st.dictionaries(st.sampled_from(["text", "path"]), st.text(max_size=5), max_size=2))
FRAMES = st.one_of(
    st.builds(abi.ModelComplete, NUMBERS),
    st.builds(abi.ToolCall, NUMBERS, st.sampled_from(["echo", "grep", "file_write", "Echo", ""]), ARGS, CALLS),
    st.builds(abi.ToolDone, NUMBERS, PERMITS, st.booleans(), st.text(max_size=20), st.booleans(), st.booleans()),
    st.builds(abi.Checkpoint, NUMBERS, st.text(max_size=20)),
    st.builds(abi.Log, st.text(max_size=20)),
    st.builds(abi.Finish, st.booleans(), st.text(max_size=20)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(FRAMES, st.booleans()), max_size=30), st.booleans())
def test_no_sequence_of_frames_leaves_a_call_open_or_an_answer_twice(
    frames: list[tuple[abi.FromWorker, bool]], may_code_call: bool
) -> None:
    """BRK-1, BRK-10: each request gets at most one answer, each row one outcome, and only the session ends."""
    bench = Bench(calls("echo", "grep"), calls("echo"), *[llm.ModelAnswer("done")] * 30, may_code_call=may_code_call)

    async def check(bench: Bench) -> None:
        for frame, waits in frames:
            try:
                bench.handle(frame)
            except (abi.FrameError, AbiBrokenError):  # what is no frame never gets here; a breach ends the session
                break
            if waits:
                await settled()

    run(bench, check)
    answered = [frame.id for frame in bench.sent.frames if isinstance(frame, abi.Reply | abi.Failure)]
    assert len(answered) == len(set(answered))
    assert set(bench.ledger.opened) == set(bench.ledger.settled)
    assert bench.audit.of(EventKind.REQUEST_FAILED) == []
    tools = {
        record.tool for record in bench.ledger.opened.values() if bench.ledger.settled[record.call].error_code is None
    }
    assert tools <= {"echo"}
