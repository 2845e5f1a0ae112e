"""A client that sees every byte: requests written by hand, answers read until the connection ends or goes quiet."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aaos.devprovider.server import ScriptedProvider

Json = Any  # a JSON value
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
QUIET_S = 0.3


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def ask(self, path: str = CHAT, *, goal: str = "the goal", **fields: Json) -> None:
        """Send a request."""
        body = {"model": "m", "messages": [{"role": "user", "content": goal}], "max_tokens": 9, **fields}
        self.post(path, json.dumps(body).encode())

    def post(self, path: str, body: bytes, *, headers: str = "") -> None:
        """Send a body."""
        head = f"POST {path} HTTP/1.1\r\nHost: h\r\nanthropic-version: 2023-06-01\r\n{headers}"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def head(self) -> str:
        """The head of the next answer."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def answer(self) -> tuple[str, bytes]:
        """The next answer that comes whole: head and body, put together from its chunks."""
        head = await self.head()
        if "transfer-encoding: chunked" not in head:
            return head, await self.reader.readexactly(int(head.partition("content-length: ")[2].split("\r\n")[0]))
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return head, body

    async def rest(self) -> bytes:
        """What comes until the other side closes."""
        return await self.reader.read()

    async def until_quiet(self) -> bytes:
        """What comes until nothing more does, on a connection that stays open."""
        data = b""
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    piece = await self.reader.read(65_536)
            except TimeoutError:
                return data
            assert piece, "the connection was closed"
            data += piece


@asynccontextmanager
async def connected(provider: ScriptedProvider) -> AsyncIterator[Raw]:
    """A connection to the provider."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(provider.url.rpartition(":")[2]))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def playing(script: str) -> AsyncIterator[tuple[ScriptedProvider, Raw]]:
    """A script being played, and one connection to it."""
    async with asyncio.timeout(30), ScriptedProvider(script) as provider, connected(provider) as raw:
        yield provider, raw
