"""One CONNECT request, read strictly: a place that is allowed, or a plain refusal."""

from http import HTTPStatus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aaos.egress.tunnel import HEAD_BYTES, Head, RefusedError, place_of, places, refusal, status_of

ALLOWED = places(("git.example:443", "[2001:db8::1]:8443", "127.0.0.1:80"), ("", "", "127.0.0.1/32"))
GOOD = b"CONNECT git.example:443 HTTP/1.1\r\nHost: git.example:443\r\n\r\n"


def read(*pieces: bytes) -> tuple[str, bytes] | None:
    """What comes of a head that arrives in these pieces."""
    head = Head()
    for piece in pieces:
        if (found := head.feed(piece)) is not None:
            return found
    return None


def refused(data: bytes) -> RefusedError:
    """Why this is no request for a place that is allowed."""
    with pytest.raises(RefusedError) as caught:
        place_of((read(data) or ("", b""))[0], ALLOWED)
    return caught.value


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        b"CONNECT git.example:443 HTTP/1.0\r\n\r\n",
        b"CONNECT GIT.Example:443 HTTP/1.1\r\nHost: x\r\nProxy-Connection: Keep-Alive\r\nUser-Agent: git/2\r\n\r\n",
    ],
)
def test_a_request_as_programs_write_it_is_understood(data: bytes) -> None:
    assert read(data) == ("git.example:443", b"")
    assert place_of("git.example:443", ALLOWED).host == "git.example"


def test_a_place_has_its_own_permitted_networks_and_no_others() -> None:
    """H-NET-03: that an inner address was granted permits it for that place alone."""
    assert [place_of(name, ALLOWED).permitted for name in ALLOWED] == [(), (), ("127.0.0.1/32",)]
    assert place_of("[2001:db8::1]:8443", ALLOWED).host == "[2001:db8::1]"


def test_a_request_in_pieces_waits_for_its_end_and_keeps_what_came_early() -> None:
    pieces = [GOOD[at : at + 1] for at in range(len(GOOD))]
    assert read(*pieces[:-1]) is None
    assert read(*pieces) == ("git.example:443", b"")
    assert read(GOOD + b"\x16\x03\x01 early") == ("git.example:443", b"\x16\x03\x01 early")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: git.example:443\r\n\r\n", 403),
        (b"CONNECT git.example:22 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"CONNECT git.example.:443 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"CONNECT git.example.evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"CONNECT evilgit.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"CONNECT git.example:0443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT git.example:99999 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT git.example HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT :443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT user@git.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT git.example:443/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT git.example:443#a:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT http://git.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT 127.1:80 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"CONNECT 2130706433:80 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"CONNECT [::ffff:127.0.0.1]:80 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"CONNECT [2001:db8:0::1]:8443 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"CONNECT git.example:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT git.example:443 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"CONNECT git.example:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"CONNECT git.example:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400),
        (b"CONNECT git.example:443 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"CONNECT git.example:443 HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"3" * 5_000 + b"\r\n\r\n", 400),
        (b"CONNECT git.example:443 HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"CONNECT  git.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT git.example:443\0 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"connect git.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET http://git.example/ HTTP/1.1\r\nHost: git.example\r\n\r\n", 405),
        (b"POST http://git.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"\x05\x01\x00", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"", 400),
        (b"CONNECT git.example:443 HTTP/1.1\r\nX: " + b"a" * HEAD_BYTES, 431),
    ],
)
def test_everything_else_is_refused_with_a_plain_status(data: bytes, status: int) -> None:
    """H-NET-03, H-NET-07, H-NET-08, H-NET-09, H-NET-10"""
    padded = data if status in (431, 405, 403) or b"\r\n\r\n" in data or not data else data + b"\r\n\r\n"
    assert refused(padded).status == status


def test_what_a_refused_cell_reads_is_a_whole_answer() -> None:
    answer = refusal(RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "GET: only CONNECT\r\nX: é\x1b"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head
    assert body.isascii()
    assert b"Allow" not in refusal(RefusedError(HTTPStatus.FORBIDDEN, "no"))


def test_why_a_place_was_not_reached_has_its_status() -> None:
    assert [status_of(code).value for code in ("address", "name", "connect", "timeout", "other")] == [
        403, 502, 502, 504, 502,
    ]  # fmt: skip


@given(st.lists(st.binary(max_size=300), max_size=12))
@example([b"CONNECT git.example:443 HTTP/1.1\r\n", b"Host: ", b"x\r\n\r\n", b""])
def test_no_bytes_are_anything_but_a_request_a_refusal_or_unfinished(pieces: list[bytes]) -> None:
    """H-FUZZ-10"""
    try:
        found = read(*pieces)
    except RefusedError:
        return
    assert found is None or ":" in found[0]
