"""Requests are read whole and within bounds; anything else is an error."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.devprovider.requests import (
    BUFFER_BYTES,
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    Head,
    parse_head,
    read_body,
    read_head,
)


def _read(data: bytes, *, limit: int = 1000) -> tuple[Head, bytes] | None:
    async def read() -> tuple[Head, bytes] | None:
        reader = asyncio.StreamReader(limit=limit)
        reader.feed_data(data)
        reader.feed_eof()
        head = await read_head(reader)
        return None if head is None else (head, await read_body(reader, head))

    return asyncio.run(read())


def test_a_request_is_read() -> None:
    found = _read(b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: h\r\nContent-Length:  5 \r\nX-A: b: c\r\n\r\nhello")
    assert found is not None
    head, body = found
    assert (head.method, head.path, body) == ("POST", "/v1/messages", b"hello")
    assert head.headers == {"host": "h", "content-length": "5", "x-a": "b: c"}
    assert not head.is_last


def test_a_body_may_come_in_chunks() -> None:
    found = _read(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n"
    )
    assert found is not None
    assert found[1] == b"abc0123456789"


def test_a_head_has_its_own_bound_below_that_of_the_buffer() -> None:
    start = b"GET / HTTP/1.1\r\nA: "
    fitting = start + b"x" * (MAX_HEAD_BYTES - len(start) - 4) + b"\r\n\r\n"
    assert _read(fitting, limit=BUFFER_BYTES) is not None
    with pytest.raises(InputError, match="the head is over 65536 bytes"):
        _read(fitting.replace(b"A: ", b"A: x"), limit=BUFFER_BYTES)


def test_the_end_of_the_connection_is_no_request() -> None:
    assert _read(b"") is None
    assert _read(b"\r\n") is None


def test_a_client_may_be_done_after_this() -> None:
    assert parse_head(b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n").is_last


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: h\r\n",
        b"GET /\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"\x16\x03\x01\x02\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 2000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 200 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        _read(data)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_request_or_an_error(data: bytes) -> None:
    """H-FUZZ-01"""
    try:
        parse_head(data)
    except InputError as error:
        assert error.remedy  # noqa: PT017  # some are requests
