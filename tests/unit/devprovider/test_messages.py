"""Messages have the documented shape, key by key, and their events the documented order."""

import json

from aaos.devprovider import messages as wire
from tests.unit.devprovider.asking import body, events, message, said

MESSAGE = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}
SAID = "text: hello, calls: [{tool: t, args: {a: 1}}], usage: {input: 9, output: 2, cached: 4}"


def test_a_message_has_the_documented_shape() -> None:
    document = json.loads(body(said(SAID, message())))
    assert set(document) == MESSAGE
    assert (document["type"], document["role"], document["model"]) == ("message", "assistant", "m")
    assert document["content"] == [
        {"type": "text", "text": "hello"},
        {"type": "tool_use", "id": "toolu_00000001_1", "name": "t", "input": {"a": 1}},
    ]
    assert (document["stop_reason"], document["stop_sequence"]) == ("tool_use", None)
    assert document["usage"] == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 2,
    }


def test_a_text_alone_ends_the_turn_and_calls_alone_have_no_text() -> None:
    assert json.loads(body(said("text: a", message())))["stop_reason"] == "end_turn"
    assert json.loads(body(said("text: a, finish: max_tokens", message())))["stop_reason"] == "max_tokens"
    (block,) = json.loads(body(said("calls: [{tool: t}]", message())))["content"]
    assert block["type"] == "tool_use"


def test_events_come_in_the_documented_order() -> None:
    told = events(said(f"{SAID}, chunks: 2", message(stream=True)))
    kinds = [event["type"] for event in told]
    assert kinds == [
        "message_start",
        "ping",
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_delta"),
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    start = told[0]["message"]
    assert set(start) == MESSAGE
    assert (start["content"], start["stop_reason"], start["usage"]["input_tokens"]) == ([], None, 5)
    assert [e["index"] for e in told if "index" in e] == [0] * 4 + [1] * 5
    assert told[6]["content_block"] == {"type": "tool_use", "id": "toolu_00000001_1", "name": "t", "input": {}}
    text = [e["delta"]["text"] for e in told if e.get("delta", {}).get("type") == "text_delta"]
    arguments = [e["delta"]["partial_json"] for e in told if e.get("delta", {}).get("type") == "input_json_delta"]
    assert ("".join(text), "".join(arguments)) == ("hello", '{"a": 1}')
    assert told[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    }


def test_each_event_is_named_as_its_data_says() -> None:
    for piece in said(SAID, message(stream=True)).pieces:
        name, data, *rest = piece.decode().split("\n")
        assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"
        assert rest == ["", ""]


def test_usage_can_be_missing() -> None:
    assert "usage" not in json.loads(body(said("text: a, no_usage: true", message())))
    assert not any("usage" in json.dumps(e) for e in events(said("text: a, no_usage: true", message(stream=True))))


def test_broken_arguments_are_text_where_an_object_should_be() -> None:
    (block,) = json.loads(body(said("calls: [{tool: t}], bad_arguments: true", message())))["content"]
    assert block["input"] == '{"path": "/tmp/'


def test_errors_have_the_documented_shape() -> None:
    kinds = {401: "authentication_error", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}
    kinds[400] = "invalid_request_error"
    for status, kind in kinds.items():
        document = json.loads(wire.error(status, "why"))
        assert (document["type"], document["error"]) == ("error", {"type": kind, "message": "why"})
