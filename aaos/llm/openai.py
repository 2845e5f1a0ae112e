"""Chat completions, the wire format of OpenAI and of the servers that follow it.

Invariant: one conversation gives the same bytes whenever it is sent, so that prompt caches hit; only a finish reason
ends an answer. Differences between servers are in `quirks`.
Source: platform.openai.com/docs/api-reference/chat and .../chat-streaming.
"""

import json
from collections.abc import Sequence
from typing import assert_never

from aaos.core.text import quoted
from aaos.llm.assembly import Assembly, Draft, usage_of
from aaos.llm.faults import stream_fault
from aaos.llm.types import (
    AskedCall,
    AssistantMessage,
    Json,
    Message,
    ModelRequest,
    Stop,
    SystemMessage,
    ToolResultMessage,
    ToolSchema,
    UserMessage,
)
from aaos.llm.wire import WireModel, dumped, malformed

_STOPS = {
    "stop": Stop.ANSWER,
    "tool_calls": Stop.CALLS,
    "function_call": Stop.CALLS,
    "length": Stop.LIMIT,
    "content_filter": Stop.REFUSED,
}


class ChatCompletions:
    """Implements `wire.Wire`."""

    path = "/chat/completions"

    def __init__(self, model: WireModel) -> None:
        self._model = model

    def headers(self, secret: str | None) -> list[tuple[bytes, bytes]]:
        """As Wire."""
        return [] if secret is None else [(b"authorization", b"Bearer " + secret.encode())]

    def head(self, request: ModelRequest) -> bytes:
        """As Wire; the system prompt is the first message."""
        quirks = self._model.quirks
        document: dict[str, Json] = {"model": self._model.model, "stream": self._model.is_streamed}
        if self._model.is_streamed and quirks.has_stream_usage:
            document["stream_options"] = {"include_usage": True}
        if request.tools:
            document["tools"] = [_function(tool) for tool in request.tools]
            document |= {"tool_choice": "auto"} if quirks.has_tool_choice else {}
            document |= {"parallel_tool_calls": True} if quirks.asks_parallel_tools else {}
        start = dumped(document)[:-1] + b',"messages":['
        return start + (dumped({"role": "system", "content": request.system}) if request.system else b"")

    def piece(self, messages: Sequence[Message]) -> bytes:
        """As Wire."""
        return b",".join(dumped(self._message(message)) for message in messages)

    def body(self, head: bytes, joined: bytearray, *, output_tokens: int) -> bytes:
        """As Wire."""
        limit = f',"{self._model.quirks.output_limit}":{output_tokens}' if output_tokens else ""
        comma = b"," if joined and not head.endswith(b"[") else b""
        return b"".join((head, comma, joined, f"]{limit}}}".encode()))

    def reader(self) -> "ChunkReader":
        """As Wire."""
        return ChunkReader(self._model)

    def _message(self, message: Message) -> Json:
        match message:
            case SystemMessage(text):
                return {"role": "system", "content": text}
            case UserMessage(text):
                return {"role": "user", "content": text}
            case AssistantMessage():
                return self._assistant(message)
            case ToolResultMessage(call, text, ok):
                return {"role": "tool", "tool_call_id": call, "content": text if ok else f"Error: {text}"}
            case _:
                assert_never(message)

    def _assistant(self, message: AssistantMessage) -> Json:
        document: dict[str, Json] = {"role": "assistant", "content": message.text}
        if message.calls:
            if not message.text and self._model.quirks.empty_content_is_null:
                document["content"] = None
            document["tool_calls"] = [_tool_call(call) for call in message.calls]
            document |= self._reasoning(message.carried)
        return document

    def _reasoning(self, carried: str) -> dict[str, Json]:
        """What this model thought before it asked for calls. Another's is not for it; but the field must be there."""
        if not self._model.quirks.wants_reasoning_back:
            return {}
        kept = json.loads(carried) if carried else {}
        if kept.get("by") == self._model.origin:
            return {kept["field"]: kept["text"]}
        return {self._model.quirks.reasoning_fields[0]: ""}


class ChunkReader:
    """Implements `wire.Reader`."""

    def __init__(self, model: WireModel) -> None:
        self.assembly = Assembly()
        self.is_done = False
        self._model = model
        self._slots: dict[int, Draft] = {}
        self._reasoning: list[str] = []
        self._reasoning_field = ""
        self._is_known = False  # whose answer it is

    def event(self, document: Json) -> None:
        """As Reader: one chunk."""
        self._read(document, "delta")

    def whole(self, document: Json) -> None:
        """As Reader."""
        self._read(document, "message")
        self.is_done = True

    def _read(self, document: Json, part: str) -> None:
        if not isinstance(document, dict):
            raise malformed("document", document)
        if document.get("error"):
            raise stream_fault(document["error"], self._model.provider, has_begun=self.assembly.has_begun)
        choices = document.get("choices") or []
        if not isinstance(choices, list):
            raise malformed("list of choices", choices)
        if choices and not self._is_known:
            self._model.check_echo(document.get("model"))
            self._is_known = True
        for choice in choices[:1] if self.assembly.stop is None else ():
            self._choice(choice, part)
        if isinstance(document.get("usage"), dict):
            self._usage(document["usage"])

    def _choice(self, choice: Json, part: str) -> None:
        if not isinstance(choice, dict) or choice.get("index", 0) != 0:
            raise malformed("choice", choice)
        delta = choice.get(part) or {}
        if not isinstance(delta, dict):
            raise malformed(part, delta)
        self._content(delta)
        calls = delta.get("tool_calls") or []
        if not isinstance(calls, list):
            raise malformed("list of calls", calls)
        for place, call in enumerate(calls):
            self._call(call, place if part == "message" else None)
        if choice.get("finish_reason"):  # some servers send "" until the end
            self._finish(choice["finish_reason"])

    def _content(self, delta: dict[str, Json]) -> None:
        for field in self._model.quirks.reasoning_fields:
            if isinstance(delta.get(field), str) and delta[field]:
                self.assembly.begin()
                self._reason(field, delta[field])
                break
        for field in ("content", "refusal"):
            text = delta.get(field)
            if text is not None and not isinstance(text, str):
                raise malformed(field, text)
            if text:
                self.assembly.add_text(text)

    def _reason(self, field: str, piece: str) -> None:
        if self._model.quirks.wants_reasoning_back:
            self._reasoning_field = field
            self._reasoning.append(piece)

    def _call(self, call: Json, place: int | None) -> None:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise malformed("call", call)
        draft = self._slot(call, place)
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(name, str):
            draft.add_name(name)
        if isinstance(arguments, str):
            draft.add_arguments(arguments)
        elif arguments is not None:
            draft.wrong = f"they are {quoted(arguments)}, not JSON in a string"

    def _slot(self, call: dict[str, Json], place: int | None) -> Draft:
        """By index; a new id at a known index is a new call, since some servers number every call 0."""
        index, call_id = call.get("index", place), call.get("id")
        if type(index) is not int:
            index = len(self._slots) if call_id or not self._slots else max(self._slots)
        draft = self._slots.get(index)
        if draft is None or (call_id and draft.id and call_id != draft.id):
            draft = self._slots[index] = self.assembly.add_call()
        if isinstance(call_id, str) and call_id:
            draft.id = call_id
        return draft

    def _finish(self, reason: Json) -> None:
        stop = _STOPS.get(reason) if isinstance(reason, str) else None
        if stop is None:
            raise stream_fault({"message": f"it ended with {quoted(reason)}"}, self._model.provider, has_begun=True)
        self.assembly.stop = stop
        if stop is Stop.REFUSED:
            self.assembly.remedy = "the provider's filter withheld the answer: say it differently, or use another model"
        if self._reasoning:
            kept = {"by": self._model.origin, "field": self._reasoning_field, "text": "".join(self._reasoning)}
            self.assembly.carried = json.dumps(kept)

    def _usage(self, usage: dict[str, Json]) -> None:
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else usage.get("prompt_cache_hit_tokens")
        self.assembly.usage = usage_of(usage.get("prompt_tokens"), usage.get("completion_tokens"), cached)


def _function(tool: ToolSchema) -> Json:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.summary, "parameters": dict(tool.parameters)},
    }


def _tool_call(call: AskedCall) -> Json:
    arguments = json.dumps(dict(call.args), ensure_ascii=False, separators=(",", ":"))
    return {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": arguments}}
