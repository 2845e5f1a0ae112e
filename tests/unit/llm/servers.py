"""A provider whose server is a function: answers as bytes, cut as a test likes, and what it was asked."""

import asyncio
import json
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import httpx

from aaos.core.ids import AgentId, RoleName
from aaos.core.role import Tier
from aaos.llm.http import Deadlines
from aaos.llm.keys import Key, Keys
from aaos.llm.providers import Chances, HttpProvider, Waiting
from aaos.llm.quirks import QUIRKS, Kind
from aaos.llm.table import ModelEntry, ProviderEntry
from aaos.llm.types import (
    AskedCall,
    AssistantMessage,
    Message,
    ModelAnswer,
    ModelRequest,
    ModelTerms,
    OnText,
    ToolResultMessage,
    ToolSchema,
    UserMessage,
)
from aaos.llm.wire import WireModel

Json = Any  # a JSON value
SECRET = "sk-live-0123456789abcdef/XYZ"
TOOL = ToolSchema("file_read", "reads a file", {"type": "object", "properties": {"path": {"type": "string"}}})
CALL = AskedCall("a-1-1-0", "file_read", {"path": "/a"})
CONVERSATION: tuple[Message, ...] = (
    UserMessage("read /a"),
    AssistantMessage("I look", (CALL,)),
    ToolResultMessage("a-1-1-0", "content"),
)

Handler = Callable[[httpx.Request], httpx.Response | Exception]


class Pieces(httpx.AsyncByteStream):
    """A body in pieces; an exception among them is raised, a number waited for."""

    def __init__(self, pieces: Iterable[bytes | Exception | float]) -> None:
        self.pieces = list(pieces)
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            match piece:
                case Exception():
                    raise piece
                case float():
                    await asyncio.sleep(piece)
                case bytes():
                    yield piece

    async def aclose(self) -> None:
        """As the real one."""
        self.is_closed = True


def event(document: Json, name: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {document if isinstance(document, str) else json.dumps(document)}\n\n".encode()


def chunk(delta: Json | None = None, finish: str | None = None, **fields: Json) -> bytes:
    """One chunk of a chat completion."""
    return event({"model": "m", "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **fields})


def call(index: int | None, arguments: str, name: str | None = None, id: str | None = None) -> Json:  # noqa: A002  # its name there
    """A delta with one piece of one tool call."""
    function = {"arguments": arguments} | ({"name": name} if name else {})
    place = {} if index is None else {"index": index}
    return {"tool_calls": [{**place, "function": function, **({"id": id} if id else {})}]}


DONE = event("[DONE]")


def streamed(*pieces: bytes | Exception | float, kind: str = "text/event-stream") -> httpx.Response:
    """A streamed answer."""
    return httpx.Response(200, headers={"content-type": kind}, stream=Pieces(pieces))


def answered(document: Json, status: int = 200, **headers: str) -> httpx.Response:
    """A JSON answer."""
    return httpx.Response(
        status, headers={"content-type": "application/json"} | headers, stream=Pieces([json.dumps(document).encode()])
    )


class Scene:
    """A provider, what its server saw, and for how long it waited."""

    def __init__(
        self,
        respond: Sequence[httpx.Response | Exception] | Handler,
        *,
        kind: Kind = Kind.OPENAI,
        deadlines: Deadlines | None = None,
        keys: Keys | None = None,
        terms: ModelTerms | None = None,
        url: str = "https://models.example/v1",
        slept: list[float] | None = None,
    ) -> None:
        self.requests: list[httpx.Request] = []
        self.waits: list[Waiting] = []
        self._respond = respond if callable(respond) else list(respond)
        place = ProviderEntry("cloud", kind, url, "cloud", deadlines or Deadlines())
        self.provider = HttpProvider(
            ModelEntry("big", place, "m", Tier.T2, terms or ModelTerms()),
            Keys([Key("cloud", SECRET)]) if keys is None else keys,
            connections=httpx.MockTransport(self._handle),
            on_wait=lambda _, waiting: self.waits.append(waiting),
            chances=Chances(sleep=_counting([] if slept is None else slept), spread=lambda: 0.0),
        )

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        response = self._respond(request) if callable(self._respond) else self._respond.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    @property
    def bodies(self) -> list[Json]:
        """What was asked, as JSON."""
        return [json.loads(request.content) for request in self.requests if request.content]

    def ask(self, request: ModelRequest | None = None, *, on_text: OnText | None = None) -> ModelAnswer:
        """One turn."""
        return in_no_time(self.provider.complete(request or asking(), on_text=on_text))


class _Jumping(selectors.SelectSelector):
    """A selector for which waiting is a jump of the clock."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits and no timer is set"
        self.now_s += timeout
        return super().select(0)


T = TypeVar("T")


def in_no_time(work: Coroutine[Any, Any, T]) -> T:
    """Runs it on an event loop whose clock jumps to the next timer, so that deadlines are exact and nothing waits."""

    def loop() -> asyncio.AbstractEventLoop:
        selector = _Jumping()
        made = asyncio.SelectorEventLoop(selector)
        made.time = lambda: selector.now_s  # type: ignore[method-assign]  # the one source of time of the loop
        return made

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(work)


def _counting(slept: list[float]) -> Callable[[float], Coroutine[Any, Any, None]]:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return sleep


def asking(messages: tuple[Message, ...] = (UserMessage("hello"),), *, agent: str = "a-1") -> ModelRequest:
    """A request with one tool."""
    return ModelRequest(AgentId(agent), RoleName("analyzer"), {}, "be brief", messages, (TOOL,))


def wire_model(kind: Kind = Kind.OPENAI, *, answers_as: tuple[str, ...] = ()) -> WireModel:
    """The model `m` of a server of this kind."""
    return WireModel("cloud", "m", QUIRKS[kind], answers_as)
