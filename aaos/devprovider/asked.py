"""What a client asked, the same for both wire formats: texts, tool results, turn, and how it wants its answer.

Invariant: a request that the documented formats do not allow raises InputError, as the real servers answer it with 400:
above all, every tool call of an answer has its result right after it, and every result its call.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aaos.core.errors import InputError
from aaos.core.text import quoted

Json = Any  # a decoded JSON value, looked at with isinstance


class Wire(StrEnum):
    """The wire format: OpenAI's chat completions, or Anthropic's messages."""

    CHAT = "chat"
    MESSAGES = "messages"


@dataclass(slots=True)
class Asked:
    """One request. `results` are the tool results after the last answer; times are of the monotonic clock."""

    wire: Wire
    model: str
    body: Mapping[str, Json]
    headers: Mapping[str, str]
    system: str = ""
    users: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    last: str = ""
    turn: int = 1
    is_stream: bool = False
    wants_usage: bool = True
    tools: tuple[str, ...] = ()
    size_bytes: int = 0
    arrived_s: float = 0.0
    answered_s: float = 0.0

    @property
    def goal(self) -> str:
        """The first user message."""
        return self.users[0] if self.users else ""

    @property
    def user(self) -> str:
        """The last user message."""
        return self.users[-1] if self.users else ""

    @property
    def messages(self) -> Sequence[Json]:
        """The messages as they came."""
        messages: Sequence[Json] = self.body["messages"]
        return messages

    @property
    def key(self) -> str:
        """The key that came with it, however it was sent."""
        return self.headers.get("x-api-key", "") or self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass(slots=True)
class _Told:
    """A conversation while it is read; `open` are the ids of calls that wait for their results."""

    system: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    last: str = ""
    turn: int = 1
    open: list[str] = field(default_factory=list)

    def answered(self, calls: list[str]) -> None:
        """An answer that asked for `calls`."""
        self.turn += 1
        self.results = []
        self.open = calls
        if len(set(calls)) != len(calls):
            raise InputError("two tool calls of one answer have the same id", "make the ids unique")

    def result(self, call: object, text: str) -> None:
        """The result of a call."""
        if call not in self.open:
            raise InputError(f"a result for {quoted(call)}, which no call before it has", "pair results with calls")
        self.open.remove(str(call))
        self.results.append(text)
        self.last = text

    def user(self, text: str) -> None:
        """A message of the user."""
        self.users.append(text)
        self.last = text

    def settled(self) -> None:
        """Before anything but a result: no call may be open."""
        if self.open:
            raise InputError(f"no result for the call {quoted(self.open[0])}", "answer every call right after it")


def read_chat(body: Json, headers: Mapping[str, str]) -> Asked:
    """A request for a chat completion. Raises InputError."""
    model, messages = _essentials(body)
    told = _Told()
    for message in messages:
        _chat_message(message, told)
    told.settled()
    options = body.get("stream_options")
    is_stream = body.get("stream") is True
    wants_usage = not is_stream or (isinstance(options, dict) and options.get("include_usage") is True)
    tools = tuple(_named(tool.get("function")) for tool in _objects(body.get("tools") or [], "tools"))
    return _asked(Wire.CHAT, model, body, headers=headers, told=told, tools=tools, wants_usage=wants_usage)


def read_messages(body: Json, headers: Mapping[str, str]) -> Asked:
    """A request for a message. Raises InputError."""
    model, messages = _essentials(body)
    if not isinstance(body.get("max_tokens"), int):
        raise InputError("max_tokens: Field required", "send max_tokens")
    if "anthropic-version" not in headers:
        raise InputError("anthropic-version: header is required", "send the header anthropic-version: 2023-06-01")
    told = _Told(system=[_text(body.get("system", ""))])
    for message in messages:
        _messages_message(message, told)
    told.settled()
    tools = tuple(_named(tool) for tool in _objects(body.get("tools") or [], "tools"))
    return _asked(Wire.MESSAGES, model, body, headers=headers, told=told, tools=tools, wants_usage=True)


def _asked(
    wire: Wire,
    model: str,
    body: Mapping[str, Json],
    *,
    headers: Mapping[str, str],
    told: _Told,
    tools: tuple[str, ...],
    wants_usage: bool,
) -> Asked:
    return Asked(
        wire=wire,
        model=model,
        body=body,
        headers=headers,
        system="\n".join(told.system),
        users=tuple(told.users),
        results=tuple(told.results),
        last=told.last,
        turn=told.turn,
        is_stream=body.get("stream") is True,
        wants_usage=wants_usage,
        tools=tools,
    )


def _essentials(body: Json) -> tuple[str, Sequence[Mapping[str, Json]]]:
    if not isinstance(body, dict):
        raise InputError("the body is not a JSON object", "send a JSON object")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InputError("you must provide a model parameter", "send model")
    messages = _objects(body.get("messages"), "messages")
    if not messages:
        raise InputError("messages: at least one message is required", "send messages")
    return model, messages


def _chat_message(message: Mapping[str, Json], told: _Told) -> None:
    role = message.get("role")
    if role == "tool":
        told.result(message.get("tool_call_id"), _text(message.get("content")))
        return
    told.settled()
    match role:
        case "system" | "developer":
            told.system.append(_text(message.get("content")))
        case "user":
            told.user(_text(message.get("content")))
        case "assistant":
            calls = _objects(message.get("tool_calls") or [], "tool_calls")
            for call in calls:
                if not isinstance((call.get("function") or {}).get("arguments"), str):
                    raise InputError("tool_calls.function.arguments is not text", "send the arguments as JSON text")
            told.answered([str(call.get("id")) for call in calls])
        case _:
            raise InputError(f"messages: {quoted(role)} is not a role", "use system, user, assistant or tool")


def _messages_message(message: Mapping[str, Json], told: _Told) -> None:
    role, content = message.get("role"), message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else _objects(content, "content")
    match role:
        case "user":
            for block in (block for block in blocks if block.get("type") == "tool_result"):
                told.result(block.get("tool_use_id"), _text(block.get("content", "")))
            told.settled()
            if texts := [_text([block]) for block in blocks if block.get("type") == "text"]:
                told.user("\n".join(texts))
        case "assistant":
            told.settled()
            calls = [block for block in blocks if block.get("type") == "tool_use"]
            if not all(isinstance(call.get("input"), dict) for call in calls):
                raise InputError("tool_use.input: Input should be a valid dictionary", "send the input as an object")
            told.answered([str(call.get("id")) for call in calls])
        case _:
            raise InputError(f"messages: {quoted(role)} is not a role", "use user or assistant")


def _objects(value: Json, name: str) -> list[Mapping[str, Json]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(f"{name} is not a list of objects", f"send {name} as a list of objects")
    return value


def _text(content: Json) -> str:
    """The words of a content: text, null, or a list of blocks."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(_block_texts(_objects(content, "content")))


def _block_texts(blocks: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    for block in blocks:
        if block.get("type") == "text":
            text = block.get("text")
            if not isinstance(text, str):
                raise InputError("a text block has no text", "send its text")
            yield text


def _named(value: Json) -> str:
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        raise InputError("tools: a tool has no name", "send the tool's name")
    return name
