"""Messages: the bytes that are sent, marks for the cache, and what events add up to."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import AaosError, LimitError, ProviderError
from aaos.llm.anthropic import NO_TEXT, Messages
from aaos.llm.faults import TransientError
from aaos.llm.quirks import Kind
from aaos.llm.types import (
    AskedCall,
    AssistantMessage,
    Message,
    ModelAnswer,
    Stop,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from tests.unit.llm.servers import CONVERSATION, asking, wire_model

Json = Any  # a JSON value
WIRE = Messages(wire_model(Kind.ANTHROPIC))
CACHED = {"cache_control": {"type": "ephemeral"}}


def sent(messages: tuple[Message, ...], *, limit: int = 0) -> Json:
    return json.loads(WIRE.body(WIRE.head(asking(messages)), bytearray(WIRE.piece(messages)), output_tokens=limit))


def start(**usage: Json) -> Json:
    return {"type": "message_start", "message": {"model": "m", "content": [], "usage": usage}}


def block(index: int, kind: str, **fields: Json) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def delta(index: int, kind: str, **fields: Json) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def end(reason: str | None = "end_turn", **usage: Json) -> list[Json]:
    return [{"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}, {"type": "message_stop"}]


TEXT = [block(0, "text", text=""), delta(0, "text_delta", text="Hel"), delta(0, "text_delta", text="lo")]
THINKING = [
    block(0, "thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="hm"),
    delta(0, "thinking_delta", thinking="m"),
    delta(0, "signature_delta", signature="sig=="),
    block(1, "redacted_thinking", data="xyz"),
    block(2, "text", text=""),
    delta(2, "text_delta", text="I look"),
    block(3, "tool_use", id="t1", name="file_read", input={}),
    delta(3, "input_json_delta", partial_json='{"path":'),
    delta(3, "input_json_delta", partial_json=' "/a"}'),
    block(4, "tool_use", id="t2", name="file_list", input={}),
    delta(4, "input_json_delta", partial_json=""),
]


def read(*events: Json) -> ModelAnswer:
    reader = WIRE.reader()
    for event in events:
        reader.event(event)
    return reader.assembly.answer()


def test_the_whole_conversation_is_sent_as_documented() -> None:
    """LLM-1, LLM-7: system prompt and last block are marked for the cache."""
    body = sent(CONVERSATION)
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "read /a"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look"},
                {"type": "tool_use", "id": "a-1-1-0", "name": "file_read", "input": {"path": "/a"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a-1-1-0",
                    "content": [{"type": "text", "text": "content"}],
                    **CACHED,
                }
            ],
        },
    ]
    assert body["system"] == [{"type": "text", "text": "be brief", **CACHED}]
    assert body["tools"][0]["input_schema"] == {"type": "object", "properties": {"path": {"type": "string"}}}
    assert (body["model"], body["max_tokens"], body["stream"]) == ("m", 8192, True)
    assert sent(CONVERSATION, limit=9)["max_tokens"] == 9


def test_results_of_one_answer_are_one_message_and_failures_are_marked() -> None:
    results = (ToolResultMessage("a", "x"), ToolResultMessage("b", "no such file", ok=False))
    *_, last = sent((*CONVERSATION[:2], *results))["messages"]
    assert [one.get("is_error", False) for one in last["content"]] == [False, True]


def test_blocks_without_text_are_never_sent() -> None:
    """The service refuses them."""
    calls = (AskedCall("a", "x", {}),)
    messages = (UserMessage(" "), AssistantMessage("", calls), ToolResultMessage("a", ""), AssistantMessage(""))
    sent_messages = sent((*messages, UserMessage("x")))["messages"]
    texts = [b.get("text", NO_TEXT) for m in sent_messages for b in m["content"]]
    assert [b["type"] for b in sent_messages[1]["content"]] == ["tool_use"]
    assert all(texts)


def test_the_key_travels_in_its_own_header() -> None:
    assert (b"x-api-key", b"sk-1") in WIRE.headers("sk-1")
    assert [name for name, _ in WIRE.headers(None)] == [b"anthropic-version"]


def test_text_and_parallel_calls_come_together() -> None:
    """LLM-1, H-LLM-06"""
    assert read(start(), *TEXT, {"type": "ping"}, {"type": "content_block_stop", "index": 0}, *end()).text == "Hello"
    answer = read(start(), *THINKING, *end("tool_use"))
    assert (answer.text, answer.stop) == ("I look", Stop.CALLS)
    assert answer.calls == (AskedCall("t1", "file_read", {"path": "/a"}), AskedCall("t2", "file_list", {}))


def test_thinking_goes_back_unchanged_and_where_it_stood() -> None:
    """It is signed: a changed or moved block is refused."""
    answer = read(start(), *THINKING, *end("tool_use"))
    calls = tuple(AskedCall(f"a-{at}", call.tool, call.args) for at, call in enumerate(answer.calls))
    back = json.loads(WIRE.piece([AssistantMessage(answer.text, calls, carried=answer.carried)]))
    assert back["content"] == [
        {"type": "thinking", "thinking": "hmm", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "I look"},
        {"type": "tool_use", "id": "a-0", "name": "file_read", "input": {"path": "/a"}},
        {"type": "tool_use", "id": "a-1", "name": "file_list", "input": {}},
    ]


def test_thinking_of_another_provider_is_left_out() -> None:
    carried = json.dumps({"by": "elsewhere", "blocks": [{"type": "thinking", "thinking": "x"}]})
    back = json.loads(WIRE.piece([AssistantMessage("text", (), carried=carried)]))
    assert back["content"] == [{"type": "text", "text": "text"}]


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("end_turn", Stop.ANSWER), ("stop_sequence", Stop.ANSWER), ("max_tokens", Stop.LIMIT), ("refusal", Stop.REFUSED),
     ("model_context_window_exceeded", Stop.LIMIT)],
)  # fmt: skip
def test_reasons_to_end(reason: str, stop: Stop) -> None:
    assert read(start(), *TEXT, *end(reason)).stop is stop


@pytest.mark.parametrize("reason", ["pause_turn", "something", 7])
def test_a_reason_nobody_knows_is_no_end(reason: Json) -> None:
    with pytest.raises(ProviderError, match="it ended with"):
        read(start(), *TEXT, *end(reason))


def test_a_call_that_was_cut_off_is_never_made() -> None:
    """H-LLM-04"""
    with pytest.raises(ProviderError, match="cut off"):
        read(start(), *THINKING)
    assert read(start(), *THINKING[:-3], *end("max_tokens")).calls == ()


def test_usage_is_cumulative_and_counts_what_was_cached() -> None:
    """LLM-4, LLM-7"""
    counts = {"input_tokens": 20, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000}
    assert read(start(**counts, output_tokens=1), *TEXT, *end(output_tokens=15)).usage == Usage(1120, 15, 1000)
    assert read(start(), *TEXT, *end()).usage == Usage()
    assert read(start(input_tokens=-1, output_tokens=1), *TEXT, *end()).usage == Usage()
    assert read(start(input_tokens=1.5), *TEXT, *end(output_tokens=2)).usage == Usage()


def test_an_answer_that_was_not_streamed_is_read_too() -> None:
    reader = WIRE.reader()
    content = [{"type": "text", "text": "I look"}, {"type": "tool_use", "id": "t", "name": "x", "input": {"a": 1}}]
    reader.whole({"model": "m", "content": content, "stop_reason": "tool_use", "usage": {"input_tokens": 1}})
    assert reader.assembly.answer().calls == (AskedCall("t", "x", {"a": 1}),)


def test_another_model_than_the_asked_is_an_error() -> None:
    """H-LLM-11"""
    with pytest.raises(ProviderError, match="answered as 'other'"):
        WIRE.reader().event({"type": "message_start", "message": {"model": "other"}})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, TransientError),
        ({"type": "api_error", "message": "Internal"}, TransientError),
        ({"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8"}, LimitError),
        ({"type": "invalid_request_error", "message": "bad"}, ProviderError),
        (None, ProviderError),
    ],
)
def test_an_error_event_is_that_error(error: Json, kind: type[AaosError]) -> None:
    """LLM-1"""
    with pytest.raises(kind) as caught:
        read(start(), {"type": "error", "error": error})
    assert caught.value.remedy
    with pytest.raises(AaosError) as late:
        read(start(), *TEXT, {"type": "error", "error": error})
    assert not isinstance(late.value, TransientError)


def test_events_of_the_future_are_left_out() -> None:
    """The documents ask for it."""
    new = [{"type": "new_event", "x": 1}, block(9, "server_thing", a=1), delta(9, "new_delta", b=2)]
    assert read(start(), *new, *TEXT, *end()).text == "Hello"


WRONG = [
    None, [], {}, {"type": 1}, {"type": "message_start"}, {"type": "content_block_start", "index": 0},
    {"type": "content_block_start", "index": "0", "content_block": {}}, block(0, "text", text=1),
    {"type": "content_block_start", "index": 0, "content_block": {"type": 3}}, {"type": "message_delta"},
    delta(5, "text_delta", text="x"), {"type": "content_block_delta", "index": 0, "delta": 1},
]  # fmt: skip


@pytest.mark.parametrize("document", WRONG, ids=str)
def test_json_that_is_no_event_is_an_error(document: Json) -> None:
    with pytest.raises(ProviderError, match="wrong"):
        WIRE.reader().event(document)
    with pytest.raises(ProviderError, match="wrong"):
        WIRE.reader().whole(document)


def test_a_block_cannot_begin_twice() -> None:
    with pytest.raises(ProviderError, match="wrong block"):
        read(start(), *TEXT, *TEXT)


JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(
        ["message_start", "content_block_start", "content_block_delta", "message_delta", "text", "tool_use", "thinking",
         "text_delta", "input_json_delta", "thinking_delta", "signature_delta", "tool_use", "end_turn", "error"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["type", "index", "content_block", "delta", "message", "usage", "stop_reason", "text", "partial_json", "id",
         "name", "input", "thinking", "signature", "error", "content", "output_tokens", "input_tokens", "model"]
    ), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip
EVENT = st.sampled_from([*THINKING, *TEXT, *end("tool_use"), start()]) | JSON


@given(st.lists(EVENT, max_size=8), JSON)
def test_whatever_comes_only_declared_errors_are_raised(events: list[Json], whole: Json) -> None:
    """H-FUZZ-10"""
    with contextlib.suppress(AaosError):
        read(*events)
    with contextlib.suppress(AaosError):
        WIRE.reader().whole(whole)


def test_a_flood_of_thinking_is_not_carried() -> None:
    flood = [delta(0, "thinking_delta", thinking="x" * 65_536)] * 20
    answer = read(start(), block(0, "thinking", thinking=""), *flood, block(1, "text", text="42"), *end())
    assert (answer.text, answer.carried) == ("42", "")
