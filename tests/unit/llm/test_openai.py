"""Chat completions: the bytes that are sent, and what chunks add up to, server by server."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import AaosError, LimitError, ProviderError
from aaos.llm.faults import TransientError
from aaos.llm.openai import ChatCompletions
from aaos.llm.quirks import QUIRKS, Kind, WireName
from aaos.llm.types import AskedCall, AssistantMessage, ModelAnswer, Stop, ToolResultMessage, Usage, UserMessage
from tests.unit.llm.servers import CONVERSATION, asking, call, wire_model

Json = Any  # a JSON value
SERVERS = [kind for kind, quirks in QUIRKS.items() if quirks.wire is WireName.OPENAI]


def sent(kind: Kind = Kind.OPENAI, *, limit: int = 0) -> Json:
    """The body for a conversation with a call."""
    wire = ChatCompletions(wire_model(kind))
    pieces = bytearray(wire.piece(CONVERSATION))
    return json.loads(wire.body(wire.head(asking(CONVERSATION)), pieces, output_tokens=limit))


def read(*deltas: Json, finish: str | None = "stop", kind: Kind = Kind.OPENAI, **last: Json) -> ModelAnswer:
    """The answer of chunks with these deltas."""
    reader = ChatCompletions(wire_model(kind)).reader()
    for delta in deltas:
        reader.event({"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    reader.event({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], **last})
    return reader.assembly.answer()


def test_the_whole_conversation_is_sent_as_documented() -> None:
    """LLM-1"""
    body = sent(limit=100)
    arguments = '{"path":"/a"}'
    assert body == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 100,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "file_read",
                    "description": "reads a file",
                    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
                },
            }
        ],
        "tool_choice": "auto",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "read /a"},
            {
                "role": "assistant",
                "content": "I look",
                "tool_calls": [
                    {"id": "a-1-1-0", "type": "function", "function": {"name": "file_read", "arguments": arguments}}
                ],
            },
            {"role": "tool", "tool_call_id": "a-1-1-0", "content": "content"},
        ],
    }


@pytest.mark.parametrize("kind", SERVERS)
def test_servers_get_only_what_they_document(kind: Kind) -> None:
    """LLM-1: the table of quirks."""
    body, quirks = sent(kind, limit=7), QUIRKS[kind]
    assert ("parallel_tool_calls" in body) == quirks.asks_parallel_tools
    assert ("tool_choice" in body) == quirks.has_tool_choice
    assert body[quirks.output_limit] == 7
    assert len({"max_tokens", "max_completion_tokens"} & set(body)) == 1


@pytest.mark.parametrize(("kind", "content"), [(Kind.OPENAI, None), (Kind.DEEPSEEK, ""), (Kind.OLLAMA, "")])
def test_an_answer_of_calls_alone_has_the_content_that_its_server_takes(kind: Kind, content: str | None) -> None:
    message = AssistantMessage("", (AskedCall("a", "file_read", {}),))
    assert json.loads(ChatCompletions(wire_model(kind)).piece([message]))["content"] == content


def test_a_failed_call_is_told_as_an_error() -> None:
    piece = ChatCompletions(wire_model()).piece([ToolResultMessage("a", "no such file", ok=False)])
    assert json.loads(piece)["content"] == "Error: no such file"


def test_text_of_any_kind_can_be_sent() -> None:
    piece = ChatCompletions(wire_model()).piece([UserMessage("é😀\ud800\0\u2028")])
    assert json.loads(piece)["content"] == "é😀?\0\u2028"


def test_text_comes_together() -> None:
    answer = read({"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}, {"content": None})
    assert answer == ModelAnswer("Hello")


def test_parallel_calls_come_together_by_index() -> None:
    """LLM-1, H-LLM-06"""
    answer = read(
        call(0, "", "file_read", "x"),
        call(1, '{"pa', "file_list", "y"),
        call(0, '{"path": "/a"}'),
        call(1, 'th": "/b"}'),
        finish="tool_calls",
    )
    assert answer.stop is Stop.CALLS
    assert answer.calls == (
        AskedCall("x", "file_read", {"path": "/a"}),
        AskedCall("y", "file_list", {"path": "/b"}),
    )


@pytest.mark.parametrize(
    "deltas",
    [
        [call(0, '{"n": 1}', "echo", "x"), call(0, '{"n": 2}', "echo", "y")],  # Ollama: every call has index 0
        [call(None, '{"n": 1}', "echo", "x"), call(None, '{"n": 2}', "echo", "y")],
        [call(7, '{"n": 1}', "echo", "x"), call(3, '{"n": 2}', "echo", "x")],
        [call(0, '{"n": 1}', "echo"), call(1, '{"n": 2}', "echo")],
        [call(0, '{"n"', "echo", "x"), call(0, ": 1}", "echo", "x"), call(1, '{"n": 2}', "echo", "y")],
        [{"tool_calls": call(0, '{"n": 1}', "echo", "")["tool_calls"] + call(1, '{"n": 2}', "echo", "")["tool_calls"]}],
    ],
)
def test_calls_stay_apart_whatever_the_server_numbers_and_names_them(deltas: list[Json]) -> None:
    """H-LLM-06: one id twice, no id, no index, one index for all."""
    assert [dict(one.args) for one in read(*deltas, finish="tool_calls").calls] == [{"n": 1}, {"n": 2}]


def test_a_thousand_calls_are_paired_rightly() -> None:
    """H-LLM-06"""
    answer = read(*(call(at, f'{{"n": {at}}}', "echo", "same") for at in range(1000)), finish="tool_calls")
    assert [one.args["n"] for one in answer.calls] == list(range(1000))


@pytest.mark.parametrize(
    ("finish", "stop"),
    [("stop", Stop.ANSWER), ("length", Stop.LIMIT), ("content_filter", Stop.REFUSED), ("tool_calls", Stop.CALLS)],
)
def test_reasons_to_end(finish: str, stop: Stop) -> None:
    answer = read({"content": "x"}, finish=finish)
    assert (answer.stop, answer.calls) == (stop, ())
    assert bool(answer.remedy) == (stop is Stop.REFUSED)


@pytest.mark.parametrize("finish", ["insufficient_system_resource", "error", "x" * 9999, 7, [1], {"a": 1}])
def test_a_reason_nobody_knows_is_no_end(finish: Json) -> None:
    with pytest.raises(ProviderError, match="it ended with"):
        read({"content": "x"}, finish=finish)


def test_what_comes_after_the_end_changes_nothing() -> None:
    reader = ChatCompletions(wire_model()).reader()
    for finish, delta in (
        ("stop", {"content": "a"}),
        (None, {"content": "b"}),
        ("tool_calls", call(0, "{}", "x", "y")),
    ):
        reader.event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    assert reader.assembly.answer() == ModelAnswer("a")


def test_usage_may_come_anywhere_and_the_last_counts() -> None:
    """LLM-4, LLM-7"""
    details = {"prompt_tokens_details": {"cached_tokens": 8}}
    answer = read({"content": "x"}, usage={"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25, **details})
    assert answer.usage == Usage(20, 5, 8)
    hits = {"prompt_tokens": 20, "completion_tokens": 5, "prompt_cache_hit_tokens": 7}
    assert read({"content": "x"}, usage=hits, kind=Kind.DEEPSEEK).usage == Usage(20, 5, 7)
    assert read({"content": "x"}, usage=None).usage == Usage()
    assert read({"content": "x"}, usage={"prompt_tokens": -1, "completion_tokens": 1e18}).usage == Usage()


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_no_part_of_the_answer(field: str) -> None:
    assert read({field: "hmm"}, {"content": "42"}).text == "42"


def test_reasoning_goes_back_to_the_server_that_wants_it_and_to_no_other() -> None:
    """DeepSeek refuses a conversation without it."""
    thought: list[Json] = [{"reasoning_content": "I "}, {"reasoning_content": "see"}]
    answer = read(*thought, call(0, "{}", "x", "y"), finish="tool_calls", kind=Kind.DEEPSEEK)
    message = AssistantMessage("", (AskedCall("a", "x", {}),), carried=answer.carried)
    back = json.loads(ChatCompletions(wire_model(Kind.DEEPSEEK)).piece([message]))
    assert back["reasoning_content"] == "I see"
    other = json.loads(ChatCompletions(wire_model(Kind.OPENAI)).piece([message]))
    assert "reasoning_content" not in other
    foreign = replace(wire_model(Kind.DEEPSEEK), model="another")
    assert json.loads(ChatCompletions(foreign).piece([message]))["reasoning_content"] == ""
    none = AssistantMessage("", message.calls)
    assert json.loads(ChatCompletions(wire_model(Kind.DEEPSEEK)).piece([none]))["reasoning_content"] == ""


def test_an_answer_that_was_not_streamed_is_read_too() -> None:
    """LLM-1: servers without streaming."""
    reader = ChatCompletions(wire_model()).reader()
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "x", **one} for one in _two_functions()]}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    reader.whole({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": usage})
    answer = reader.assembly.answer()
    assert [dict(one.args) for one in answer.calls] == [{"n": 0}, {"n": 1}]
    assert answer.usage == Usage(3, 4)


def _two_functions() -> list[Json]:
    return [{"type": "function", "function": {"name": "echo", "arguments": f'{{"n": {n}}}'}} for n in range(2)]


@pytest.mark.parametrize(
    ("document", "kind", "words"),
    [
        ({"error": {"message": "Overloaded", "code": 502}}, TransientError, "Overloaded"),
        ({"error": {"message": "slow", "type": "rate_limit_error"}}, TransientError, "slow"),
        ({"error": {"message": "bad", "code": "invalid"}}, ProviderError, "bad"),
        ({"error": "broken"}, ProviderError, "broken"),
        ({"error": {"message": "This model's maximum context length is 8"}}, LimitError, "context"),
        ({"error": {"message": {"a": 1}}, "choices": []}, ProviderError, "a"),
    ],
)
def test_an_error_in_the_stream_is_that_error(document: Json, kind: type[AaosError], words: str) -> None:
    """LLM-1, H-LLM-11: status 200 with an error body."""
    with pytest.raises(kind, match=words) as caught:
        ChatCompletions(wire_model()).reader().event(document)
    assert caught.value.remedy


def test_an_error_after_the_answer_has_begun_is_not_tried_again() -> None:
    reader = ChatCompletions(wire_model()).reader()
    reader.event({"choices": [{"index": 0, "delta": {"content": "x"}}]})
    with pytest.raises(ProviderError) as caught:
        reader.event({"error": {"message": "Overloaded", "code": 502}})
    assert not isinstance(caught.value, TransientError)


WRONG: list[Json] = [
    None, 1, "x", [], {"choices": "x"}, {"choices": [1]}, {"choices": [{"index": 1}]},
    {"choices": [{"delta": [1]}]}, {"choices": [{"delta": {"content": 1}}]}, {"choices": [{"delta": {"content": [1]}}]},
    {"choices": [{"delta": {"tool_calls": "x"}}]}, {"choices": [{"delta": {"tool_calls": [1]}}]},
    {"choices": [{"delta": {"tool_calls": [{"function": 1}]}}]}, {"choices": [{"delta": {"tool_calls": [{}]}}]},
]  # fmt: skip


@pytest.mark.parametrize("document", WRONG, ids=str)
def test_json_that_is_no_answer_is_an_error(document: Json) -> None:
    with pytest.raises(ProviderError, match="wrong") as caught:
        ChatCompletions(wire_model()).reader().event(document)
    assert caught.value.remedy


def test_arguments_that_are_no_text_are_told() -> None:
    """H-LLM-04"""
    delta = {"tool_calls": [{"index": 0, "id": "x", "function": {"name": "echo", "arguments": {"n": 1}}}]}
    (one,) = read(delta, finish="tool_calls").calls
    assert "not JSON in a string" in one.error


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["choices", "delta", "tool_calls", "function", "index", "id", "name", "arguments", "content", "finish_reason",
         "usage", "error", "message", "code", "model", "reasoning", "prompt_tokens", "completion_tokens"]
    ), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip
CHUNK = st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"delta": JSON}), max_size=2)}) | JSON


@given(st.lists(CHUNK, max_size=6))
def test_whatever_comes_only_declared_errors_are_raised(documents: list[Json]) -> None:
    """H-FUZZ-10"""
    reader = ChatCompletions(wire_model()).reader()
    with contextlib.suppress(AaosError):
        for document in documents:
            reader.event(document)
        reader.assembly.answer()
