"""From an answer to the part of its text that was asked for."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from aaos.egress import page as room
from aaos.egress.charset import Kind
from aaos.egress.connect import Connection
from aaos.egress.exchange import Answer
from aaos.egress.page import StuckError, Tools, fetch_page
from aaos.egress.wire import Fetch, Fetched, FetchError
from tests.unit.egress.answers import FETCH, Asked

HTML = b"<title>T</title><p>caf\xc3\xa9 <a href=/x>link</a>"


@pytest.fixture
def tools() -> Iterator[Tools]:
    """Threads and no authorities."""
    with ThreadPoolExecutor(1) as pool:
        yield Tools(pool, pool, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def fetched(
    monkeypatch: pytest.MonkeyPatch,
    tools: Tools,
    answer: Answer | Exception,
    **changes: Any,  # Any: fields of a Fetch
) -> tuple[Fetched, bytes]:
    """The page that a server's answer is."""

    async def connect(*_: object) -> Connection:
        asked: Any = Asked()  # Any: it stands for a StreamWriter
        return Connection(asyncio.StreamReader(), asked, "93.184.216.34")

    async def exchange(_fetch: Fetch, _connection: Connection, *, until_s: float) -> Answer:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(room, "connect", connect)
    monkeypatch.setattr(room, "exchange", exchange)
    return asyncio.run(fetch_page(replace(FETCH, **changes), tools))


def html(body: bytes = HTML, status: int = 200) -> Answer:
    return Answer(status, "", "text/html; charset=utf-8", "", bytearray(body), len(body), "")


def test_html_is_made_readable_with_links_of_its_own_address(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    got, text = fetched(monkeypatch, tools, html())
    assert text.decode() == "# T\n\ncafé [link](http://h.example/x)"
    assert (got.status, got.media_type, got.address) == (200, "text/html", "93.184.216.34")
    assert (got.body_bytes, got.text_bytes) == (len(HTML), len(text))


def test_a_port_and_https_are_part_of_a_links_base(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    _, text = fetched(monkeypatch, tools, html(), scheme="https", port=8443)
    assert b"(https://h.example:8443/x)" in text


def test_the_source_is_given_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    assert fetched(monkeypatch, tools, html(), is_readable=False)[1] == HTML


def test_a_long_text_comes_in_parts_that_join(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    words = "ä日😀" * 500
    parts, offset = b"", 0
    while True:
        got, part = fetched(monkeypatch, tools, html(words.encode()), offset=offset, max_bytes=101)
        part.decode()  # no half character
        parts += part
        offset += len(part)
        if offset >= got.text_bytes:
            break
        assert 98 <= len(part) <= 101
    assert parts.decode() == words


def test_an_offset_beyond_the_end_gives_nothing(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    assert fetched(monkeypatch, tools, html(), offset=10_000)[1] == b""


def test_an_offset_inside_a_character_begins_after_it(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    assert fetched(monkeypatch, tools, html("😀b".encode()), offset=2)[1].decode("utf-8", "replace").endswith("b")


def test_a_redirect_has_no_text(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    got, text = fetched(monkeypatch, tools, Answer(302, "https://e.org/", "text/html"))
    assert (got.location, text) == ("https://e.org/", b"")


def test_a_location_without_a_redirect_is_nothing(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    assert fetched(monkeypatch, tools, replace(html(), location="https://e.org/"))[0].location == ""


def test_why_a_page_is_partial_is_told(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    assert fetched(monkeypatch, tools, replace(html(), partial="cut"))[0].partial == "cut"
    assert "nested too deep" in fetched(monkeypatch, tools, html(b"<div>" * 5_000 + b"x"))[0].partial


def test_what_is_no_text_is_an_error(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    with pytest.raises(FetchError, match="image/png"):
        fetched(monkeypatch, tools, replace(html(), content_type="image/png"))


@pytest.mark.parametrize(("error", "code"), [(TimeoutError(), "timeout"), (OSError(5, "broken"), "connect")])
def test_other_errors_have_their_code(
    monkeypatch: pytest.MonkeyPatch, tools: Tools, error: Exception, code: str
) -> None:
    with pytest.raises(FetchError) as caught:
        fetched(monkeypatch, tools, error)
    assert caught.value.code == code


def test_a_page_that_is_read_without_end_is_told_as_such(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    """H-NET-10: one tag with very many attributes keeps libxml2 busy for an hour, and no thread can be stopped."""
    is_over = threading.Event()

    def endless(*_: object) -> room.Text:
        is_over.wait(10)
        return room.Text(b"", 0)

    monkeypatch.setattr(room, "_read", endless)
    monkeypatch.setattr(room, "READ_S", 0.01)
    with pytest.raises(StuckError, match="could not be read"):
        fetched(monkeypatch, tools, html())
    is_over.set()


def test_large_pages_leave_a_reader_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-10: a small page is read while large ones take their time."""
    is_over = threading.Event()

    def read(_fetch: Fetch, answer: Answer, _kind: object) -> room.Text:
        if len(answer.body) > room.LARGE_BYTES:
            is_over.wait(10)
        return room.Text(b"read", 4)

    async def main() -> None:
        with ThreadPoolExecutor(room.READERS) as pool:
            shared = Tools(pool, pool, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            kind = Kind("text/html", "")
            large = [asyncio.create_task(room._text(FETCH, html(bytes(300_000)), kind, shared)) for _ in range(4)]
            await asyncio.sleep(0)  # they come first
            try:
                async with asyncio.timeout(5):
                    assert (await room._text(FETCH, html(b"small"), kind, shared)).part == b"read"
            finally:
                is_over.set()
            await asyncio.gather(*large)

    monkeypatch.setattr(room, "_read", read)
    asyncio.run(main())
