"""Answers as Anthropic messages, whole or as events.

Source: Anthropic's API reference, "Messages", "Streaming Messages" and "Errors".
"""

import json
from collections.abc import Iterator
from typing import Any

from aaos.devprovider.answer import Answer, AnswerCall, Tokens, pieces_of

Json = Any  # a JSON value on its way out


def whole(answer: Answer) -> bytes:
    """The message object."""
    blocks: list[Json] = [{"type": "text", "text": answer.text}] if answer.text or not answer.calls else []
    blocks += [{**_block(call), "input": _input(call)} for call in answer.calls]
    document = _message(answer, blocks, stop=_stop(answer))
    if answer.tokens is not None:
        document["usage"] = {**_input_usage(answer.tokens), "output_tokens": answer.tokens.output}
    return _packed(document)


def events(answer: Answer) -> Iterator[bytes]:
    """The events of a stream, from message_start to message_stop."""
    start = _message(answer, [], stop=None)
    if answer.tokens is not None:
        start["usage"] = {**_input_usage(answer.tokens), "output_tokens": 1}
    yield _event("message_start", {"message": start})
    yield _event("ping", {})
    index = 0
    if answer.text or not answer.calls:
        deltas = ({"type": "text_delta", "text": piece} for piece in pieces_of(answer.text, answer.pieces))
        yield from _block_events(index, {"type": "text", "text": ""}, deltas)
        index += 1
    for number, call in enumerate(answer.calls, index):
        parts = ("", *pieces_of(call.arguments, answer.pieces))
        deltas = ({"type": "input_json_delta", "partial_json": part} for part in parts)
        yield from _block_events(number, {**_block(call), "input": {}}, deltas)
    end: Json = {"delta": {"stop_reason": _stop(answer), "stop_sequence": None}}
    if answer.tokens is not None:
        end["usage"] = {"output_tokens": answer.tokens.output}
    yield _event("message_delta", end)
    yield _event("message_stop", {})


def error(status: int, message: str) -> bytes:
    """The error object that goes with a status."""
    kind = _ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return _packed({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_script"})


def error_event(message: str) -> bytes:
    """An error that comes in the middle of a stream."""
    return b"event: error\ndata: " + error(529, message) + b"\n\n"


_ERRORS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def _message(answer: Answer, content: list[Json], *, stop: str | None) -> dict[str, Json]:
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
    }


def _block_events(index: int, block: Json, deltas: Iterator[Json]) -> Iterator[bytes]:
    yield _event("content_block_start", {"index": index, "content_block": block})
    for delta in deltas:
        yield _event("content_block_delta", {"index": index, "delta": delta})
    yield _event("content_block_stop", {"index": index})


def _block(call: AnswerCall) -> Json:
    return {"type": "tool_use", "id": call.id, "name": call.tool}


def _input(call: AnswerCall) -> Json:
    """The arguments as the object that the format wants, or as the text they are when they are broken."""
    try:
        return json.loads(call.arguments)
    except (ValueError, RecursionError):
        return call.arguments


def _stop(answer: Answer) -> str:
    return answer.finish or ("tool_use" if answer.calls else "end_turn")


def _input_usage(tokens: Tokens) -> Json:
    return {
        "input_tokens": tokens.input - tokens.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": tokens.cached,
    }


def _event(kind: str, fields: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _packed({"type": kind, **fields}))


def _packed(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
