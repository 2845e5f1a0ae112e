"""One request and its answer, with a server that does what it likes (H-NET-08, H-NET-10)."""

import gzip
from typing import Any

import pytest

from aaos import __version__
from aaos.egress import exchange as room
from aaos.egress.exchange import HEAD_BYTES, MAX_HEADERS, MAX_INTERIM
from aaos.egress.wire import FetchError
from tests.unit.egress.answers import play

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def test_what_is_asked_is_the_address_and_nothing_of_ours() -> None:
    """H-NET-08, H-NET-09: no cookie, no login, no proxy's header, whatever the environment says."""
    _, asked = play(OK + b"Content-Length: 0\r\n\r\n")
    lines = asked.decode().split("\r\n")
    assert lines[0] == "GET /a?b HTTP/1.1"
    assert lines[1] == "Host: h.example"
    assert f"User-Agent: aaos/{__version__}" in lines
    names = {line.partition(":")[0].lower() for line in lines[1:] if line}
    assert names == {"host", "user-agent", "accept", "accept-encoding", "connection"}


@pytest.mark.parametrize(
    ("scheme", "host", "port", "line"),
    [
        ("http", "h", 80, "h"),
        ("http", "h", 443, "h:443"),
        ("https", "h", 443, "h"),
        ("https", "[::1]", 8443, "[::1]:8443"),
    ],
)
def test_the_host_is_named_with_its_port(scheme: str, host: str, port: int, line: str) -> None:
    _, asked = play(OK + b"Content-Length: 0\r\n\r\n", scheme=scheme, host=host, port=port)
    assert f"\r\nHost: {line}\r\n".encode() in asked


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/a\nX: y", "/\0", "/\x7f", "/é"])
def test_a_target_that_is_no_target_is_never_sent(target: str) -> None:
    """H-NET-08: agentd never sends one; if it did, it would go no further."""
    with pytest.raises((FetchError, Exception), match=r".") as caught:
        play(OK, target=target)
    assert "target" in str(caught.value).lower() or isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 5\r\n\r\nwords",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nwo\r\n3\r\nrds\r\n0\r\n\r\n",
        OK + b"\r\nwords",
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nwords",
        OK + b"Content-Length: 5\r\n\r\nwords and more than was announced",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nwords",
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"words"),
        OK.replace(b"\r\n", b"\n") + b"\nwords",
    ],
    ids=range(8),
)
def test_the_body_is_what_the_server_means(answer: bytes) -> None:
    got, _ = play(*(answer[at : at + 7] for at in range(0, len(answer), 7)))
    assert (got.status, got.content_type, bytes(got.body), got.partial) == (200, "text/plain", b"words", "")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OK + b"Content-Length: 10\r\n\r\nwords", "without sending complete message body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwords\r\n", "incomplete chunked read"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwords\r\nzz\r\n", "illegal chunk header"),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"words" * 9_000)[:-4], "breaks off"),
    ],
)
def test_a_page_that_breaks_off_is_partial(answer: bytes, why: str) -> None:
    """H-NET-10: Content-Length that lies; chunks that end nowhere."""
    got, _ = play(answer)
    assert got.body.startswith(b"words")
    assert why in got.partial


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200",
        b"HTTP/0.9 words",
        b"<html>no head",
        b"HTTP/1.1 99 No\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nwords",
        OK + b"Content-Length: -1\r\n\r\nwords",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nwords",
        OK + b"Content-Length: 5, 6\r\n\r\nwords",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
        OK + b"Content-Length: " + b"3" * 5_000 + b"\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Content-Encoding: br\r\n\r\nwords",
        OK + b"Content-Encoding: gzip\r\n\r\nwords",
        OK + b"Bad Name: x\r\n\r\nwords",
        OK + b"X: a\0b\r\n\r\nwords",
        OK + b"X: " + b"a" * HEAD_BYTES * 2,
        OK + b"X: y\r\n" * (MAX_HEADERS + 1) + b"\r\nwords",
        OK + b"X: y\r\n" * 100_000 + b"\r\nwords",
        b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INTERIM + 2),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    ],
    ids=range(22),
)
def test_an_answer_that_cannot_be_understood_is_an_error(answer: bytes) -> None:
    """H-NET-10: headers without end, interim answers without end, lengths that lie."""
    with pytest.raises(FetchError):
        play(answer)


def test_a_long_body_is_cut_and_says_so() -> None:
    """H-NET-10"""
    got, _ = play(OK + b"Content-Length: 10737418240\r\n\r\n" + b"x" * 200_000, is_cut=False, body_bytes=100_000)
    assert (len(got.body), got.partial) == (100_000, "cut after 100000 bytes of text")


def test_endless_chunks_are_cut() -> None:
    got, _ = play(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000, is_cut=False, wire_bytes=60_000)
    assert got.partial == "cut after 60000 bytes"
    assert got.wire_bytes == 60_000
    assert len(got.body) < 10_000


def test_a_bomb_is_cut() -> None:
    """H-NET-10: the whole of it is never made."""
    bomb = gzip.compress(bytes(50 * 2**20))
    got, _ = play(OK + b"Content-Encoding: gzip\r\n\r\n" + bomb, body_bytes=100_000)
    assert (len(got.body), got.partial) == (100_000, "cut after 100000 bytes of text")


def test_a_server_that_says_nothing_runs_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FIRST_BYTE_S", 0.01)
    with pytest.raises(FetchError, match=r"nothing came for 0\.01 s") as caught:
        play(is_cut=False)
    assert caught.value.code == "timeout"


def test_a_server_that_stops_in_the_middle_leaves_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "IDLE_S", 0.01)
    got, _ = play(OK + b"Content-Length: 10\r\n\r\nwords", is_cut=False)
    assert bytes(got.body) == b"words"
    assert "nothing came for 0.01 s" in got.partial


def test_the_time_of_a_fetch_is_over_however_often_something_comes() -> None:
    with pytest.raises(FetchError, match="the time of the fetch is over"):
        play(is_cut=False, total_ms=10)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_without_a_body(status: int) -> None:
    answer = b"HTTP/1.1 %d Go\r\nLocation: https://e.org/x\r\nContent-Length: 5\r\n\r\nwords" % status
    got, _ = play(answer)
    assert (got.status, got.location, bytes(got.body)) == (status, "https://e.org/x", b"")


@pytest.mark.parametrize("lines", [b"", b"Location: /a\r\nLocation: /b\r\n"], ids=["none", "two that differ"])
def test_a_redirect_to_nowhere_is_a_page(lines: bytes) -> None:
    got, _ = play(b"HTTP/1.1 302 Go\r\n" + lines + b"Content-Length: 5\r\n\r\nwords")
    assert (got.location, bytes(got.body)) == ("", b"words")


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", OK + b"Content-Length: 500\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n"),
    ],
)
def test_what_has_no_body_is_not_waited_for(method: str, answer: bytes) -> None:
    got, _ = play(answer, is_cut=False, method=method)
    assert (bytes(got.body), got.partial) == (b"", "")


def test_a_connection_that_cannot_be_written_to_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(_self: Any) -> None:  # Any: a stand-in
        raise ConnectionResetError("gone")

    monkeypatch.setattr("tests.unit.egress.answers.Asked.drain", gone)
    with pytest.raises(FetchError, match="the connection ended"):
        play(OK)
