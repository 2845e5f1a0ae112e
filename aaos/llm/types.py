"""The values of a turn: what a provider is asked, what it answers, and the messages of a conversation.

Invariant: every message is immutable and has one byte form, so that a conversation is stored and joined without being
walked again. Must not know any provider's wire format, nor decide what may be called.

A conversation reads: the system message is `ModelRequest.system`; `messages` starts with the UserMessage made from the
role's template, then alternates AssistantMessage (the provider's answer) and a ToolResultMessage for each of its calls.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeVar, assert_never

from aaos.core.errors import InputError
from aaos.core.ids import AgentId, RoleName, SubtaskId
from aaos.core.role import Tier

Json = Any  # a decoded JSON value: tool arguments and schemas, checked by the tool's own schema
Param = str | int | tuple[str, ...]


class Stop(StrEnum):
    """Why an answer ended.

    ANSWER: `text` is the agent's answer and the agent finishes well. CALLS: the calls are to be made and their results
    appended. LIMIT: the provider ran into its own limit; the agent ends with a LimitError. REFUSED: the task cannot be
    done; the agent ends with a ProviderError of `text` and `remedy`, and nothing in `text` is a result.
    """

    ANSWER = "answer"
    CALLS = "calls"
    LIMIT = "limit"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AskedCall:
    """A tool call that an answer asks for. `id` is unique within the conversation.

    With an `error` it is not made: the model gave no arguments that could be read, and is told so in its result.
    """

    id: str
    tool: str
    args: Mapping[str, Json]
    error: str = ""


@dataclass(frozen=True, slots=True)
class SystemMessage:
    """The role's system prompt, when it is kept in the conversation."""

    text: str


@dataclass(frozen=True, slots=True)
class UserMessage:
    """The task in words: the role's template, expanded."""

    text: str


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """An earlier answer of the provider. `stop` and its `remedy` are kept when it was neither an answer nor calls;
    `carried` is what its provider wants back with it unchanged, such as signed reasoning: shown to nobody."""

    text: str
    calls: tuple[AskedCall, ...] = ()
    stop: Stop | None = None
    remedy: str = ""
    carried: str = ""


@dataclass(frozen=True, slots=True)
class ToolResultMessage:
    """The result of the call `call` (an AskedCall.id). `ok` is False for an error or a refusal, told in `text`;
    `truncated` says that `text` ends with a marker that tells how to get the rest."""

    call: str
    text: str
    ok: bool = True
    truncated: bool = False


Message = SystemMessage | UserMessage | AssistantMessage | ToolResultMessage


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool as a model is told of it; `parameters` is JSON Schema."""

    name: str
    summary: str
    parameters: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One turn to answer.

    `params` is the subtask's structured task, `inputs` the results of the subtasks it builds on, in the order of the
    plan; both come from the daemon's rows, never from a worker. `tools` are those that were granted. `size_bytes` is
    at least as much as the text that is sent, and grows from turn to turn by what is new. The answer may have
    `max_output_tokens`; 0 is as many as the model gives.
    """

    agent: AgentId
    role: RoleName
    params: Mapping[str, Param]
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]
    inputs: Mapping[SubtaskId, str] = field(default_factory=dict)
    size_bytes: int = 0
    max_output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What the turn cost, in the provider's own count of tokens; 0 for tier T0. `cached_tokens` are part of the input's
    and were read from the provider's prompt cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """What one model takes and costs; 0 is no bound, or no price. Prices are USD for a million tokens."""

    context_tokens: int = 0
    max_output_tokens: int = 0
    input_usd: float = 0.0
    cached_usd: float = 0.0
    output_usd: float = 0.0
    max_parallel: int = 8


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A finished answer. `calls` is empty unless `stop` is CALLS; `remedy` goes with REFUSED; `carried` as in
    AssistantMessage."""

    text: str
    calls: tuple[AskedCall, ...] = ()
    usage: Usage = Usage()
    stop: Stop = Stop.ANSWER
    remedy: str = ""
    carried: str = ""


OnText = Callable[[str], None]


class Provider(Protocol):
    """One model that answers turns. Everything it needs is in the request, so any turn can be asked again; what it
    keeps between turns (bytes already serialised, open connections) is a cache."""

    @property
    def name(self) -> str: ...
    @property
    def tier(self) -> Tier: ...
    @property
    def terms(self) -> ModelTerms: ...
    async def complete(self, request: ModelRequest, *, on_text: OnText | None = None) -> ModelAnswer:
        """Raises ProviderError when it could not answer at all (as against an answer that stops with REFUSED).

        `on_text` hears pieces of the answer's text as they come, for the operator only: nothing is decided by them.
        """


def to_bytes(message: Message) -> bytes:
    """The one byte form of a message: a JSON object."""
    document: dict[str, Json]
    match message:
        case SystemMessage(text):
            document = {"role": "system", "text": text}
        case UserMessage(text):
            document = {"role": "user", "text": text}
        case AssistantMessage(text, calls, stop, remedy, carried):
            document = {"role": "assistant", "text": text, "calls": [_call_document(call) for call in calls]}
            if stop is not None:
                document |= {"stop": stop.value, "remedy": remedy}
            document |= {"carried": carried} if carried else {}
        case ToolResultMessage(call, text, ok, truncated):
            document = {"role": "tool", "call": call, "text": text, "ok": ok, "truncated": truncated}
        case _:
            assert_never(message)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _call_document(call: AskedCall) -> dict[str, Json]:
    document: dict[str, Json] = {"id": call.id, "tool": call.tool, "args": dict(call.args)}
    return document | {"error": call.error} if call.error else document


def from_bytes(data: bytes) -> Message:
    """The inverse of to_bytes. Raises InputError for anything else."""
    try:
        document = json.loads(data)
        return _from_document(document)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        remedy = "the stored conversation is damaged: submit the goal again"
        raise InputError(f"not a message: {data[:80]!r}", remedy) from error


def _from_document(document: Json) -> Message:
    role: Literal["system", "user", "assistant", "tool"] = document["role"]
    match role:
        case "system":
            return SystemMessage(_typed(document["text"], str))
        case "user":
            return UserMessage(_typed(document["text"], str))
        case "assistant":
            stop = Stop(document["stop"]) if "stop" in document else None
            text, remedy = _typed(document["text"], str), _typed(document.get("remedy", ""), str)
            carried = _typed(document.get("carried", ""), str)
            return AssistantMessage(text, tuple(map(_call, document["calls"])), stop, remedy, carried)
        case "tool":
            call, text = _typed(document["call"], str), _typed(document["text"], str)
            return ToolResultMessage(call, text, _typed(document["ok"], bool), _typed(document["truncated"], bool))
        case _:
            raise ValueError(role)


def _call(document: Json) -> AskedCall:
    args: Mapping[str, Json] = _typed(document["args"], dict)
    tool, error = _typed(document["tool"], str), _typed(document.get("error", ""), str)
    return AskedCall(_typed(document["id"], str), tool, args, error)


T = TypeVar("T")


def _typed(value: Json, wanted: type[T]) -> T:
    if type(value) is not wanted:
        raise TypeError(f"{value!r} is not {wanted.__name__}")
    return value
