"""Servers and programs that do their worst at a secret's door: what they break is their own connection, and no other.

The egress is the product's, confined, and speaks TLS; beside each hostile exchange another cell has a connection.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from aaos.broker.egress import Egress
from aaos.core.cell import CellRequest, HostPort, PlacedSecret
from aaos.core.config import EgressSettings, Settings
from aaos.core.events import EventKind
from aaos.core.ports import Header
from aaos.llm.keys import Key
from tests.kernel.cellside import Client, Inside
from tests.kernel.certificates import Authority, authority
from tests.kernel.harness import Audit
from tests.kernel.networks import PUBLIC, own_network
from tests.kernel.webserver import egress, started
from tests.unit.core.test_cell import _request

HOST, SECRET = "git.example", "tok-12345678"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "a length beside chunks": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n0\r\n\r\n",
    "a longer length beside chunks": OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "a length that is the secret": OK + b"Content-Length: 12345678\r\n\r\nabc",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\nab",
    "a length below nothing": OK + b"Content-Length: -1\r\n\r\nab",
    "a length without end": OK + b"Content-Length: " + b"3" * 5_000 + b"\r\n\r\nab",
    "more than the length": OK + b"Content-Length: 1\r\n\r\nab" + OK,
    "less than the length": OK + b"Content-Length: 10\r\n\r\nab",
    "trailers": CHUNKED + b"1\r\na\r\n0\r\nContent-Length: 7\r\nX-Token: tok-12345678\r\n\r\n",
    "trailers that are none": CHUNKED + b"1\r\na\r\n0\r\n tok-12345678 \0\r\n\r\n",
    "a chunk without end": CHUNKED + b"f" * 19 + b"\r\nab",
    "a chunk of odd size": CHUNKED + b"-1\r\nab\r\n0\r\n\r\n",
    "huge chunk extensions": CHUNKED + b"1;" + b"x" * 200_000 + b"\r\na\r\n0\r\n\r\n",
    "many chunk extensions": CHUNKED + b"1;x=y\r\na\r\n" * 5_000 + b"0;z\r\n\r\n",
    "an empty chunk list": CHUNKED,
    "another coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two codings": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "interim answers": b"HTTP/1.1 103 Early\r\nContent-Length: 9\r\n\r\n" * 3 + OK + b"\r\nab",
    "interim answers without end": b"HTTP/1.1 102 Wait\r\n\r\n" * 5_000,
    "another protocol": b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nab",
    "a tunnel": b"HTTP/1.1 200 OK\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nab",
    "204 with a body": b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nabcde",
    "204 with chunks": b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "304 with a body": b"HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\nabcde",
    "304 with chunks": b"HTTP/1.1 304 Not\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "205 with a body": b"HTTP/1.1 205 R\r\nContent-Length: 1\r\n\r\na",
    "a status beyond": b"HTTP/1.1 999 X\r\n\r\nab",
    "a status below": b"HTTP/1.1 099 X\r\n\r\nab",
    "HTTP/1.0 with chunks": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "HTTP/1.0 without length": b"HTTP/1.0 200 OK\r\n\r\nab",
    "HTTP/0.9": b"ab",
    "HTTP/2": b"HTTP/2 200\r\n\r\nab",
    "a folded header": OK + b"Content-Type: a\r\n b\r\n\tc\r\n\r\nab",
    "a header with NUL": OK + b"Content-Type: a\0b\r\n\r\nab",
    "a header beyond ASCII": OK + b"Content-Type: \xff\xfe\r\nLocation: https://git.example/\xe9\r\n\r\nab",
    "many headers": OK + b"Vary: a\r\n" * 5_000 + b"\r\nab",
    "a head without end": OK + b"X: " + b"y" * 200_000,
    "an answer in two": OK + b"Content-Length: 0\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nabcde",
    "nothing": b"",
}
GET = b"GET http://git.example:%d/ HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST http://git.example:%d/ HTTP/1.1\r\nHost: x\r\n"
REQUESTS = {
    "a second one behind it": GET + b"GET http://evil.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD": b"HEAD" + GET[3:],
    "HTTP/1.0": GET.replace(b"1.1", b"1.0"),
    "an upgrade": GET[:-2] + b"Upgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a second one in the body of GET": GET[:-2] + b"Content-Length: 7\r\n\r\nGET / H",
    "both framings": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "trailers": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Token: mine\r\nHost: y\r\n\r\n",
    "huge chunk extensions": POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 200_000 + b"\r\na\r\n0\r\n\r\n",
    "a chunk of odd size": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\na\r\n0\r\n\r\n",
    "more than the length": POST + b"Content-Length: 1\r\n\r\nabcdef",
    "less than the length": POST + b"Content-Length: 9\r\n\r\nabc",
    "a wait to go on": POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\na",
    "a wait for something else": POST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\na",
    "no target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes": bytes(range(256)),
}


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with own_network(PUBLIC):
        yield


@pytest.fixture(scope="module")
def vouching(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the egress of these tests trusts."""
    return authority(tmp_path_factory.mktemp("authority"))


@dataclass
class Scene:
    """A secret's door, the cell before it, and the server behind it, which answers `answer` and ends."""

    inside: Inside
    port: int = 0
    answer: bytes = OK + b"Content-Length: 2\r\n\r\nok"
    stays: asyncio.Event | None = None  # it ends when this is set, and reads nothing until then
    tasks: set[object] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; one that is no HTTP is echoed."""
        self.tasks.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            await writer.drain()
            if self.stays is not None:
                await self.stays.wait()
        writer.close()

    async def said(self, request: bytes) -> bytes:
        """All that a cell is answered, which leaves early when it has asked."""
        client = await self.inside.connect()
        with suppress(ConnectionError):
            await client.send(request.replace(b"%d", b"%d" % self.port))
            client.sock.shutdown(socket.SHUT_WR)
        try:
            return await client.read()
        finally:
            client.sock.close()


@asynccontextmanager
async def scene(tmp_path: Path, vouching: Authority, audit: Audit) -> AsyncIterator[Scene]:
    """The door, and beside it one of another cell with a connection, which still carries bytes at the end."""
    (tmp_path / "resolv.conf").write_text("")
    (tmp_path / "hosts").write_text(f"{PUBLIC} {HOST}\n")
    resolver = {name: tmp_path / name for name in ("resolv.conf", "hosts")}
    settings = Settings(egress=EgressSettings(authorities=vouching.certificate))
    with Inside() as inside, Inside() as beside:
        made = Scene(inside)
        server = await asyncio.start_server(made.serve, PUBLIC, 0, ssl=vouching.server(HOST))
        echo = await asyncio.start_server(_echo, PUBLIC, 0)
        made.port = server.sockets[0].getsockname()[1]
        other = echo.sockets[0].getsockname()[1]
        async with egress(settings=settings, audit=audit, resolver=resolver) as door:
            async with door.open_door(beside.fd, replace(_request(), egress=(HostPort(HOST, other),))):
                client = await beside.connect()
                assert b" 200 " in await client.ask(f"CONNECT {HOST}:{other} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                async with _secret_door(door, made):
                    yield made
                    made.answer = Scene.answer
                    assert (await made.said(GET)).endswith(b"ok"), "the door itself is as it was"
                await client.send(b"still here")
                client.sock.shutdown(socket.SHUT_WR)
                assert await client.read() == b"still here"
                client.sock.close()
        server.close()
        echo.close()


def _secret_door(door: Egress, made: Scene) -> AbstractAsyncContextManager[None]:
    secret = PlacedSecret(
        "token", Header("X-Token", "", Key("token", SECRET)), ("GET /", "HEAD /", "POST /"), lambda: (SECRET[4:],)
    )
    request: CellRequest = replace(_request(), egress=(HostPort(HOST, made.port),), secret=secret)
    return door.open_door(made.inside.fd, request)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


def _alone(audit: Audit, count: int) -> None:
    """One egress has served them all, each connection is on record, and nothing was unforeseen or told the secret."""
    assert (started(audit), audit.count(EventKind.EGRESS_LOST)) == (1, 0)
    told = [event for event in audit.events if "answer" in event.fields]
    assert len(told) == count
    assert [event.fields["message"] for event in told if "unforeseen" in str(event.fields.get("message"))] == []
    assert SECRET not in repr(audit.events)


@pytest.mark.parametrize("asks", [GET, REQUESTS["HEAD"], REQUESTS["HTTP/1.0"]])
def test_an_answer_that_is_badly_framed_ends_its_own_connection(
    tmp_path: Path, vouching: Authority, asks: bytes
) -> None:
    """H-NET-10, H-SEC-03"""
    audit = Audit()

    async def run() -> None:
        async with scene(tmp_path, vouching, audit) as made:
            for name, made.answer in ANSWERS.items():
                said = await made.said(asks)
                assert said.startswith(b"HTTP/1.1 "), name
                assert b"12345678" not in said, name

    asyncio.run(run())
    _alone(audit, len(ANSWERS) + 1)


def test_a_asksthat_is_badly_framed_ends_its_own_connection(tmp_path: Path, vouching: Authority) -> None:
    """H-NET-10"""
    audit = Audit()

    async def run() -> None:
        async with scene(tmp_path, vouching, audit) as made:
            for name, request in REQUESTS.items():
                assert (await made.said(request)).startswith(b"HTTP/1.1 "), name

    asyncio.run(run())
    _alone(audit, len(REQUESTS) + 1)


def test_a_server_that_answers_early_and_reads_no_more_holds_no_connection(tmp_path: Path, vouching: Authority) -> None:
    """H-NET-10: the cell gets the answer while it still sends, and its connection ends with it."""
    audit = Audit()

    async def run() -> None:
        async with scene(tmp_path, vouching, audit) as made, asyncio.timeout(30):
            made.answer = b"HTTP/1.1 413 No\r\nContent-Length: 8\r\n\r\ntoo long"
            made.stays = asyncio.Event()
            client = await made.inside.connect()
            await client.send((POST + b"Content-Length: 900000000\r\n\r\n").replace(b"%d", b"%d" % made.port))
            pouring = asyncio.ensure_future(_poured(client))
            said = await client.read()
            assert (said.startswith(b"HTTP/1.1 413 "), said.endswith(b"too long")) == (True, True)
            client.sock.close()
            pouring.cancel()
            await asyncio.wait({pouring})
            made.stays.set()
            made.stays = None

    asyncio.run(run())
    _alone(audit, 2)
    (told,) = [event for event in audit.events if event.fields.get("answer") == 413]
    assert "message" not in told.fields


async def _poured(client: Client) -> None:
    with suppress(OSError):
        while True:
            await client.send(b"x" * 65_536)
