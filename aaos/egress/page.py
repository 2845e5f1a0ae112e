"""One fetch from address to text: connect, ask, make it text, and cut out the part that was asked for.

Invariant: what is foreign is parsed on a thread, so that a page that takes long to read holds up no other fetch; a
reading that does not end is an error that ends the process, since a thread cannot be stopped.
"""

import asyncio
import ssl
import time
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field

from aaos.egress import charset
from aaos.egress.connect import connect
from aaos.egress.exchange import PORTS, REDIRECTS, Answer, exchange
from aaos.egress.readable import readable
from aaos.egress.wire import Fetch, Fetched, FetchError, part_of

READERS = 2
LARGE_BYTES = 262_144  # of a body; larger ones are read one after the other, so that others need not wait for them
READ_S = 30.0  # rendering has its own bound, and parsing is linear; for what nobody has foreseen


class StuckError(FetchError):
    """A page is being read for so long that its thread is lost."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What fetches share: threads for names and for reading, and the authorities that are trusted."""

    lookups: Executor
    reading: Executor
    trust: ssl.SSLContext
    readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS - 1))


@dataclass(frozen=True, slots=True)
class Text:
    """The part of a page that was asked for, the length of all of it in bytes, and why it is not whole."""

    part: bytes
    total: int
    partial: str = ""


async def fetch_page(fetch: Fetch, tools: Tools) -> tuple[Fetched, bytes]:
    """The answer and its text. Raises FetchError; StuckError: nothing more can be relied on in this process."""
    until_s = time.monotonic() + fetch.total_ms / 1000
    try:
        async with asyncio.timeout(fetch.total_ms / 1000):
            connection = await connect(fetch, tools.lookups, tools.trust)
        try:
            answer = await exchange(fetch, connection, until_s=until_s)
        finally:
            connection.writer.close()
    except TimeoutError as error:
        raise FetchError("timeout", f"{fetch.host}: no answer in {fetch.total_ms / 1000:g} s") from error
    except OSError as error:
        raise FetchError("connect", f"{fetch.host}: the connection failed: {error}") from error
    return await _answered(fetch, answer, connection.address, tools)


async def _answered(fetch: Fetch, answer: Answer, address: str, tools: Tools) -> tuple[Fetched, bytes]:
    is_redirect = answer.status in REDIRECTS and bool(answer.location)
    kind = charset.kind_of(answer.content_type, bytes(answer.body[: charset.SNIFFED_BYTES]))
    text = Text(b"", 0)
    if answer.body and not is_redirect:
        text = await _text(fetch, answer, kind, tools)
    fetched = Fetched(
        id=fetch.id,
        status=answer.status,
        address=address,
        media_type=kind.media_type,
        location=answer.location if is_redirect else "",
        wire_bytes=answer.wire_bytes,
        body_bytes=len(answer.body),
        text_bytes=text.total,
        partial=answer.partial or text.partial,
    )
    return fetched, text.part


async def _text(fetch: Fetch, answer: Answer, kind: charset.Kind, tools: Tools) -> Text:
    """Raises StuckError: it took too long, or one before it whose fetch was given up."""
    async with tools.large if len(answer.body) > LARGE_BYTES else nullcontext(), tools.readers:
        try:
            async with asyncio.timeout(READ_S):
                return await asyncio.get_running_loop().run_in_executor(tools.reading, _read, fetch, answer, kind)
        except TimeoutError as error:
            raise StuckError("content", f"{fetch.host}: the page could not be read in {READ_S:g} s") from error


def _read(fetch: Fetch, answer: Answer, kind: charset.Kind) -> Text:
    text, partial = charset.decode(bytes(answer.body), kind), ""
    if fetch.is_readable and kind.is_html:
        text, is_whole = readable(text, _base(fetch))
        partial = "" if is_whole else "the page is nested too deep or asks for too much"
    data = text.encode("utf-8", "replace")
    return Text(part_of(data, fetch.offset, fetch.max_bytes), len(data), partial)


def _base(fetch: Fetch) -> str:
    port = "" if fetch.port == PORTS[fetch.scheme] else f":{fetch.port}"
    return f"{fetch.scheme}://{fetch.host}{port}{fetch.target}"
