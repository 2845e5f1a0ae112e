"""A request at a door that places a secret: asked with it, answered without it, bounded, and always told."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from aaos.egress import door as room
from aaos.egress import placed, wire
from aaos.egress.wire import FetchError
from tests.unit.egress.test_door import Scene, played

SECRET = "tok-12345678"
DOOR = wire.Door(
    7, ("a.example:443",), ("",), 100_000, "X-Token", SECRET, ("dG9rLTEyMzQ1Njc4",), ("GET /**", "POST /b")
)
ASK = b"GET http://a.example/p?q HTTP/1.1\r\nHost: a.example\r\nX-Token: mine\r\n\r\n"
SMUGGLED = b"POST http://a.example/b HTTP/%s\r\nHost: a\r\n"
Play = Callable[[Scene], Awaitable[None]]


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """What speaks TLS here is shown elsewhere."""

    async def opened(sock: socket.socket, host: str, _: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if host == "untrusted.example":
            sock.close()
            raise FetchError("tls", "its certificate is not trusted")
        return await asyncio.open_connection(sock=sock)

    monkeypatch.setattr(room, "opened", opened)


async def whole(scene: Scene, sock: socket.socket) -> bytes:
    return await scene.read(sock, 1_000_000)


def answering(answer: bytes, *, asks: bytes = ASK) -> tuple[Play, list[bytes]]:
    """The cell asks, the server answers and ends; what the server and then the cell got."""
    got: list[bytes] = []

    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, asks)
        head = b""
        while b"\r\n\r\n" not in head and (piece := await scene.read(scene.server, 1)):
            head += piece
        got.append(head)
        await scene.write(scene.server, answer)
        scene.server.shutdown(socket.SHUT_WR)
        got.append(await whole(scene, scene.cell))

    return play, got


def test_it_is_asked_with_the_secret_and_answered_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOL-9, H-SEC-03"""
    body = f"you sent {SECRET} dG9rLTEyMzQ1Njc4".encode()
    play, got = answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Echo: %s\r\n\r\n" % (len(body), SECRET.encode()) + body
    )
    told = played(monkeypatch, play, frame=DOOR)
    assert b"GET /p?q HTTP/1.1\r\n" in got[0]
    assert got[0].count(b"x-token:") == 1
    assert f"x-token: {SECRET}\r\n".encode() in got[0]
    head, _, shown = got[1].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"Echo" not in head
    assert shown == b"you sent " + b"*" * 12 + b" " + b"*" * 16
    assert (told.status, told.asked, told.answer, told.authority) == (200, "GET /p?q", 200, "a.example:443")
    assert told.received_bytes > len(body)


def test_a_body_goes_on_and_pieces_come_back_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is cut by the chunks of the server."""
    asks = b"POST http://a.example/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    chunks = b"4\r\ntok-\r\n8\r\n12345678\r\n2\r\nto\r\n0\r\n\r\n"
    play, got = answering(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, asks=asks
    )
    played(monkeypatch, play, frame=DOOR)
    assert got[1].split(b"\r\n\r\n", 1)[1] == b"c\r\n" + b"*" * 12 + b"\r\n2\r\nto\r\n0\r\n\r\n"


def test_who_waits_to_be_told_to_go_on_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(scene: Scene) -> None:
        head = b"POST http://a.example/b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        await scene.write(scene.cell, head)
        assert (await scene.read(scene.cell, 17)).startswith(b"HTTP/1.1 100")
        await scene.write(scene.cell, b"ab")
        asked = await scene.read(scene.server, 10)
        while not asked.endswith(b"\r\n\r\nab"):
            asked += await scene.read(scene.server, 1)
        assert b"expect" not in asked
        await scene.write(scene.server, b"HTTP/1.1 204 No\r\n\r\n")
        assert b"HTTP/1.1 204" in await whole(scene, scene.cell)

    assert played(monkeypatch, play, frame=DOOR).answer == 204


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (f"{SECRET} is no HTTP\r\n\r\n".encode(), "does not speak HTTP"),
        (f"HTTP/1.1 200 OK\r\nBad {SECRET}\r\n\r\n".encode(), "does not speak HTTP"),
        (b"", "does not speak HTTP"),
        (b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 100 C\r\n\r\n" * 20, "gave no answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nx", "compresses"),
    ],
)
def test_a_server_that_lies_has_no_words_in_the_refusal(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, why: str
) -> None:
    """H-NET-10, H-SEC-03"""
    play, got = answering(answer)
    told = played(monkeypatch, play, frame=DOOR)
    assert got[1].startswith(b"HTTP/1.1 502")
    assert why in told.message
    assert SECRET.encode() not in got[1]
    assert SECRET not in told.message


@pytest.mark.parametrize(
    "answer",
    [b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"],
)
def test_an_answer_that_breaks_off_is_not_made_whole(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    play, got = answering(b"HTTP/1.1 200 OK\r\n" + answer)
    told = played(monkeypatch, play, frame=DOOR)
    assert got[1].endswith(b"abc") or got[1].endswith(b"3\r\nabc\r\n")
    assert told.message in ("the server does not speak HTTP as it should", "the connection to the server broke")


@pytest.mark.parametrize("length", [b"5", SECRET[4:].encode()])
def test_a_length_that_is_none_is_not_said(monkeypatch: pytest.MonkeyPatch, length: bytes) -> None:
    """H-NET-10: chunks have the last word, and a length that is the secret is no number any more."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % length
    play, got = answering(head + b"8\r\nabcdefgh\r\n0\r\n\r\n")
    assert played(monkeypatch, play, frame=replace(DOOR, masked=(SECRET[4:],))).message == ""
    assert b"content-length" not in got[1].lower()
    assert got[1].endswith(b"8\r\nabcdefgh\r\n0\r\n\r\n")


def test_a_length_of_what_does_not_come_is_no_number_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-10: nobody reads it where there is no body, but who says it on."""
    for method, status in ((b"HEAD", 200), (b"GET", 304)):
        head = b"HTTP/1.1 %d X\r\nContent-Length: %s\r\n\r\n" % (status, b"3" * 5_000)
        play, got = answering(head, asks=ASK.replace(b"GET", method))
        told = played(monkeypatch, play, frame=replace(DOOR, asks=("HEAD /**", "GET /**")))
        assert (told.message, told.answer) == ("", status)
        assert got[1].startswith(b"HTTP/1.1 %d" % status)
        assert b"333" not in got[1]


def test_a_length_that_is_the_secret_ends_nothing_but_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-10, H-SEC-03"""
    play, got = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 12345678\r\n\r\nabc")
    told = played(monkeypatch, play, frame=replace(DOOR, masked=(SECRET[4:],)))
    assert told.message == "the server does not speak HTTP as it should"
    assert got[1].endswith(b"3\r\nabc\r\n")
    assert SECRET[4:].encode() not in got[1]


def test_what_is_not_foreseen_ends_its_connection_and_is_told_without_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-10, H-SEC-03: here a secret that is no header's value, which the words of h11 would name."""

    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, ASK)
        assert await whole(scene, scene.cell) == b""
        assert await whole(scene, scene.server) == b""

    told = played(monkeypatch, play, frame=replace(DOOR, secret=f"{SECRET}\n"))
    assert told.message == "unforeseen: LocalProtocolError"


def _refused(monkeypatch: pytest.MonkeyPatch, data: bytes, frame: wire.Door = DOOR) -> tuple[wire.Tunnel, bytes]:
    got: list[bytes] = []

    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, data)
        scene.cell.shutdown(socket.SHUT_WR)
        got.append(await whole(scene, scene.cell))
        assert scene.asked == [] or "untrusted" in scene.asked[0][0]

    told = played(monkeypatch, play, frame=frame)
    return told, got[0]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 403),
        (b"GET http://b.example/ HTTP/1.1\r\nHost: b\r\n\r\n", 403),
        (b"PUT http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 403),
        (b"GET /p HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01 tls", 400),
        (b"POST http://a.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"3" * 5_000 + b"\r\n\r\n", 400),
        (b"GET http://a.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET http://a.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n", 400),
        (SMUGGLED % b"1.1" + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (SMUGGLED % b"1.1" + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 400),
        (SMUGGLED % b"1.0" + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (SMUGGLED % b"1.1" + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (SMUGGLED % b"1.1" + b"Transfer-Encoding: identity\r\n\r\n", 501),
        (SMUGGLED % b"1.1" + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        (SMUGGLED % b"1.1" + b"Transfer-Encoding: xchunked\r\n\r\n", 501),
        (SMUGGLED % b"1.1" + b"Transfer-Encoding : chunked\r\n\r\n", 400),
        (SMUGGLED % b"1.1" + b"Content-Length: +5\r\n\r\nabcde", 400),
        (b"GET http://a.example/ HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000, 431),
        (b"GET http://a.e", 400),
        (b"", 400),
    ],
)
def test_what_is_no_such_request_reaches_no_server(monkeypatch: pytest.MonkeyPatch, data: bytes, status: int) -> None:
    """TOL-9"""
    told, said = _refused(monkeypatch, data)
    assert told.status == status
    assert said.startswith(f"HTTP/1.1 {status}".encode())


def test_a_server_that_nobody_vouches_for_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOL-9"""
    frame = replace(DOOR, allowed=("untrusted.example:443",))
    told, said = _refused(monkeypatch, b"GET http://untrusted.example/ HTTP/1.1\r\nHost: u\r\n\r\n", frame)
    assert (told.status, told.sent_bytes) == (502, 0)
    assert b"not trusted" in said


def test_bytes_are_counted_both_ways_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-10"""
    play, got = answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5_000)
    told = played(monkeypatch, play, frame=replace(DOOR, max_bytes=1_000))
    assert told.message == "the bytes of this door are used up"
    assert len(got[1]) < 1_000


def test_a_server_that_says_nothing_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placed, "IDLE_S", 0.05)

    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, ASK)
        assert (await whole(scene, scene.cell)).startswith(b"HTTP/1.1 502")

    assert "nothing moved" in played(monkeypatch, play, frame=DOOR).message


LONG = b"POST http://a.example/b HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
ROOMY = replace(DOOR, max_bytes=2**30)


async def pour(scene: Scene) -> None:
    """A body, as much of it as is taken."""
    with suppress(OSError):
        while True:
            await scene.write(scene.cell, b"x" * 65_536)


async def _head(scene: Scene) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += await scene.read(scene.server, 1)


def test_a_server_that_answers_early_and_reads_no_more_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-10: what is left of the request ends with the answer, which the cell gets whole."""

    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, LONG)
        async with asyncio.TaskGroup() as group:
            pouring = group.create_task(pour(scene))
            await _head(scene)
            await scene.write(scene.server, b"HTTP/1.1 413 No\r\nContent-Length: 8\r\n\r\ntoo long")
            answer = await whole(scene, scene.cell)
            pouring.cancel()
        assert answer.startswith(b"HTTP/1.1 413")
        assert answer.endswith(b"too long")

    told = played(monkeypatch, play, frame=ROOMY)
    assert (told.answer, told.message) == (413, "")


def test_an_answer_may_come_while_the_request_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, LONG.replace(b"9000000", b"2"))
        await _head(scene)
        await scene.write(scene.server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        assert (await scene.read(scene.cell, 12)).endswith(b"200")
        for piece in (b"a", b"b"):
            await scene.write(scene.cell, piece)
            assert await scene.read(scene.server, 1) == piece
            await scene.write(scene.server, piece)
        assert (await whole(scene, scene.cell)).endswith(b"\r\n\r\nab")

    assert (played(monkeypatch, play, frame=DOOR).answer, played(monkeypatch, play, frame=DOOR).message) == (200, "")


@pytest.mark.parametrize("rest", [b"zz\r\n", b""])
def test_no_refusal_is_said_in_the_midst_of_an_answer(monkeypatch: pytest.MonkeyPatch, rest: bytes) -> None:
    """A request that breaks off when its answer has begun."""

    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, SMUGGLED % b"1.1" + b"Transfer-Encoding: chunked\r\n\r\n")
        await _head(scene)
        await scene.write(scene.server, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        assert (await scene.read(scene.cell, 12)).endswith(b"200")
        await scene.write(scene.cell, rest)
        if not rest:
            scene.cell.shutdown(socket.SHUT_WR)
        for _ in range(20):
            await asyncio.sleep(0)
        await scene.write(scene.server, b"cd")
        assert (await whole(scene, scene.cell)).endswith(b"\r\n\r\nabcd")

    assert played(monkeypatch, play, frame=DOOR).answer == 200


def test_a_server_that_neither_reads_nor_answers_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """H-NET-10"""
    monkeypatch.setattr(placed, "IDLE_S", 0.05)

    async def play(scene: Scene) -> None:
        await scene.write(scene.cell, LONG)
        async with asyncio.TaskGroup() as group:
            pouring = group.create_task(pour(scene))
            assert (await whole(scene, scene.cell)).startswith(b"HTTP/1.1 502")
            pouring.cancel()

    assert "nothing moved" in played(monkeypatch, play, frame=ROOMY).message
