"""Chat completions have the documented shape, key by key."""

import json

from aaos.devprovider import chat as wire
from tests.unit.devprovider.asking import Json, body, chat, events, said

COMPLETION = {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}


def test_a_completion_has_the_documented_shape() -> None:
    document = json.loads(
        body(said("text: hello, calls: [{tool: t, args: {a: 1}}], usage: {input: 9, output: 2, cached: 4}"))
    )
    assert set(document) == COMPLETION
    assert (document["object"], document["created"], document["model"]) == ("chat.completion", 7, "m")
    assert document["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "hello",
                "refusal": None,
                "tool_calls": [
                    {"id": "call_00000001_1", "type": "function", "function": {"name": "t", "arguments": '{"a": 1}'}}
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ]
    assert document["usage"]["prompt_tokens"] == 9
    assert document["usage"]["completion_tokens"] == 2
    assert document["usage"]["total_tokens"] == 11
    assert document["usage"]["prompt_tokens_details"]["cached_tokens"] == 4


def test_a_text_alone_stops_and_calls_alone_have_no_content() -> None:
    text = json.loads(body(said("text: hello")))["choices"][0]
    assert (text["finish_reason"], "tool_calls" in text["message"]) == ("stop", False)
    assert json.loads(body(said("calls: [{tool: t}]")))["choices"][0]["message"]["content"] is None


def test_a_script_says_how_it_finished() -> None:
    assert json.loads(body(said("text: a, finish: length")))["choices"][0]["finish_reason"] == "length"


def test_chunks_join_to_the_completion() -> None:
    told = events(said("text: hello you, chunks: 2, calls: [{tool: t, args: {a: 1}}, {tool: u}]", chat(stream=True)))
    assert told[-1] == "[DONE]"
    chunks = told[:-1]
    assert all(set(chunk) == COMPLETION - {"usage"} for chunk in chunks)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None] * (len(chunks) - 1) + ["tool_calls"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == "hello you"
    assert _joined(deltas) == {0: ("call_00000001_1", "t", '{"a": 1}'), 1: ("call_00000001_2", "u", "{}")}


def test_usage_comes_in_a_last_chunk_of_its_own() -> None:
    told = events(said("text: a", chat(stream=True, stream_options={"include_usage": True})))
    assert all(chunk["usage"] is None for chunk in told[:-2])
    assert told[-2]["choices"] == []
    assert told[-2]["usage"]["completion_tokens"] == 1


def test_usage_can_be_missing() -> None:
    assert "usage" not in json.loads(body(said("text: a, no_usage: true")))
    told = events(said("text: a, no_usage: true", chat(stream=True, stream_options={"include_usage": True})))
    assert not any(chunk.get("usage") for chunk in told[:-1])


def test_errors_have_the_documented_shape() -> None:
    assert json.loads(wire.error(429, "slow down")) == {
        "error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    }
    assert json.loads(wire.error(500, "x"))["error"]["type"] == "server_error"
    assert json.loads(wire.error(400, "x"))["error"]["type"] == "invalid_request_error"


def test_models_are_listed() -> None:
    assert json.loads(wire.models(("a",))) == {
        "object": "list",
        "data": [{"id": "a", "object": "model", "created": 0, "owned_by": "script"}],
    }


def _joined(deltas: list[Json]) -> dict[int, tuple[str, str, str]]:
    calls: dict[int, tuple[str, str, str]] = {}
    for part in (part for delta in deltas for part in delta.get("tool_calls", ())):
        own, name, arguments = calls.get(part["index"], ("", "", ""))
        function = part["function"]
        calls[part["index"]] = (
            own + part.get("id", ""),
            name + function.get("name", ""),
            arguments + function["arguments"],
        )
    return calls
