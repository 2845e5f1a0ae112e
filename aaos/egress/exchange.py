"""One HTTP/1.1 request and its answer over an open connection, with a bound on everything that the server decides.

Invariant: nothing is sent that the fetch does not say: no cookie, no login of ours, no proxy's header. What is read is
bounded in bytes before and after decompression, in header bytes and lines, in interim answers and in time; past a bound
the page is partial and says so, or there is none. A redirect is an answer, never followed. Framing is h11's.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import h11

from aaos import __version__
from aaos.egress.connect import READ_BYTES, Connection
from aaos.egress.decoding import ACCEPTED, decoder
from aaos.egress.wire import Fetch, FetchError

AGENT = f"aaos/{__version__}"
HEAD_BYTES = 65_536
MAX_HEADERS = 256
MAX_INTERIM = 8
FIRST_BYTE_S = 20.0
IDLE_S = 10.0
PORTS = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ACCEPT = b"text/html, application/xhtml+xml, text/plain;q=0.9, application/json;q=0.9, */*;q=0.5"


@dataclass(slots=True)
class Answer:
    """What the server said. `body` is decoded; `partial` is why it is not whole, or empty."""

    status: int
    location: str = ""
    content_type: str = ""
    encoding: str = ""
    body: bytearray = field(default_factory=bytearray)
    wire_bytes: int = 0
    partial: str = ""


async def exchange(fetch: Fetch, connection: Connection, *, until_s: float) -> Answer:
    """Ask and read the answer, until this monotonic time at the latest. Raises FetchError."""
    talk = _Talk(fetch, connection, until_s)
    await talk.ask()
    answer = _head(await talk.response())
    try:
        if not (answer.status in REDIRECTS and answer.location):
            await _read_body(talk, answer)
    except FetchError as error:
        if not answer.body:
            raise
        answer.partial = error.message
    answer.wire_bytes = talk.wire_bytes
    return answer


class _Talk:
    """h11 on a connection, counting what comes."""

    def __init__(self, fetch: Fetch, connection: Connection, until_s: float) -> None:
        self._fetch = fetch
        self._connection = connection
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self._until_s = until_s
        self.wire_bytes = 0

    async def ask(self) -> None:
        request = h11.Request(method=self._fetch.method, target=self._fetch.target, headers=_headers(self._fetch))
        data = self._http.send(request) or b""
        self._connection.writer.write(data + (self._http.send(h11.EndOfMessage()) or b""))
        try:
            async with asyncio.timeout(FIRST_BYTE_S):
                await self._connection.writer.drain()
        except TimeoutError as error:
            raise FetchError("timeout", f"{self._fetch.host}: it does not read") from error
        except OSError as error:
            raise FetchError("http", f"{self._fetch.host}: the connection ended: {error}") from error

    async def response(self) -> h11.Response:
        """The final answer's head; interim answers are counted and dropped."""
        for _ in range(MAX_INTERIM + 1):
            event = await self._next(FIRST_BYTE_S)
            if isinstance(event, h11.Response):
                if len(event.headers) > MAX_HEADERS:
                    raise FetchError("http", f"{self._fetch.host}: {len(event.headers)} headers are too many")
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise FetchError("http", f"{self._fetch.host}: the connection ended before an answer")
        raise FetchError("http", f"{self._fetch.host}: more than {MAX_INTERIM} interim answers")

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, still encoded."""
        while True:
            event = await self._next(IDLE_S)
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return
            else:
                raise FetchError("http", f"{self._fetch.host}: a second answer inside the first")

    async def _next(self, timeout_s: float) -> h11.Event:
        while True:
            try:
                event = self._http.next_event()
                if event is not h11.NEED_DATA and event is not h11.PAUSED:
                    return event  # type: ignore[return-value]  # the two sentinels are excluded above
                if event is h11.PAUSED:
                    raise FetchError("http", f"{self._fetch.host}: it changed the protocol")
                self._http.receive_data(await self._read(timeout_s))
            except (h11.RemoteProtocolError, ValueError) as error:  # also of a length too long to be a number
                raise FetchError("http", f"{self._fetch.host}: not HTTP as it should be: {error}") from error

    async def _read(self, timeout_s: float) -> bytes:
        if self.wire_bytes >= self._fetch.wire_bytes:
            raise FetchError("content", f"cut after {self.wire_bytes} bytes")
        left_s = self._until_s - time.monotonic()
        try:
            async with asyncio.timeout(min(timeout_s, left_s)):
                data = await self._connection.reader.read(READ_BYTES)
        except TimeoutError as error:
            why = "the time of the fetch is over" if left_s <= timeout_s else f"nothing came for {timeout_s:g} s"
            raise FetchError("timeout", f"{self._fetch.host}: {why}") from error
        except OSError as error:
            raise FetchError("http", f"{self._fetch.host}: the connection ended: {error}") from error
        data = data[: self._fetch.wire_bytes - self.wire_bytes]
        self.wire_bytes += len(data)
        return data


async def _read_body(talk: _Talk, answer: Answer) -> None:
    """Fill `answer.body`. Raises FetchError where it stops; what came before stays."""
    decode = decoder(answer.encoding)
    limit = talk._fetch.body_bytes
    async for data in talk.pieces():
        for piece in decode.feed(data):
            answer.body += piece[: limit - len(answer.body)]
            if len(answer.body) >= limit:
                raise FetchError("content", f"cut after {limit} bytes of text")
    if not decode.is_complete:
        raise FetchError("content", "the page's compression breaks off")


def _headers(fetch: Fetch) -> list[tuple[str, str]]:
    host = fetch.host if fetch.port == PORTS[fetch.scheme] else f"{fetch.host}:{fetch.port}"
    return [
        ("Host", host),
        ("User-Agent", AGENT),
        ("Accept", _ACCEPT.decode()),
        ("Accept-Encoding", ACCEPTED),
        ("Connection", "close"),
        *([(fetch.header, fetch.secret)] if fetch.header else []),
    ]


def _head(response: h11.Response) -> Answer:
    return Answer(
        status=response.status_code,
        location=_text(_all(response.headers, b"location")),
        content_type=_text(_all(response.headers, b"content-type")[:1]),
        encoding=", ".join(_text([value]) for value in _all(response.headers, b"content-encoding")),
    )


def _all(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _text(values: list[bytes]) -> str:
    """The one value as text; two that differ are as good as none, since programs differ in which they take."""
    if len(set(values)) != 1:
        return ""
    return values[0].decode("utf-8", "replace")[:8_192]
