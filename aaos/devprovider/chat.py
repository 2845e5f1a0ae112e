"""Answers as chat completions, whole or as chunks.

Source: OpenAI's API reference, "The chat completion object" and "The chat completion chunk object".
"""

import json
from collections.abc import Iterator
from typing import Any

from aaos.devprovider.answer import Answer, AnswerCall, Tokens, pieces_of

Json = Any  # a JSON value on its way out
DONE = b"data: [DONE]\n\n"


def whole(answer: Answer, *, now_s: int) -> bytes:
    """The chat completion object."""
    message: Json = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.calls:
        message["tool_calls"] = [_call(call, call.arguments) for call in answer.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    document: Json = {**_head(answer, "chat.completion", now_s=now_s), "choices": [choice]}
    if answer.tokens is not None:
        document["usage"] = _usage(answer.tokens)
    return _packed(document)


def events(answer: Answer, *, now_s: int, with_usage: bool) -> Iterator[bytes]:
    """The chunks as server-sent events, ending with [DONE]."""
    head = _head(answer, "chat.completion.chunk", now_s=now_s)
    rest: Json = {"usage": None} if with_usage else {}
    for delta in _deltas(answer):
        yield _event({**head, "choices": [_choice(delta, None)], **rest})
    yield _event({**head, "choices": [_choice({}, _finish(answer))], **rest})
    if with_usage and answer.tokens is not None:
        yield _event({**head, "choices": [], "usage": _usage(answer.tokens)})
    yield DONE


def error(status: int, message: str) -> bytes:
    """The error object that goes with a status."""
    kind, code = _ERRORS.get(status, ("server_error", None) if status >= 500 else ("invalid_request_error", None))
    return _packed({"error": {"message": message, "type": kind, "param": None, "code": code}})


def error_event(message: str) -> bytes:
    """An error that comes in the middle of a stream."""
    return b"data: " + error(500, message) + b"\n\n"


def models(names: tuple[str, ...]) -> bytes:
    """The list of models."""
    rows = [{"id": name, "object": "model", "created": 0, "owned_by": "script"} for name in names]
    return _packed({"object": "list", "data": rows})


_ERRORS: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def _head(answer: Answer, kind: str, *, now_s: int) -> Json:
    return {
        "id": answer.id.replace("_", "-", 1),
        "object": kind,
        "created": now_s,
        "model": answer.model,
        "system_fingerprint": "fp_script",
    }


def _deltas(answer: Answer) -> Iterator[Json]:
    yield {"role": "assistant", "content": "" if answer.text or not answer.calls else None}
    for piece in pieces_of(answer.text, answer.pieces):
        yield {"content": piece}
    for index, call in enumerate(answer.calls):
        yield {"tool_calls": [{"index": index, **_call(call, "")}]}
        for piece in pieces_of(call.arguments, answer.pieces):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _call(call: AnswerCall, arguments: str) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": arguments}}


def _choice(delta: Json, finish: str | None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _finish(answer: Answer) -> str:
    return answer.finish or ("tool_calls" if answer.calls else "stop")


def _usage(tokens: Tokens) -> Json:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _event(document: Json) -> bytes:
    return b"data: " + _packed(document) + b"\n\n"


def _packed(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
