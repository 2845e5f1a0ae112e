"""What was asked, the same for both formats; what the formats do not allow is refused, as the real servers do."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.devprovider.asked import Json, Wire, read_chat, read_messages
from tests.unit.devprovider.asking import USER, VERSION, chat, message, turns

CALL = {"id": "c1", "type": "function", "function": {"name": "file_read", "arguments": "{}"}}
USE = {"type": "tool_use", "id": "c1", "name": "file_read", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "found"}]}


def test_a_chat_completion_is_read() -> None:
    asked = chat(
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "the goal"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        stream=True,
        stream_options={"include_usage": True},
        tools=[{"type": "function", "function": {"name": "file_read"}}],
    )
    assert (asked.wire, asked.model, asked.system, asked.goal, asked.user) == (
        Wire.CHAT,
        "m",
        "be brief",
        "the goal",
        "the goal",
    )
    assert (asked.results, asked.last, asked.turn, asked.tools) == (("found",), "found", 2, ("file_read",))
    assert asked.is_stream
    assert asked.wants_usage
    assert len(asked.messages) == 4


def test_a_message_is_read_the_same() -> None:
    asked = message(
        USER,
        {"role": "assistant", "content": [{"type": "text", "text": "I look"}, USE]},
        {"role": "user", "content": [RESULT]},
        system=[{"type": "text", "text": "be brief"}],
        tools=[{"name": "file_read", "input_schema": {}}],
    )
    assert (asked.wire, asked.model, asked.system, asked.goal, asked.user) == (
        Wire.MESSAGES,
        "m",
        "be brief",
        "the goal",
        "the goal",
    )
    assert (asked.results, asked.last, asked.turn, asked.tools) == (("found",), "found", 2, ("file_read",))
    assert not asked.is_stream


def test_results_are_those_after_the_last_answer() -> None:
    asked = turns(3)
    assert (asked.turn, asked.results) == (4, ("result 2",))


def test_a_stream_has_usage_only_when_it_is_asked_for() -> None:
    assert not chat(stream=True).wants_usage
    assert chat().wants_usage
    assert message(stream=True).wants_usage


def test_a_key_is_found_however_it_is_sent() -> None:
    body = {"model": "m", "messages": [USER]}
    assert read_chat(body, {"authorization": "Bearer k"}).key == "k"
    assert read_chat(body, {"x-api-key": "k"}).key == "k"
    assert read_chat(body, {}).key == ""


ANSWER = {"role": "assistant", "tool_calls": [CALL]}
TOOL = {"role": "tool", "tool_call_id": "c1", "content": "x"}


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([USER, ANSWER], "no result for the call 'c1'"),
        ([USER, ANSWER, USER], "no result for the call 'c1'"),
        ([USER, TOOL], "a result for 'c1'"),
        ([USER, ANSWER, TOOL, TOOL], "a result for 'c1'"),
        ([USER, {"role": "assistant", "tool_calls": [CALL, CALL]}, TOOL, TOOL], "same id"),
        ([USER, {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"arguments": {}}}]}], "not text"),
        ([{"role": "robot", "content": ""}], "'robot' is not a role"),
        ([{"role": "user", "content": 5}], "content is not a list"),
        ([{"role": "user", "content": [{"type": "text"}]}], "no text"),
        ([], "at least one"),
        ("x", "not a list"),
    ],
)
def test_a_conversation_that_the_chat_format_does_not_allow_is_refused(messages: Json, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_chat({"model": "m", "messages": messages}, {})


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([USER, {"role": "assistant", "content": [USE]}], "no result for the call 'c1'"),
        ([USER, {"role": "assistant", "content": [USE]}, USER], "no result for the call 'c1'"),
        (
            [USER, {"role": "assistant", "content": [USE]}, {"role": "user", "content": [RESULT, RESULT]}],
            "a result for",
        ),
        ([USER, {"role": "assistant", "content": [{**USE, "input": "{}"}]}], "valid dictionary"),
        ([{"role": "system", "content": "x"}], "'system' is not a role"),
    ],
)
def test_a_conversation_that_the_messages_format_does_not_allow_is_refused(messages: Json, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_messages({"model": "m", "max_tokens": 5, "messages": messages}, VERSION)


def test_what_the_formats_require_is_required() -> None:
    with pytest.raises(InputError, match="model"):
        read_chat({"messages": [USER]}, {})
    with pytest.raises(InputError, match="not a JSON object"):
        read_chat([], {})
    with pytest.raises(InputError, match="a tool has no name"):
        read_chat({"model": "m", "messages": [USER], "tools": [{}]}, {})
    with pytest.raises(InputError, match="max_tokens"):
        read_messages({"model": "m", "messages": [USER]}, VERSION)
    with pytest.raises(InputError, match="anthropic-version"):
        read_messages({"model": "m", "messages": [USER], "max_tokens": 5}, {})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["user", "tool", "assistant"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from("role content type text tool_calls id function arguments input".split()), inner
        )
    ),
    max_leaves=12,
)


@given(messages=_JSON, system=_JSON, tools=_JSON)
def test_any_document_is_a_request_or_an_error(messages: Json, system: Json, tools: Json) -> None:
    """H-FUZZ-01"""
    body = json.loads(
        json.dumps({"model": "m", "messages": messages, "system": system, "tools": tools, "max_tokens": 1})
    )
    for read, headers in ((read_chat, {}), (read_messages, VERSION)):
        try:
            read(body, headers)
        except InputError as error:
            assert error.message  # noqa: PT017  # most are not errors
