"""One question to a provider over HTTP, with every deadline, and what came back as an answer or an error.

Invariant: the key goes to the configured address and nowhere else; no redirect is followed, nothing in the environment
changes where a request goes, no cookie is kept; whatever ends an exchange, its stream is closed. Connections are kept
for the next turn. It must not retry: that is `providers`.
Source: HTTPX 0.28 (transports), RFC 9110, RFC 8446.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import certifi
import httpx

from aaos.core.errors import AaosError, LimitError, ProviderError
from aaos.core.text import quoted
from aaos.llm.backoff import MAX_CONNECTIONS_TRIED, retry_after_s
from aaos.llm.faults import Asked, TransientError, http_fault, redirect_fault
from aaos.llm.sse import EventReader
from aaos.llm.types import Json, ModelAnswer, OnText
from aaos.llm.wire import Reader, parsed

MAX_ANSWER_BYTES = 16 * 2**20
MAX_ERROR_BYTES = 65_536
MAX_LIST_BYTES = 4 * 2**20
KEEP_ALIVE_S = 55.0

_DRAIN_BYTES = 65_536
_DRAIN_S = 0.2
_END_S = 5.0  # for what may follow the model's own end: usage, and the mark of the end
_LIST_S = 5.0
_SYSTEM_ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")
_HEADERS = [(b"content-type", b"application/json"), (b"accept-encoding", b"identity"), (b"user-agent", b"aaos")]
_STREAM = "text/event-stream"
_WHOLE = "application/json"
_AUTHORITIES = "an authority of your own belongs in /usr/local/share/ca-certificates, then type: update-ca-certificates"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: to connect, until the model begins, between two pieces of its answer, for all of it with attempts."""

    connect_s: float = 10.0
    first_s: float = 120.0
    idle_s: float = 60.0
    total_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Question:
    """One request. `headers` hold the key, so it has no repr."""

    url: httpx.URL
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def __repr__(self) -> str:
        return f"<question to {self.url.host}, {len(self.body)} bytes>"


def transport(tls: ssl.SSLContext, *, max_connections: int) -> httpx.AsyncHTTPTransport:
    """Connections to one provider; the environment is not read."""
    limits = httpx.Limits(
        max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=KEEP_ALIVE_S
    )
    return httpx.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits, retries=0)


def trusted() -> ssl.SSLContext:
    """Certificates are checked against the machine's authorities; reading those takes a tenth of a second.

    Built by hand: ssl.create_default_context() obeys SSLKEYLOGFILE, and the default paths SSL_CERT_FILE.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=str(_SYSTEM_ROOTS) if _SYSTEM_ROOTS.is_file() else certifi.where())
    return context


class Exchange:
    """One question and its answer."""

    def __init__(self, asked: Asked, deadlines: Deadlines, *, redact: Callable[[str], str]) -> None:
        self._asked = asked
        self._deadlines = deadlines
        self._redact = redact
        self._until_s = 0.0
        self._phase = ""

    async def run(
        self, connections: httpx.AsyncBaseTransport, question: Question, *, reader: Reader, on_text: OnText | None
    ) -> ModelAnswer:
        """The finished answer. Raises TransientError, ProviderError, LimitError."""
        request = httpx.Request(
            "POST",
            question.url,
            headers=[*question.headers, *_HEADERS],
            content=question.body,
            extensions={"timeout": {"connect": self._deadlines.connect_s, "pool": self._deadlines.connect_s}},
        )
        try:
            async with asyncio.timeout(None) as timer:
                self._wait(timer, "begin to answer", self._deadlines.first_s)
                response = await self._head(connections, request)
                try:
                    return await self._answer(response, timer, reader=reader, on_text=on_text)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.HTTPError) as error:
            if reader.assembly.stop is not None:  # the model has ended; only the end of the stream did not come
                return reader.assembly.answer()
            raise self._failure(error, reader) from error

    async def models(self, connections: httpx.AsyncBaseTransport, question: Question) -> tuple[str, ...]:
        """The names that the provider lists, for a remedy; none when it does not say."""
        request = httpx.Request("GET", question.url, headers=[*question.headers, *_HEADERS])
        with contextlib.suppress(TimeoutError, httpx.HTTPError, AaosError):
            async with asyncio.timeout(_LIST_S):
                response = await self._head(connections, request)
                try:
                    await self._refuse(response)
                    return _listed(parsed(await _body(response, MAX_LIST_BYTES)))
                finally:
                    await response.aclose()
        return ()

    async def _head(self, connections: httpx.AsyncBaseTransport, request: httpx.Request) -> httpx.Response:
        """Up to the answer's body. h11 hands on int's ValueError for a length of more digits than Python reads."""
        try:
            return await connections.handle_async_request(request)
        except ValueError as error:
            raise self._not_ours("a head that is not HTTP") from error

    def _wait(self, timer: asyncio.Timeout, phase: str, seconds: float) -> None:
        self._phase, self._until_s = phase, seconds
        timer.reschedule(asyncio.get_running_loop().time() + seconds)

    async def _answer(
        self, response: httpx.Response, timer: asyncio.Timeout, *, reader: Reader, on_text: OnText | None
    ) -> ModelAnswer:
        await self._refuse(response)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise self._not_ours("a compressed answer, which was not asked for")
        if kind == _STREAM:
            await self._stream(response, timer, reader=reader, on_text=on_text)
        elif kind == _WHOLE:
            reader.whole(parsed(await _body(response, MAX_ANSWER_BYTES)))
        else:
            start = (await _start(response, 200)).decode("utf-8", "replace")
            raise self._not_ours(f"{quoted(kind or 'no content type')}: {quoted(self._redact(start), max_chars=120)}")
        return reader.assembly.answer()

    async def _stream(
        self, response: httpx.Response, timer: asyncio.Timeout, *, reader: Reader, on_text: OnText | None
    ) -> None:
        events, size, pieces = EventReader(), 0, _pieces(response)
        async for piece in pieces:
            size += len(piece)
            if size > MAX_ANSWER_BYTES:
                raise _too_large()
            found = events.feed(piece)
            for event in found:
                self._read(reader, event.data, on_text=on_text)
                if reader.is_done:
                    timer.reschedule(None)
                    await _drain(pieces)
                    return
            if reader.assembly.stop is not None:
                self._wait(timer, "end", min(_END_S, self._deadlines.idle_s))
            elif found and reader.assembly.has_begun:  # comments and pieces of events are no sign of life
                self._wait(timer, "go on", self._deadlines.idle_s)

    def _read(self, reader: Reader, data: str, *, on_text: OnText | None) -> None:
        if data == "[DONE]":
            reader.is_done = True
            return
        known = len(reader.assembly.texts)
        reader.event(parsed(data))
        if on_text is not None:
            for text in reader.assembly.texts[known:]:
                on_text(text)

    async def _refuse(self, response: httpx.Response) -> None:
        """Raises for every status but 200."""
        status = response.status_code
        if status == 200:
            return
        if 300 <= status < 400:
            raise redirect_fault(status, self._redact(response.headers.get("location", "")[:2048]), self._asked)
        body = self._redact((await _start(response, MAX_ERROR_BYTES)).decode("utf-8", "replace")[:8192])
        after_s = retry_after_s(response.headers.get("retry-after"), now_s=time.time())
        raise http_fault(status, _json_or_text(body), self._asked, after_s=after_s)

    def _failure(self, error: TimeoutError | httpx.HTTPError, reader: Reader) -> AaosError:
        match error:
            case TimeoutError():
                return self._late()
            case httpx.ConnectTimeout():
                return self._unreachable(f"no connection in {self._deadlines.connect_s:g} s")
            case httpx.HTTPError():
                return self._broken(error, reader)

    def _late(self) -> AaosError:
        message = f"{self._asked.provider} did not {self._phase} in {self._until_s:g} s"
        return ProviderError(message, "submit again, or raise first_token_s or idle_s of the provider in models.yaml")

    def _unreachable(self, why: str) -> AaosError:
        remedy = f"look whether it runs and whether this is its address: {self._asked.url}"
        message = f"{self._asked.provider} cannot be reached: {why}"
        return TransientError(message, remedy, attempts=MAX_CONNECTIONS_TRIED)

    def _not_ours(self, what: str) -> AaosError:
        remedy = f"correct the provider's `url` in models.yaml, which is {self._asked.url}"
        return ProviderError(f"{self._asked.provider} sent {what}", remedy)

    def _broken(self, error: httpx.HTTPError, reader: Reader) -> AaosError:
        why = quoted(self._redact(_reason(error)), max_chars=200)[1:-1]
        if "CERTIFICATE_VERIFY_FAILED" in why:
            message = f"{self._asked.provider} at {self._asked.url} is not who it should be: {why}"
            return ProviderError(message, _AUTHORITIES)
        if isinstance(error, httpx.ConnectError | httpx.PoolTimeout):
            return self._unreachable(why)
        message = f"the connection to {self._asked.provider} broke: {why}"
        if reader.assembly.has_begun:
            return ProviderError(f"{message}; the answer was cut off", "submit the goal again")
        return TransientError(message, "submit the goal again", is_stale=True)


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """What follows the end of an answer, so that its connection can be used again; mostly it is there already."""
    left = _DRAIN_BYTES
    with contextlib.suppress(TimeoutError, httpx.HTTPError):  # then the connection is closed instead of kept
        async with asyncio.timeout(_DRAIN_S):
            async for piece in pieces:
                left -= len(piece)
                if left < 0:
                    return


def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes, not decompressed."""
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("a transport for asyncio gave another stream")
    return stream.__aiter__()


async def _body(response: httpx.Response, max_bytes: int) -> bytes:
    data = await _start(response, max_bytes + 1)
    if len(data) > max_bytes:
        raise _too_large()
    return data


async def _start(response: httpx.Response, max_bytes: int) -> bytes:
    data = bytearray()
    async for piece in _pieces(response):
        data += piece[: max_bytes - len(data)]
        if len(data) >= max_bytes:
            break
    return bytes(data)


def _listed(document: Json) -> tuple[str, ...]:
    entries = document.get("data") if isinstance(document, dict) else None
    names = (entry.get("id") for entry in entries or () if isinstance(entry, dict)) if isinstance(entries, list) else ()
    return tuple(name[:200] for name in names if isinstance(name, str))


def _reason(error: BaseException) -> str:
    """What an error says, or else what it came from says."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen and len(seen) < 8:
        if text := str(cause)[:500]:
            return text
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _too_large() -> LimitError:
    return LimitError(f"the provider's answer is larger than {MAX_ANSWER_BYTES} bytes", "ask for less at once")


def _json_or_text(body: str) -> Json:
    try:
        return parsed(body)
    except ProviderError:
        return body.strip()
