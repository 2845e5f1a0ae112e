"""A connection at a cell's door: refused with words, or carried both ways within its bounds, and always told."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from aaos.egress import door as room
from aaos.egress import wire
from aaos.egress.door import Door
from aaos.egress.wire import FetchError

TRUST = ssl.create_default_context()
DOOR = wire.Door(7, ("a.example:443",), ("",), 1_000)
ASK = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"


@dataclass
class Scene:
    """The cell's end of a connection, the server's end, and what agentd is told."""

    cell: socket.socket
    server: socket.socket
    asked: list[tuple[str, int]] = field(default_factory=list)
    told: list[wire.Tunnel] = field(default_factory=list)

    async def say(self, frame: wire.Tunnel) -> None:
        self.told.append(frame)

    async def read(self, sock: socket.socket, size: int) -> bytes:
        """So many bytes, or fewer at the end."""
        loop, data = asyncio.get_running_loop(), b""
        while len(data) < size and (piece := await loop.sock_recv(sock, size - len(data))):
            data += piece
        return data

    async def write(self, sock: socket.socket, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(sock, data)


def played(
    monkeypatch: pytest.MonkeyPatch,
    play: Callable[[Scene], Awaitable[None]],
    *,
    frame: wire.Door = DOOR,
    error: FetchError | None = None,
) -> wire.Tunnel:
    """What agentd is told of one connection that the test plays."""
    inside, cell = socket.socketpair()
    outside, server = socket.socketpair()
    scene = Scene(cell, server)

    async def reach(host: str, port: int, *_: object) -> tuple[socket.socket, str]:
        scene.asked.append((host, port))
        if error is not None:
            raise error
        return outside, "93.184.216.34"

    async def run() -> None:
        with ThreadPoolExecutor(1) as pool:
            door = Door(frame, cell, lookups=pool, say=scene.say, trust=TRUST)
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                task = group.create_task(door._connection(inside))
                await play(scene)
                with suppress(OSError):
                    cell.shutdown(socket.SHUT_WR)
                await asyncio.wait({task}, timeout=5)
                task.cancel()

    monkeypatch.setattr(room, "reach", reach)
    for sock in (inside, outside, cell, server):
        sock.setblocking(False)
    with inside, outside, cell, server:
        asyncio.run(run())
    (told,) = scene.told
    return told


def test_bytes_go_both_ways_and_each_end_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, ASK + b"early")
        assert await scene.read(scene.server, 5) == b"early"
        assert (await scene.read(scene.cell, 39)).startswith(b"HTTP/1.1 200 ")
        await scene.write(scene.cell, b"question")
        scene.cell.shutdown(socket.SHUT_WR)
        assert await scene.read(scene.server, 99) == b"question"
        await scene.write(scene.server, b"an answer")
        scene.server.shutdown(socket.SHUT_WR)
        assert await scene.read(scene.cell, 99) == b"an answer"
        assert scene.asked == [("a.example", 443)]

    told = played(monkeypatch, play)
    assert replace(told, duration_ms=0) == wire.Tunnel(7, "a.example:443", "93.184.216.34", 200, 13, 9, 0, "")


@pytest.mark.parametrize(
    ("data", "status", "authority"),
    [
        (b"CONNECT b.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 403, "b.example:443"),
        (b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 405, "http://a.example/"),
        (b"\x16\x03\x01\r\n\r\n", 400, ""),
    ],
)
def test_what_is_refused_reaches_nobody_and_is_told(
    monkeypatch: pytest.MonkeyPatch, data: bytes, status: int, authority: str
) -> None:
    """H-NET-08, H-NET-09"""

    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, data)
        assert (await scene.read(scene.cell, 999)).startswith(f"HTTP/1.1 {status} ".encode())
        assert scene.asked == []

    told = played(monkeypatch, play)
    assert (told.status, told.authority, told.sent_bytes, told.received_bytes) == (status, authority, 0, 0)
    assert told.message


@pytest.mark.parametrize(("code", "status"), [("address", 403), ("name", 502), ("timeout", 504)])
def test_a_place_that_cannot_be_reached_says_why(monkeypatch: pytest.MonkeyPatch, code: str, status: int) -> None:
    """H-NET-03 to H-NET-05: what `reach` refuses is refused here."""

    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, ASK)
        assert b"it is not\n" in await scene.read(scene.cell, 999)

    told = played(monkeypatch, play, error=FetchError(code, "it is not"))
    assert (told.status, told.authority, told.message) == (status, "a.example:443", "it is not")


def test_more_bytes_than_the_door_may_move_are_not_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-10: what would go beyond is cut before it is carried, and later connections are refused."""

    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, ASK)
        await scene.read(scene.cell, 39)
        await scene.write(scene.server, b"x" * 600)
        assert len(await scene.read(scene.cell, 600)) == 600
        await scene.write(scene.cell, b"y" * 500)
        assert await scene.read(scene.cell, 1) == b""
        assert await scene.read(scene.server, 1) == b""

    told = played(monkeypatch, play)
    assert (told.status, told.sent_bytes, told.received_bytes) == (200, 0, 600)
    assert told.message == "the bytes of this door are used up"


def test_a_door_without_bytes_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, ASK)
        assert (await scene.read(scene.cell, 999)).startswith(b"HTTP/1.1 403 ")

    assert played(monkeypatch, play, frame=replace(DOOR, max_bytes=0)).authority == "a.example:443"


def test_a_head_that_does_not_come_and_a_silence_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-10"""
    monkeypatch.setattr(room, "HEAD_S", 0.05)
    monkeypatch.setattr(room, "IDLE_S", 0.05)

    async def slow(scene: Scene) -> None:
        await scene.write(scene.cell, ASK[:-4])
        assert (await scene.read(scene.cell, 999)).startswith(b"HTTP/1.1 408 ")

    async def silent(scene: Scene) -> None:
        await scene.write(scene.cell, ASK)
        assert (await scene.read(scene.cell, 999)).startswith(b"HTTP/1.1 200 ")

    assert played(monkeypatch, slow).status == 408
    assert played(monkeypatch, silent).message == "nothing moved for 0.05 s"


def test_a_connection_that_breaks_and_one_that_is_shut_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(scene: Scene) -> None:
        await scene.write(scene.cell, ASK)
        await scene.read(scene.cell, 39)
        scene.server.close()
        for _ in range(50):
            await asyncio.sleep(0)
            try:
                await scene.write(scene.cell, b"x")
            except OSError:
                return

    assert played(monkeypatch, broken).message.startswith("the connection broke")

    async def cancelled() -> list[wire.Tunnel]:
        inside, cell = socket.socketpair()
        inside.setblocking(False)
        scene = Scene(cell, cell)
        with inside, cell, ThreadPoolExecutor(1) as pool:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(Door(DOOR, cell, lookups=pool, say=scene.say, trust=TRUST)._connection(inside))
                await asyncio.sleep(0)
                task.cancel()
        return scene.told

    (told,) = asyncio.run(cancelled())
    assert told.message == "the door was shut"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_room_for_one_more_a_door_waits_and_says_so_once(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """H-RES-04"""
    monkeypatch.setattr(room, "PAUSE_S", 0.0)
    inside, cell = socket.socketpair()
    scene, failures = Scene(cell, cell), [OSError(number, "no room")] * 3 + [ConnectionAbortedError()]

    async def accept(_: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            raise failures.pop()
        failures.append(OSError(errno.EINVAL, "the cell's socket is not to be used any more"))
        return inside, None

    async def run() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_accept", accept)
        with ThreadPoolExecutor(1) as pool:
            await Door(DOOR, cell, lookups=pool, say=scene.say, trust=TRUST).serve()

    with inside, cell:
        inside.setblocking(False)
        cell.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        cell.shutdown(socket.SHUT_WR)
        asyncio.run(run())
    full, refused = scene.told
    assert (full.id, full.status, full.authority) == (DOOR.id, 503, "")
    assert full.message == f"connections wait: the egress has no room for more ({os.strerror(number)})"
    assert refused.status == 405
