"""The egress at its socket: one frame for each fetch, whatever becomes of it."""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from aaos.egress import serve as room
from aaos.egress import wire
from aaos.egress.page import StuckError, Tools
from aaos.egress.serve import MAX_FETCHES, Service, trusted
from aaos.egress.wire import MAX_DOORS, FetchError
from tests.unit.egress.answers import FETCH
from worker import transport

PAGE = wire.Fetched(0, 200, "93.184.216.34", "text/plain", "", 5, 5, 5, "")
Fetching = Callable[[wire.Fetch, Tools], Awaitable[tuple[wire.Fetched, bytes]]]


class Line:
    """agentd's end of a service."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        pool = ThreadPoolExecutor(1)
        self.service = Service(self.theirs, Tools(pool, pool, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))

    def ask(self, frame: wire.ToEgress, fds: Sequence[int] = ()) -> None:
        """Send a frame."""
        transport.send_message(self.ours, wire.encode(frame), fds)

    async def hear(self) -> tuple[wire.FromEgress, bytes]:
        """The next frame, and its text."""
        while True:
            try:
                data, fds = transport.receive_message(self.ours)
                break
            except BlockingIOError:
                await asyncio.sleep(0)
        text = b"".join(transport.read_sealed(fd) for fd in fds)
        for fd in fds:
            os.close(fd)
        return wire.decode(data, wire.FROM_EGRESS), text


def played(monkeypatch: pytest.MonkeyPatch, fetching: Fetching, play: Callable[[Line], Awaitable[None]]) -> None:
    """Play against a service whose fetches are `fetching`."""

    async def run() -> None:
        line = Line()
        with line.ours, line.theirs:
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                group.create_task(line.service.serve())
                await play(line)
                line.ours.close()

    monkeypatch.setattr(room, "fetch_page", fetching)
    asyncio.run(run())


async def _page(fetch: wire.Fetch, _tools: Tools) -> tuple[wire.Fetched, bytes]:
    if fetch.host == "slow":
        await asyncio.Event().wait()
    if fetch.host == "broken":
        raise FetchError("tls", "no" * 5_000)
    if fetch.host == "endless":
        raise StuckError("content", "cannot be read")
    if fetch.host == "worse":
        raise ZeroDivisionError("of a library")
    return replace(PAGE, id=fetch.id), fetch.host.encode()


def test_each_fetch_gets_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(line: Line) -> None:
        for number, host in enumerate(("a", "slow", "broken", "worse", "b")):
            line.ask(replace(FETCH, id=number, host=host))
        heard = {frame.id: (frame, text) for frame, text in [await line.hear() for _ in range(4)]}
        assert (heard[0][1], heard[4][1]) == (b"a", b"b")
        broken, worse = heard[2][0], heard[3][0]
        assert isinstance(broken, wire.Failed)
        assert isinstance(worse, wire.Failed)
        assert (broken.code, len(broken.message)) == ("tls", 2_000)
        assert (worse.code, worse.message) == ("internal", "unforeseen: ZeroDivisionError")

    played(monkeypatch, _page, play)


def test_a_cancelled_fetch_is_given_up_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    async def fetching(fetch: wire.Fetch, tools: Tools) -> tuple[wire.Fetched, bytes]:
        try:
            return await _page(fetch, tools)
        finally:
            ended.append(fetch.id)

    async def play(line: Line) -> None:
        line.ask(replace(FETCH, id=1, host="slow"))
        line.ask(wire.Cancel(1))
        line.ask(wire.Cancel(99))
        line.ask(replace(FETCH, id=2, host="a"))
        frame, _ = await line.hear()
        assert frame.id == 2

    played(monkeypatch, fetching, play)
    assert sorted(ended) == [1, 2] or ended == [2], "one that was cancelled before it began never began"


def test_more_fetches_than_can_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(line: Line) -> None:
        for number in range(MAX_FETCHES + 1):
            line.ask(replace(FETCH, id=number, host="slow"))
            await asyncio.sleep(0)
        frame, _ = await line.hear()
        assert isinstance(frame, wire.Failed)
        assert (frame.id, frame.code) == (MAX_FETCHES, "busy")

    played(monkeypatch, _page, play)


@pytest.mark.parametrize("data", [b"{}", b"[]", b"\xff", wire.encode(PAGE)])
def test_a_frame_that_is_none_ends_it(data: bytes) -> None:
    async def run() -> None:
        line = Line()
        with line.ours, line.theirs:
            transport.send_message(line.ours, data)
            async with asyncio.timeout(10):
                await line.service.serve()

    asyncio.run(run())


DOOR = wire.Door(5, ("a.example:443",), ("",), 1_000)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A door's socket is one of this process."""
    monkeypatch.setattr(room, "listening", lambda fd: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd))


class Waiting:
    """A door that nobody comes to."""

    opened: ClassVar[list[int]] = []

    def __init__(self, frame: wire.Door, listener: socket.socket, **_: object) -> None:
        self.opened.append(listener.fileno())

    async def serve(self) -> None:
        """Until it is shut."""
        await asyncio.Event().wait()


def test_a_door_is_open_until_it_is_shut_and_then_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "Door", Waiting)

    async def play(line: Line) -> None:
        first, second = socket.socketpair()
        with first, second:
            line.ask(DOOR, [first.fileno()])
            line.ask(wire.Shut(4))
            line.ask(wire.Shut(5))
            line.ask(wire.Shut(5))
            assert (await line.hear())[0] == wire.Closed(5)
            line.ask(DOOR, [first.fileno()])  # the number is free again
            line.ask(replace(FETCH, id=6, host="a"))
            assert (await line.hear())[0].id == 6
        assert not line.service._ended.is_set()

    played(monkeypatch, _page, play)


def test_a_door_that_fails_ends_alone_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-10"""

    class Failing(Waiting):
        async def serve(self) -> None:
            """Of nothing that is foreseen."""
            raise ZeroDivisionError

    monkeypatch.setattr(room, "Door", Failing)

    async def play(line: Line) -> None:
        first, second = socket.socketpair()
        with first, second:
            line.ask(DOOR, [first.fileno()])
            assert (await line.hear())[0] == wire.Closed(5)
            line.ask(replace(FETCH, id=6, host="a"))
            assert (await line.hear())[0].id == 6

    played(monkeypatch, _page, play)


def test_a_page_for_which_there_is_no_memory_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: bytes) -> int:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(transport, "sealed_memfd", none)

    async def play(line: Line) -> None:
        for number in range(2):
            line.ask(replace(FETCH, id=number, host="a"))
            assert (await line.hear())[0] == wire.Failed(number, "internal", "unforeseen: OSError")

    played(monkeypatch, _page, play)


@pytest.mark.parametrize("count", [0, 2])
def test_a_door_without_its_one_socket_ends_it(count: int) -> None:
    async def run() -> None:
        line = Line()
        first, second = socket.socketpair()
        with line.ours, line.theirs, first, second:
            line.ask(DOOR, [first.fileno()] * count)
            async with asyncio.timeout(10):
                await line.service.serve()

    asyncio.run(run())


def test_more_doors_than_can_be_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """agentd never asks for them."""
    monkeypatch.setattr(room, "Door", Waiting)

    async def play(line: Line) -> None:
        first, second = socket.socketpair()
        with first, second:
            for number in range(MAX_DOORS + 1):
                line.ask(replace(DOOR, id=number), [first.fileno()])
                await asyncio.sleep(0)
            await line.service._ended.wait()

    played(monkeypatch, _page, play)


def test_without_authorities_nobody_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    for name in ("empty", "missing"):
        trust = trusted(str(tmp_path / name))
        assert trust.verify_mode is ssl.CERT_REQUIRED
        assert trust.check_hostname
        assert trust.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert trust.get_ca_certs() == []


def test_a_page_that_cannot_be_read_to_its_end_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-10: its fetch is told why, then agentd starts a new egress; the thread is gone with the old one."""

    async def play(line: Line) -> None:
        line.ask(replace(FETCH, host="endless"))
        frame, _ = await line.hear()
        assert isinstance(frame, wire.Failed)
        assert frame.message == "cannot be read"
        await line.service._ended.wait()

    played(monkeypatch, _page, play)
