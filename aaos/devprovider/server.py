"""The server: connections on loopback, each a series of requests that the script answers.

Invariant: it listens on 127.0.0.1 only; leaving the context ends every connection and every pause. A client that
breaks off, or sends nonsense, costs its own connection and nothing else.
"""

import asyncio
import itertools
import json
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Self

from aaos.core.errors import InputError
from aaos.devprovider.asked import Asked, Wire, read_chat, read_messages
from aaos.devprovider.choice import Chooser
from aaos.devprovider.door import HOST, Door
from aaos.devprovider.reply import Reply, listing, refusal, reply
from aaos.devprovider.requests import BUFFER_BYTES, Head, read_body, read_head
from aaos.devprovider.script import Hang, Script, read_script
from aaos.devprovider.sending import send

WIRES = {
    "/v1/chat/completions": (Wire.CHAT, read_chat),
    "/chat/completions": (Wire.CHAT, read_chat),
    "/v1/messages": (Wire.MESSAGES, read_messages),
}
LISTINGS = ("/v1/models", "/models")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

OnAnswer = Callable[[Asked | None, Reply], None]


class ScriptedProvider:
    """`async with ScriptedProvider(script) as provider`: then `provider.url` answers, and `provider.requests` tells
    what was asked, the newest `keep` of them. `script` may be given as YAML text."""

    def __init__(
        self, script: Script | str, *, port: int = 0, keep: int = 10_000, on_answer: OnAnswer | None = None
    ) -> None:
        read = read_script(script.encode(), "the script") if isinstance(script, str) else script
        first = read.steps[0]
        self._is_shut_first = first.when is None and first.hang is Hang.CONNECT
        self._shut_first_s = first.delay_s
        steps = read.steps[1:] if self._is_shut_first else read.steps
        self._script = read.model_copy(update={"steps": steps})
        self._chooser = Chooser(self._script)
        self._numbers = itertools.count(1)
        self._port = port
        self._on_answer = on_answer
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._door: Door
        self.requests: deque[Asked] = deque(maxlen=keep)

    @property
    def url(self) -> str:
        """Where it listens, without a path: what Anthropic clients call the base; OpenAI's add /v1."""
        return f"http://{HOST}:{self._door.port}"

    async def __aenter__(self) -> Self:
        self._door = Door(self._port)
        await self._group.__aenter__()
        if self._is_shut_first:
            self._shut(self._shut_first_s)
        self._spawn(self._accept())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)
        self._door.close()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        while True:
            self._spawn(self._serve(await self._door.accept()))

    def _shut(self, seconds: float) -> None:
        """Nobody connects for that time; 0 is for good."""
        self._door.shut()
        if seconds:
            self._spawn(self._open_after(seconds))

    async def _open_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._door.open()

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=BUFFER_BYTES)
        try:
            while await self._exchange(reader, writer):
                pass
        except OSError:
            pass  # the client broke off
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection stays open."""
        try:
            head = await read_head(reader)
            if head is None:
                return False
            if "expect" in head.headers:
                writer.write(CONTINUE)
            body = await read_body(reader, head)
        except InputError as error:
            return await self._send(refusal(400, error.message, wire=None), writer, reader, asked=None)
        arrived_s = time.monotonic()
        asked, answer = self._answer(head, body)
        if asked is not None:
            asked.arrived_s = arrived_s
            self.requests.append(asked)
        return await self._send(answer, writer, reader, asked=asked) and not head.is_last

    def _answer(self, head: Head, body: bytes) -> tuple[Asked | None, Reply]:
        if head.path in LISTINGS and head.method == "GET":
            return None, listing(self._script.models)
        if head.path not in WIRES:
            return None, refusal(404, f"no such path: {head.path}", wire=None)
        wire, read = WIRES[head.path]
        if head.method != "POST":
            return None, refusal(405, f"{head.method} is not allowed here", wire=wire)
        try:
            asked = read(json.loads(body), head.headers)
        except InputError as error:
            return None, refusal(400, error.message, wire=wire)
        except (ValueError, RecursionError) as error:
            return None, refusal(400, f"the body is not JSON: {error}", wire=wire)
        asked.size_bytes = len(body)
        step = self._chooser.choose(asked)
        if step is None:
            message = f"the script has no step for turn {asked.turn} of this conversation"
            return asked, refusal(400, message, wire=wire)
        return asked, reply(step, asked, number=next(self._numbers), now_s=int(time.time()))

    async def _send(
        self, answer: Reply, writer: asyncio.StreamWriter, reader: asyncio.StreamReader, *, asked: Asked | None
    ) -> bool:
        """Whether it came to its end."""
        if answer.hang is Hang.CONNECT:
            self._shut(answer.delay_s)
            return False
        done = await send(answer, writer, reader)
        if asked is not None:
            asked.answered_s = time.monotonic()
        if self._on_answer is not None:
            self._on_answer(asked, answer)
        await writer.drain()
        return done
