"""One operator connection, over a socket pair: bounds of size, time and number."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from aaos.core import rpc
from aaos.core.errors import DeniedError
from aaos.core.ids import Gid, Uid
from aaos.daemon.connection import Bounds, Connection, Send
from aaos.daemon.peers import Peer

PEER = Peer(uid=Uid(1000), gid=Gid(1000), groups=(), pid=1)
SHORT = Bounds(line_s=0.05, idle_s=0.2, write_s=0.05, streams=2, write_buffer_bytes=4096)


class Dispatch:
    """Answers `echo`, `deny`, `crash`; streams `count` and `flood` and `silent`."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = 0

    def is_stream(self, method: str) -> bool:
        return method in ("count", "flood", "silent")

    async def call(self, peer: Peer, request: rpc.Request, send: Send) -> rpc.Json:
        assert peer == PEER
        self.calls += 1
        match request.method:
            case "echo":
                return dict(request.params)
            case "deny":
                raise DeniedError("no", "ask")
            case "crash":
                raise ZeroDivisionError("secret of the daemon")
            case "nan":
                return float("nan")
            case "count":
                for number in range(3):
                    await send({"seq": number})
                return "counted"
            case "flood":
                while True:
                    await send({"text": "x" * 1000})
            case "silent":
                try:
                    await asyncio.Event().wait()
                finally:
                    self.cancelled += 1
        raise rpc.RpcError(rpc.METHOD_NOT_FOUND, "no such method")


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def converse(talk: Talk, *, bounds: Bounds = SHORT, dispatch: Dispatch | None = None) -> None:
    """Runs `talk` as the client of a served connection, which must end within two seconds after it."""

    async def run() -> None:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        client_reader, client_writer = await asyncio.open_unix_connection(sock=theirs, limit=2**22)
        connection = Connection(PEER, reader, writer, dispatch=dispatch or Dispatch(), bounds=bounds)

        async def serve() -> None:
            await connection.serve()
            writer.close()

        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(serve())
            await talk(client_reader, client_writer)
            client_writer.close()

    asyncio.run(run())


def line(method: str, number: object = 1, **params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


async def trickle(writer: asyncio.StreamWriter) -> None:
    for _ in range(200):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def answer(reader: asyncio.StreamReader) -> dict[str, object]:
    document: dict[str, object] = json.loads(await reader.readline())
    return document


def test_requests_are_answered_in_order() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line("echo", 1, a=1) + line("echo", "two", a=2))
        assert await answer(reader) == {"jsonrpc": "2.0", "id": 1, "result": {"a": 1}}
        assert await answer(reader) == {"jsonrpc": "2.0", "id": "two", "result": {"a": 2}}

    converse(talk)


@pytest.mark.parametrize("sent", [line("echo"), b"{}\n", b'{"jsonrpc":"2.0","method":"echo"}\n'])
def test_one_clients_flood_leaves_every_other_its_turn(sent: bytes) -> None:
    """H-RES-06, H-BRK-09: a request that waits for nothing does not keep the loop until the next one."""
    dispatch = Dispatch()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent * 500 + line("echo", "last"))
        turns = 0
        while dispatch.calls < (501 if b'"id"' in sent else 1):
            await asyncio.sleep(0)
            turns += 1
        assert turns > 500
        while (await answer(reader)).get("id") != "last":
            pass

    converse(talk, bounds=Bounds(), dispatch=dispatch)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"{\n", rpc.PARSE_ERROR),
        (b"\xff\xfe\n", rpc.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":NaN}}\n', rpc.PARSE_ERROR),
        (b"[" * 100_000 + b"\n", rpc.PARSE_ERROR),
        (b"[]\n", rpc.INVALID_REQUEST),
        (b'[{"jsonrpc":"2.0","id":1,"method":"echo"}]\n', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"echo"}\n', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"echo"}\n', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":{},"method":"echo"}\n', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[]}\n', rpc.INVALID_PARAMS),
        (b'{"jsonrpc":"2.0","id":1,"method":"nothing"}\n', rpc.METHOD_NOT_FOUND),
    ],
)
def test_a_wrong_line_gets_its_error_and_the_connection_goes_on(sent: bytes, code: int) -> None:
    """H-API-11, H-BRK-02, H-MCP-05"""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        error = (await answer(reader))["error"]
        assert isinstance(error, dict)
        assert error["code"] == code
        writer.write(line("echo", 2))
        assert (await answer(reader))["id"] == 2

    converse(talk)


def test_a_refusal_carries_code_remedy_and_exit_status() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line("deny"))
        data = {"code": "denied", "message": "no", "remedy": "ask", "exit_code": 3}
        assert await answer(reader) == {
            "jsonrpc": "2.0",
            "id": 1,
            "error": {"code": -32000, "message": "no", "data": data},
        }

    converse(talk)


@pytest.mark.parametrize("method", ["crash", "nan"])
def test_an_unforeseen_error_is_answered_without_its_text(method: str) -> None:
    """H-SEC-04"""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line(method))
        data = await reader.readline()
        assert b"failed inside agentd" in data
        assert b"secret" not in data
        writer.write(line("echo", 2))
        assert (await answer(reader))["id"] == 2

    converse(talk)


def test_a_notification_is_neither_acted_upon_nor_answered() -> None:
    """H-MCP-05"""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"jsonrpc":"2.0","method":"crash"}\n' * 100 + line("echo", 5))
        assert (await answer(reader))["id"] == 5

    converse(talk)


def test_a_line_over_the_limit_ends_the_connection_with_a_reason() -> None:
    """H-BRK-01, H-API-11"""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * (rpc.MAX_LINE_BYTES + 70_000))
        assert b"over the limit" in await reader.readline()
        with suppress(ConnectionResetError):
            assert await reader.read() == b""

    converse(talk, bounds=Bounds())


def test_half_a_line_ends_the_connection_also_when_bytes_trickle() -> None:
    """H-BRK-09"""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with pytest.raises(ConnectionError):
            await trickle(writer)

    converse(talk)


def test_silence_ends_the_connection() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"silent for too long" in await reader.readline()

    converse(talk)


def test_a_stream_runs_beside_requests_and_ends_with_its_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line("count", 7))
        for number in range(3):
            notification = await answer(reader)
            assert notification == {"jsonrpc": "2.0", "method": "event", "params": {"request": 7, "seq": number}}
        assert await answer(reader) == {"jsonrpc": "2.0", "id": 7, "result": "counted"}
        writer.write(line("silent", 8) + line("echo", 9))
        assert (await answer(reader))["id"] == 9

    converse(talk)


def test_a_watcher_may_be_silent_for_long() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line("silent"))
        await asyncio.sleep(2 * SHORT.idle_s)
        writer.write(line("echo", 2))
        assert (await answer(reader))["id"] == 2

    converse(talk)


def test_streams_are_bounded_and_their_ids_distinct() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in (1, 1, 2, 3):
            writer.write(line("silent", number))
        assert [(await answer(reader))["id"], (await answer(reader))["id"]] == [1, 3]

    converse(talk)


def test_streams_end_with_their_client() -> None:
    dispatch = Dispatch()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line("silent") + line("echo", 2))
        await answer(reader)

    converse(talk, dispatch=dispatch)
    assert dispatch.cancelled == 1


def test_a_request_with_the_id_of_a_stream_does_not_unbind_it() -> None:
    """H-BRK-05"""
    dispatch = Dispatch()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line("silent", 1) + line("echo", 1) + line("silent", 1))
        assert "result" in await answer(reader)
        assert "error" in await answer(reader)

    converse(talk, dispatch=dispatch)
    assert dispatch.cancelled == 1


def test_a_client_that_never_reads_is_dropped_with_a_notice() -> None:
    """H-BRK-09: its buffer is bounded and nobody waits for it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket")
        reader_transport = reader._transport  # type: ignore[attr-defined]  # the only way to stop reading
        reader_transport.pause_reading()
        writer.write(line("flood"))
        await asyncio.sleep(4 * SHORT.write_s)
        reader_transport.resume_reading()
        last = (await reader.read()).splitlines()[-1]
        assert b"reads too slowly" in last

    converse(talk)
