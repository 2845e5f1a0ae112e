"""Messages, the wire format of Anthropic.

Invariant: one conversation gives the same bytes whenever it is sent, but for the mark behind which nothing is cached;
only a stop reason ends an answer. Thinking is kept as it came and goes back where it stood, since it is signed.
Source: platform.claude.com/docs/en/api/messages, .../build-with-claude/streaming, .../prompt-caching, .../thinking.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
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

VERSION = b"2023-06-01"
DEFAULT_OUTPUT_TOKENS = 8_192  # `max_tokens` must be there
NO_TEXT = "(no text)"  # empty blocks are refused

_CACHED: dict[str, Json] = {"cache_control": {"type": "ephemeral"}}
_MARK = b',"cache_control":{"type":"ephemeral"}'
_END = b"}]}"  # of every message: its last block, its blocks, itself
_STOPS = {
    "end_turn": Stop.ANSWER,
    "stop_sequence": Stop.ANSWER,
    "tool_use": Stop.CALLS,
    "max_tokens": Stop.LIMIT,
    "model_context_window_exceeded": Stop.LIMIT,
    "refusal": Stop.REFUSED,
}
_THINKING = ("thinking", "redacted_thinking")


class Messages:
    """Implements `wire.Wire`."""

    path = "/messages"

    def __init__(self, model: WireModel) -> None:
        self._model = model

    def headers(self, secret: str | None) -> list[tuple[bytes, bytes]]:
        """As Wire."""
        version = [(b"anthropic-version", VERSION)]
        return version if secret is None else [*version, (b"x-api-key", secret.encode())]

    def head(self, request: ModelRequest) -> bytes:
        """As Wire. The cache covers tools and system prompt, in this order."""
        document: dict[str, Json] = {"model": self._model.model, "stream": self._model.is_streamed}
        if request.tools:
            document["tools"] = [_tool(tool) for tool in request.tools]
        if request.system:
            document["system"] = [{"type": "text", "text": request.system, **_CACHED}]
        return dumped(document)[:-1] + b',"messages":['

    def piece(self, messages: Sequence[Message]) -> bytes:
        """As Wire: the results of one answer's calls are one message."""
        return b",".join(dumped(document) for document in self._documents(messages))

    def body(self, head: bytes, joined: bytearray, *, output_tokens: int) -> bytes:
        """As Wire: the last block is marked, so that the next turn finds all of this in the cache."""
        rest = f'],"max_tokens":{output_tokens or DEFAULT_OUTPUT_TOKENS}}}'.encode()
        marked = (memoryview(joined)[: -len(_END)], _MARK, _END) if joined else ()
        return b"".join((head, *marked, rest))

    def reader(self) -> "EventBlocks":
        """As Wire."""
        return EventBlocks(self._model)

    def _documents(self, messages: Sequence[Message]) -> Iterator[Json]:
        for is_result, group in groupby(messages, key=lambda message: isinstance(message, ToolResultMessage)):
            if is_result:
                yield {"role": "user", "content": [_result(one) for one in group if isinstance(one, ToolResultMessage)]}
            else:
                yield from (self._document(message) for message in group)

    def _document(self, message: Message) -> Json:
        match message:
            case SystemMessage(text) | UserMessage(text):
                return {"role": "user", "content": [_text(text)]}
            case AssistantMessage():
                return {"role": "assistant", "content": list(self._blocks(message)) or [_text("")]}
            case ToolResultMessage():
                return {"role": "user", "content": [_result(message)]}
            case _:
                assert_never(message)

    def _blocks(self, message: AssistantMessage) -> Iterator[Json]:
        """In the order in which they came, when this provider sent them."""
        at, left = 0, list(message.calls)
        for kept in self._kept(message):
            match kept:
                case {"text": int(length)}:
                    yield _text(message.text[at : at + length])
                    at += length
                case {"call": _} if left:
                    yield _tool_use(left.pop(0))
                case {"type": str()}:
                    yield kept
        if message.text[at:]:
            yield _text(message.text[at:])
        yield from map(_tool_use, left)

    def _kept(self, message: AssistantMessage) -> list[Json]:
        kept = json.loads(message.carried) if message.carried else {}
        blocks: list[Json] = kept.get("blocks", []) if kept.get("by") == self._model.origin else []
        return blocks


@dataclass(slots=True)
class _Block:
    kind: str
    draft: Draft | None = None
    kept: dict[str, list[str]] = field(default_factory=dict)
    length: int = 0


class EventBlocks:
    """Implements `wire.Reader`."""

    def __init__(self, model: WireModel) -> None:
        self.assembly = Assembly()
        self.is_done = False
        self._model = model
        self._blocks: dict[int, _Block] = {}
        self._counts: dict[str, Json] = {}

    def event(self, document: Json) -> None:
        """As Reader. Events of unknown types are left out, as the documents ask for."""
        match document:
            case {"type": "message_start", "message": dict(message)}:
                self._model.check_echo(message.get("model"))
                self._usage(message.get("usage"))
            case {"type": "content_block_start", "index": int(index), "content_block": dict(block)}:
                self._start(index, block)
            case {"type": "content_block_delta", "index": int(index), "delta": dict(delta)}:
                self._delta(index, delta)
            case {"type": "message_delta", "delta": dict(delta)}:
                self._usage(document.get("usage"))
                self._finish(delta.get("stop_reason"))
            case {"type": "message_stop"}:
                self.is_done = True
            case {"type": "error"}:
                raise stream_fault(document.get("error"), self._model.provider, has_begun=self.assembly.has_begun)
            case {"type": "content_block_stop" | "ping"}:
                pass
            case {"type": str(kind)} if kind not in _KNOWN:
                pass
            case _:
                raise malformed("event", document)

    def whole(self, document: Json) -> None:
        """As Reader."""
        if not isinstance(document, dict) or document.get("error") or not isinstance(document.get("content"), list):
            error = document.get("error") if isinstance(document, dict) else None
            raise stream_fault(error, self._model.provider, has_begun=False) if error else malformed("answer", document)
        self._model.check_echo(document.get("model"))
        for index, block in enumerate(document["content"]):
            if not isinstance(block, dict):
                raise malformed("block", block)
            self._start(index, block)
        self._usage(document.get("usage"))
        self._finish(document.get("stop_reason"))
        self.is_done = True

    def _start(self, index: int, block: dict[str, Json]) -> None:
        kind = block.get("type")
        if index in self._blocks or not isinstance(kind, str):
            raise malformed("block", block)
        started = self._blocks[index] = _Block(kind)
        if kind == "text":
            self._text(started, block.get("text"))
        elif kind == "tool_use":
            started.draft = self._call(block)
        elif kind in _THINKING:
            self.assembly.begin()
            started.kept = {key: [value] for key, value in block.items() if isinstance(value, str)}

    def _call(self, block: dict[str, Json]) -> Draft:
        draft = self.assembly.add_call()
        name, given, call_id = block.get("name"), block.get("input"), block.get("id")
        draft.id = call_id if isinstance(call_id, str) else ""
        if isinstance(name, str):
            draft.add_name(name)
        if given:  # an answer that was not streamed
            draft.add_arguments(json.dumps(given))
        return draft

    def _delta(self, index: int, delta: dict[str, Json]) -> None:
        block = self._blocks.get(index)
        if block is None:
            raise malformed("place of a delta", index)
        match delta:
            case {"type": "text_delta", "text": str(text)} if block.kind == "text":
                self._text(block, text)
            case {"type": "input_json_delta", "partial_json": str(piece)}:
                if block.draft is not None:
                    block.draft.add_arguments(piece)
            case {"type": "thinking_delta", "thinking": str(piece)}:
                block.kept.setdefault("thinking", []).append(piece)
            case {"type": "signature_delta", "signature": str(piece)}:
                block.kept.setdefault("signature", []).append(piece)
            case {"type": "text_delta" | "input_json_delta" | "thinking_delta" | "signature_delta"}:
                raise malformed("delta", delta)

    def _text(self, block: _Block, text: Json) -> None:
        if not isinstance(text, str):
            raise malformed("text", text)
        block.length += len(text)
        self.assembly.add_text(text)

    def _usage(self, usage: Json) -> None:
        """Counts are cumulative: later ones replace earlier ones. What was cached is not among `input_tokens`."""
        if not isinstance(usage, dict):
            return
        self._counts |= {key: value for key, value in usage.items() if value is not None}
        parts = [self._counts.get(key, 0) for key in ("cache_creation_input_tokens", "cache_read_input_tokens")]
        parts.append(self._counts.get("input_tokens"))
        total = sum(parts) if all(type(part) is int and part >= 0 for part in parts) else None
        self.assembly.usage = usage_of(total, self._counts.get("output_tokens"), parts[1])

    def _finish(self, reason: Json) -> None:
        if reason is None:
            return
        stop = _STOPS.get(reason) if isinstance(reason, str) else None
        if stop is None:
            raise stream_fault({"message": f"it ended with {quoted(reason)}"}, self._model.provider, has_begun=True)
        self.assembly.stop = stop
        if stop is Stop.REFUSED:
            self.assembly.remedy = "the model declined: say it differently, or use another model"
        if any(block.kind in _THINKING for block in self._blocks.values()):
            kept = {"by": self._model.origin, "blocks": [_kept(self._blocks[at]) for at in sorted(self._blocks)]}
            self.assembly.carried = json.dumps(kept)


_KNOWN = {"message_start", "content_block_start", "content_block_delta", "message_delta", "error"}


def _kept(block: _Block) -> Json:
    if block.kind == "text":
        return {"text": block.length}
    return {"call": True} if block.draft is not None else {key: "".join(kept) for key, kept in block.kept.items()}


def _text(text: str) -> Json:
    return {"type": "text", "text": text if text.strip() else NO_TEXT}


def _tool_use(call: AskedCall) -> Json:
    return {"type": "tool_use", "id": call.id, "name": call.tool, "input": dict(call.args)}


def _result(message: ToolResultMessage) -> Json:
    document: dict[str, Json] = {"type": "tool_result", "tool_use_id": message.call}
    document |= {} if message.ok else {"is_error": True}
    return document | {"content": [_text(message.text)]}


def _tool(tool: ToolSchema) -> Json:
    return {"name": tool.name, "description": tool.summary, "input_schema": dict(tool.parameters)}
