"""One request of a cell at a door that places a secret: asked over TLS with the secret, answered without it.

Invariant: a connection carries one request and one answer; the secret goes to a place of the door after its certificate
was checked, and nowhere else; no words of the server are in an error. Every wait ends, and what is left of a request
with it when the answer is over. Source: RFC 9112, section 9.3.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import h11

from aaos.egress.asking import HEAD_BYTES, Asked, Placing, answered, asked
from aaos.egress.connect import READ_BYTES, Connection
from aaos.egress.tunnel import Place, RefusedError

IDLE_S = 300.0  # as of a connection that is carried without being looked at
MAX_INTERIM = 8
_NOT_HTTP = "the server does not speak HTTP as it should"
_BROKE = "the connection to the server broke"
_SILENT = f"nothing moved for {IDLE_S:g} s"


@dataclass(frozen=True, slots=True)
class Counted:
    """Who counts what moves, before it moves, and may raise."""

    sent: Callable[[int], None]
    received: Callable[[int], None]


class Exchange:
    """The one request of a connection. `request` reads it, `carry` has it answered."""

    def __init__(self, cell: socket.socket, placing: Placing, counted: Counted) -> None:
        self._cell = cell
        self._placing = placing
        self._counted = counted
        self._inner = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._outer = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self._idle: asyncio.Timeout | None = None
        self._has_begun = False  # the cell has got some of the answer
        self.answer = 0  # the server's status
        self.is_cut_off = False  # what is left of the request, when the answer was over

    async def request(self, allowed: Mapping[str, Place]) -> Asked:
        """What the cell asks. Raises RefusedError."""
        event = await self._next_inner()
        if not isinstance(event, h11.Request):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the connection ended before a request")
        return asked(event, self._placing, allowed)

    async def carry(self, wanted: Asked, connection: Connection) -> None:
        """To the server and back. Raises RefusedError until the answer began, then OSError; and what is counted."""
        try:
            async with asyncio.timeout(IDLE_S) as self._idle:
                await self._begin(wanted, connection)
                await self._both(wanted, connection)
        except TimeoutError as error:
            if self._has_begun:
                raise TimeoutError(0, _SILENT) from error
            raise _unanswered(_SILENT, wanted) from error

    async def _begin(self, wanted: Asked, connection: Connection) -> None:
        head = h11.Request(method=wanted.method, target=wanted.target, headers=list(wanted.headers))
        await self._send(connection, self._outer.send(head))
        if self._inner.they_are_waiting_for_100_continue:
            await self._say(self._inner.send(h11.InformationalResponse(status_code=100, headers=[])))

    async def _both(self, wanted: Asked, connection: Connection) -> None:
        """What is left of the request and the answer, which may come before: a server need not read all."""
        try:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(self._ask(connection))
                await self._answered(wanted, connection)
                self.is_cut_off = asking.cancel()
        except ExceptionGroup as errors:
            error = errors.exceptions[0]  # the one that cancelled the other
            if self._has_begun and isinstance(error, RefusedError):
                raise ConnectionResetError(0, error.message) from errors
            raise error from errors

    async def _ask(self, connection: Connection) -> None:
        try:
            while isinstance(event := await self._next_inner(), h11.Data):
                await self._send(connection, self._outer.send(h11.Data(data=event.data)))
            if not isinstance(event, h11.EndOfMessage):
                raise RefusedError(HTTPStatus.BAD_REQUEST, "the request breaks off")
            await self._send(connection, self._outer.send(h11.EndOfMessage()))
        except RefusedError:
            if not self._has_begun:  # else the answer goes on, to whoever reads it
                raise

    async def _answered(self, wanted: Asked, connection: Connection) -> None:
        response = await self._response(wanted, connection)
        self.answer = response.status_code
        head = self._inner.send(answered(response, self._placing, wanted.place))
        self._has_begun = True
        await self._say(head)
        masking = self._placing.masking()
        async for piece in self._body(connection):
            await self._say(self._inner.send(h11.Data(data=masking.feed(piece))))
        await self._say(self._inner.send(h11.Data(data=masking.end())))
        await self._say(self._inner.send(h11.EndOfMessage()))

    async def _response(self, wanted: Asked, connection: Connection) -> h11.Response:
        for _ in range(MAX_INTERIM + 1):
            try:
                event = await self._next_outer(connection)
            except OSError as error:
                raise _unanswered(error.strerror or _BROKE, wanted) from error
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                break
        raise _unanswered("the server gave no answer", wanted)

    async def _body(self, connection: Connection) -> AsyncIterator[bytes]:
        """Raises OSError when it breaks off."""
        while isinstance(event := await self._next_outer(connection), h11.Data):
            yield bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise ConnectionResetError(0, _BROKE)

    async def _next_inner(self) -> object:
        """What the cell says next. Raises RefusedError."""
        loop = asyncio.get_running_loop()
        try:
            while (event := self._inner.next_event()) is h11.NEED_DATA:
                data = await loop.sock_recv(self._cell, READ_BYTES)
                self._moved()
                self._inner.receive_data(data)
        except ValueError as error:  # a length of more digits than Python reads
            raise RefusedError(HTTPStatus.BAD_REQUEST, "not HTTP as it should be: a length without end") from error
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            raise RefusedError(status, f"not HTTP as it should be: {error}") from error
        except OSError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the connection broke before its request was whole") from error
        return event

    async def _next_outer(self, connection: Connection) -> object:
        """What the server says next. Raises OSError, in words of ours."""
        try:
            while (event := self._outer.next_event()) is h11.NEED_DATA:
                data = await connection.reader.read(READ_BYTES)
                self._moved()
                self._counted.received(len(data))
                self._outer.receive_data(data)
        except (h11.RemoteProtocolError, ValueError):
            raise ConnectionResetError(0, _NOT_HTTP) from None  # the error holds the server's words
        except OSError as error:
            raise ConnectionResetError(0, _BROKE) from error
        return event

    async def _send(self, connection: Connection, data: bytes | None) -> None:
        """Raises RefusedError: no answer has begun."""
        self._counted.sent(len(data or b""))
        connection.writer.write(data or b"")
        try:
            await connection.writer.drain()
        except OSError as error:
            raise RefusedError(HTTPStatus.BAD_GATEWAY, _BROKE) from error
        self._moved()

    async def _say(self, data: bytes | None) -> None:
        """To the cell. Raises OSError."""
        if data:
            await asyncio.get_running_loop().sock_sendall(self._cell, data)
            self._moved()

    def _moved(self) -> None:
        """The silence begins anew."""
        if self._idle is not None and not self._idle.expired():
            self._idle.reschedule(asyncio.get_running_loop().time() + IDLE_S)


def _unanswered(why: str, wanted: Asked) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_GATEWAY, why, wanted.place.authority)
