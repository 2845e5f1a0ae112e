"""A cell's door to the network: its connections are accepted, each asks for one place, and bytes are carried both ways.

Invariant: nothing is connected to but the places that agentd allowed for this door, at addresses that were checked; at
most so many connections at once and in all, so many bytes, and no silence without end; when the door is shut, every
connection at it ends and is told. Those that there is no room for wait, which is told once. One that fails, whatever
its ends do, fails alone. What the bytes are is not looked at, but at a door that places a secret.
"""

import asyncio
import errno
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from aaos.egress import tunnel, wire
from aaos.egress.asking import Placing
from aaos.egress.connect import READ_BYTES, Connection, opened, reach
from aaos.egress.placed import Counted, Exchange
from aaos.egress.tunnel import Place, RefusedError
from aaos.egress.wire import MAX_CONNECTIONS, FetchError

MAX_TUNNELS = 16  # of a door at once; more wait in the queue of its socket
HEAD_S = 10.0
IDLE_S = 300.0  # without a byte in either direction
LAST_S = 1.0  # for the end of a connection, once all was said
PAUSE_S = 1.0  # without room for one more connection
_MESSAGE_CHARS = 500
_LAST_READS = 64
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_CUT_HERE = "the bytes of this door are used up"

Say = Callable[[wire.Tunnel], Awaitable[None]]


class _CutError(Exception):
    """More bytes than this door may move."""


@dataclass(slots=True)
class _Talk:
    """One connection: what is known of it by now."""

    began_s: float
    authority: str = ""
    address: str = ""
    status: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    message: str = ""
    asked: str = ""
    answer: int = 0

    def told(self, number: int) -> wire.Tunnel:
        """Its frame, when it has ended."""
        return wire.Tunnel(
            id=number,
            authority=self.authority[:_MESSAGE_CHARS],
            address=self.address,
            status=self.status,
            sent_bytes=self.sent_bytes,
            received_bytes=self.received_bytes,
            duration_ms=int((time.monotonic() - self.began_s) * 1000),
            message=self.message[:_MESSAGE_CHARS],
            asked=self.asked[:_MESSAGE_CHARS],
            answer=self.answer,
        )


def listening(fd: int) -> socket.socket:
    """The cell's listening socket, which takes over the fd. Raises OSError when it is no socket."""
    return socket.socket(fileno=fd)


class Door:
    """One cell's. `lookups` are threads that wait for names, `say` tells agentd of each connection that ended; with
    `trust` those are made that speak TLS here."""

    def __init__(
        self, frame: wire.Door, listener: socket.socket, *, lookups: Executor, say: Say, trust: ssl.SSLContext
    ) -> None:
        self._id = frame.id
        self._allowed = tunnel.places(frame.allowed, frame.permitted)
        self._left_bytes = frame.max_bytes
        self._listener = listener
        self._lookups = lookups
        self._say = say
        self._trust = trust
        self._placing = Placing(frame.header, frame.secret, frame.masked, frame.asks) if frame.header else None
        self._places = asyncio.Semaphore(MAX_TUNNELS)
        self._is_told = False

    async def serve(self) -> None:
        """Until it is cancelled, or has had all the connections that it may have. The listener stays the caller's."""
        self._listener.setblocking(False)
        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_CONNECTIONS - 1):  # one more is told where there is no room
                await self._places.acquire()
                sock = await self._accepted()
                if sock is None:
                    return
                group.create_task(self._connection(sock)).add_done_callback(partial(self._ended, sock))

    async def _accepted(self) -> socket.socket | None:
        """The next connection; none when the cell's socket is not to be used any more."""
        while True:
            try:
                sock, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    return None
                await self._tell_full(os.strerror(error.errno))
                await asyncio.sleep(PAUSE_S)
            else:
                return sock

    async def _tell_full(self, why: str) -> None:
        if not self._is_told:
            self._is_told = True
            talk = _Talk(time.monotonic(), status=HTTPStatus.SERVICE_UNAVAILABLE)
            talk.message = f"connections wait: the egress has no room for more ({why})"
            await self._say(talk.told(self._id))

    def _ended(self, sock: socket.socket, _: object) -> None:
        """Also for a connection whose task was cancelled before it began."""
        sock.close()
        self._places.release()

    async def _connection(self, sock: socket.socket) -> None:
        talk = _Talk(time.monotonic())
        try:
            with sock:
                await (self._placed(sock, talk, self._placing) if self._placing else self._carried(sock, talk))
        except asyncio.CancelledError:
            talk.message = "the door was shut"
            raise
        except Exception as error:  # noqa: BLE001  # the boundary of a connection: a cell or a server may be behind it
            talk.message = f"unforeseen: {type(error).__name__}"  # without its words, which may hold the secret
        finally:
            await self._say(talk.told(self._id))

    async def _carried(self, sock: socket.socket, talk: _Talk) -> None:
        try:
            place, early = await self._asked(sock, talk)
            remote = await self._reached(place, talk)
        except RefusedError as error:
            talk.authority, talk.status, talk.message = error.authority or talk.authority, error.status, error.message
            await _last_words(sock, tunnel.refusal(error))
            return
        with remote:
            talk.status = HTTPStatus.OK
            try:
                await self._splice(sock, remote, early, talk)
            except OSError as error:
                talk.message = f"the connection broke: {error.strerror or error}"

    async def _placed(self, sock: socket.socket, talk: _Talk, placing: Placing) -> None:
        """One request and its answer, over TLS and with the secret of this door."""
        try:
            exchange = Exchange(sock, placing, Counted(partial(self._sent, talk), partial(self._got, talk)))
            await self._exchanged(exchange, talk)
            if exchange.is_cut_off:
                await _last_words(sock, b"")
        except RefusedError as error:
            talk.status = talk.status or error.status
            talk.authority, talk.message = error.authority or talk.authority, error.message
            await _last_words(sock, tunnel.refusal(error))
        except _CutError:
            talk.message = _CUT_HERE
        except OSError as error:
            talk.message = error.strerror or "the connection broke"

    async def _exchanged(self, exchange: Exchange, talk: _Talk) -> None:
        """Raises RefusedError, _CutError, OSError."""
        try:
            async with asyncio.timeout(HEAD_S):
                wanted = await exchange.request(self._allowed)
        except TimeoutError as error:
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, f"no request within {HEAD_S:g} s") from error
        talk.authority, talk.asked = wanted.place.authority, f"{wanted.method} {wanted.target}"
        if self._left_bytes <= 0:
            raise RefusedError(HTTPStatus.FORBIDDEN, _CUT_HERE)
        remote = await self._reached(wanted.place, talk)
        try:
            reader, writer = await opened(remote, wanted.place.host, self._trust)
        except FetchError as error:
            raise RefusedError(tunnel.status_of(error.code), error.message) from error
        talk.status = HTTPStatus.OK
        try:
            await exchange.carry(wanted, Connection(reader, writer, talk.address))
        finally:
            talk.answer = exchange.answer
            writer.transport.abort()

    async def _asked(self, sock: socket.socket, talk: _Talk) -> tuple[Place, bytes]:
        """The place that the cell asks for, and what it sent already. Raises RefusedError."""
        head = tunnel.Head()
        try:
            async with asyncio.timeout(HEAD_S):
                while (found := head.feed(await self._received(sock))) is None:
                    pass
        except TimeoutError as error:
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, f"no request within {HEAD_S:g} s") from error
        talk.authority, early = found
        if self._left_bytes <= 0:
            raise RefusedError(HTTPStatus.FORBIDDEN, _CUT_HERE)
        return tunnel.place_of(talk.authority, self._allowed), early

    async def _received(self, sock: socket.socket) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(sock, tunnel.HEAD_BYTES)
        except OSError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the connection broke before a request") from error

    async def _reached(self, place: Place, talk: _Talk) -> socket.socket:
        try:
            remote, talk.address = await reach(place.host, place.port, place.permitted, self._lookups)
        except FetchError as error:
            raise RefusedError(tunnel.status_of(error.code), error.message) from error
        return remote

    async def _splice(self, sock: socket.socket, remote: socket.socket, early: bytes, talk: _Talk) -> None:
        """Carry bytes both ways until both ends have ended, one broke, or a bound is met. Raises OSError."""

        sent, received = partial(self._sent, talk), partial(self._got, talk)
        try:
            async with asyncio.timeout(IDLE_S) as idle:
                await asyncio.get_running_loop().sock_sendall(sock, tunnel.ESTABLISHED)
                async with asyncio.TaskGroup() as group:
                    group.create_task(_carry(sock, remote, early, count=sent, idle=idle))
                    group.create_task(_carry(remote, sock, b"", count=received, idle=idle))
        except TimeoutError:
            talk.message = f"nothing moved for {IDLE_S:g} s"
        except ExceptionGroup as group_error:
            error = group_error.exceptions[0]  # the one that cancelled the other
            if not isinstance(error, _CutError):
                raise error from group_error
            talk.message = _CUT_HERE

    def _sent(self, talk: _Talk, size: int) -> None:
        talk.sent_bytes += self._charged(size)

    def _got(self, talk: _Talk, size: int) -> None:
        talk.received_bytes += self._charged(size)

    def _charged(self, size: int) -> int:
        """These bytes, counted before they are carried. Raises _CutError when they are too many."""
        if size > self._left_bytes:
            self._left_bytes = 0
            raise _CutError
        self._left_bytes -= size
        return size


async def _carry(
    source: socket.socket, sink: socket.socket, data: bytes, *, count: Callable[[int], None], idle: asyncio.Timeout
) -> None:
    """Carry `data` and what `source` says after it, until its end. Raises OSError, and what `count` raises."""
    loop = asyncio.get_running_loop()
    while data := data or await loop.sock_recv(source, READ_BYTES):
        count(len(data))
        await loop.sock_sendall(sink, data)
        idle.reschedule(loop.time() + IDLE_S)
        data = b""
    sink.shutdown(socket.SHUT_WR)


async def _last_words(sock: socket.socket, data: bytes) -> None:
    """Say why, to whoever still listens. To close before all that the cell sends was read would reset its connection,
    and take away what it was told. Source: RFC 9112, section 9.6."""
    loop = asyncio.get_running_loop()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(LAST_S):
            await loop.sock_sendall(sock, data)
            sock.shutdown(socket.SHUT_WR)
            for _ in range(_LAST_READS):
                if not await loop.sock_recv(sock, READ_BYTES):
                    return
