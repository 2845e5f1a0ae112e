"""Our providers ask servers that do not keep to HTTP: every one is an error in its time, and nothing grows."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Callable

import pytest

from aaos.core.errors import AaosError
from aaos.core.ids import AgentId, RoleName
from aaos.llm.types import ModelRequest, UserMessage
from tests.provider.test_models import made

OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
HASTE = "connect_s: 0.3, first_token_s: 0.3, idle_s: 0.3, total_s: 2"
MIB = 2**20

Play = Callable[[], AsyncIterator[bytes]]


def said(*pieces: bytes) -> Play:
    """A server that says this and closes."""

    async def play() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return play


def endless(head: bytes, piece: bytes) -> Play:
    """A server that never ends."""

    async def play() -> AsyncIterator[bytes]:
        yield head
        while True:
            yield piece

    return play


def held(data: bytes) -> Play:
    """A server that says this and then nothing, without closing."""

    async def play() -> AsyncIterator[bytes]:
        yield data
        await asyncio.sleep(60)

    return play


SERVERS = {
    "closes at once": said(),
    "ssh": said(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "http 0.9": said(b"data: [DONE]\n\n"),
    "tls": said(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64),
    "no status": said(b"HTTP/1.1 \r\n\r\n"),
    "status of five digits": said(b"HTTP/1.1 20000 OK\r\n\r\n"),
    "switching protocols": said(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
    "early hints for ever": endless(b"", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 100),
    "a header without end": endless(OK + b"x: ", b"y" * 65_536),
    "headers without end": endless(OK, b"x: y\r\n" * 10_000),
    "two lengths": said(OK + b"content-length: 5\r\ncontent-length: 9\r\n\r\nhello"),
    "a negative length": said(OK + b"content-length: -1\r\n\r\nhello"),
    "a length of five thousand digits": held(OK + b"content-length: " + b"9" * 5000 + b"\r\n\r\nhello"),
    "a length that is not kept": said(OK + b"content-length: 99999\r\n\r\ndata: x"),
    "a length that never comes": held(OK + b"content-length: 99999\r\n\r\ndata: x"),
    "a chunk of 2^64": said(OK + b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx"),
    "a chunk of no number": said(OK + b"transfer-encoding: chunked\r\n\r\nxyz\r\nx"),
    "chunks of one byte": endless(OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n:\r\n" * 1000),
    "a coding nobody asked for": said(OK + b"transfer-encoding: gzip\r\n\r\nx"),
    "a body without end": endless(OK + b"\r\n", b": nothing\n\n" * 5000),
    "a line without end": endless(OK + b"\r\n", b"x" * 65_536),
    "events without end": endless(OK + b"\r\n", b'data: {"choices": []}\n\n' * 3000),
    "an error without end": endless(b"HTTP/1.1 400 No\r\n\r\n", b"x" * 65_536),
    "holds the connection": held(b""),
    "half a head": held(OK),
}


async def refusal(play: Play) -> AaosError:
    """How a turn ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            async for piece in play():
                writer.write(piece)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    provider, _ = made(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "openai", deadlines=HASTE)
    try:
        with pytest.raises(AaosError) as caught:
            await provider.complete(ModelRequest(AgentId("a"), RoleName("r"), {}, "", (UserMessage("x"),), ()))
        return caught.value
    finally:
        await provider.close()
        server.close()


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_does_not_keep_to_http_is_an_error_in_time(name: str) -> None:
    """H-LLM-02, H-LLM-11, H-NET-10"""

    async def check() -> AaosError:
        async with asyncio.timeout(20):
            return await refusal(SERVERS[name])

    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = asyncio.run(check())
    assert error.remedy
    assert len(error.message) < 600
    assert error.message.isprintable()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) * 1024
    assert grown < 96 * MIB, "what is kept of an answer is bounded"
