"""Fuzzing of the egress' door that places a secret: what a cell asks there, and what a server answers.

Invariant: as `aaos.egress.placed` goes about it, without sockets; the secret is in no byte that a cell would get, and
in one place of what goes to the server.
"""

import zlib
from collections.abc import Iterator
from http import HTTPStatus

import h11

from aaos.egress.asking import HEAD_BYTES, Placing, answered, asked, may_ask
from aaos.egress.tunnel import RefusedError, places

REQUESTS = (
    b"GET http://git.example/r/info/refs?service=x HTTP/1.1\r\nHost: git.example\r\nUser-Agent: git/2\r\n\r\n",
    b"POST http://other.example:8443/r/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    b"Content-Type: a/b\r\nAuthorization: Bearer theirs\r\n\r\nabc",
    b"POST http://git.example:443/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\nHost: y\r\n\r\n1\r\nx\r\n0\r\n\r\n",
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 25\r\nEtag: x\r\n\r\nhow Bearer canary-1 is it",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ncanar\r\n4;x=y\r\ny-1!\r\n0\r\nA: canary-1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 No\r\nDate: canary-1\r\n\r\nuntil the end canary-1",
    b"HTTP/1.1 302 Found\r\nLocation: https://git.example/a?canary-1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: canary-1\r\n\r\nY2FuYXJ5LTE=",
)
PLACING = Placing("authorization", "Bearer canary-1", ("canary-1", "Y2FuYXJ5LTE="), ("GET /*/info/refs", "POST /**"))
ALLOWED = places(("git.example:443", "other.example:8443"), ("", ""))


def door_request(data: bytes) -> bool:
    """What a cell says at a door whose requests get a secret: what goes on is one request, to where the secret is for,
    and the secret once; another reader of HTTP sees the same."""
    inner = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
    try:
        inner.receive_data(data)
        request = inner.next_event()
    except (h11.RemoteProtocolError, ValueError):  # as `placed` reads it
        return False
    if not isinstance(request, h11.Request):
        return False
    try:
        wanted = asked(request, PLACING, ALLOWED)
    except RefusedError:
        return False
    sent = h11.Connection(h11.CLIENT).send(
        h11.Request(method=wanted.method, target=wanted.target, headers=list(wanted.headers))
    )
    assert sent is not None
    first, *lines = sent.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert first == f"{wanted.method} {wanted.target} HTTP/1.1".encode()
    assert may_ask(PLACING.asks, wanted.method, wanted.target.partition("?")[0])
    names = [line.partition(b":")[0].lower() for line in lines]
    assert names.count(b"authorization") == names.count(b"host") == 1
    assert b"canary" in data or sent.count(b"canary") == 1
    assert wanted.place in ALLOWED.values()
    return True


def door_answer(data: bytes) -> bool:
    """What a server says, in pieces of any length: the cell gets an answer that a client of HTTP reads to its end, or
    nothing more; taken are whole answers."""
    told = bytearray()
    try:
        for piece in _told(data):
            told += piece
        is_whole = True
    except (h11.RemoteProtocolError, ValueError, RefusedError):  # as `placed` reads them
        is_whole = False
    assert not any(form.encode() in told for form in (PLACING.secret, *PLACING.masked)), told
    if is_whole:
        events = list(_events(h11.Connection(h11.CLIENT), bytes(told)))
        assert isinstance(events[0], h11.Response)
        assert isinstance(events[-1], h11.EndOfMessage)
    return is_whole


def _told(data: bytes) -> Iterator[bytes]:
    """What the cell is told. Raises RemoteProtocolError, ValueError, RefusedError."""
    inner = h11.Connection(h11.SERVER)
    inner.receive_data(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    inner.next_event()
    masking, is_over = PLACING.masking(), False
    for event in _events(h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES), data):
        if isinstance(event, h11.Response):
            yield inner.send(answered(event, PLACING, ALLOWED["git.example:443"])) or b""
        elif isinstance(event, h11.Data):
            yield inner.send(h11.Data(data=masking.feed(bytes(event.data)))) or b""
        is_over = isinstance(event, h11.EndOfMessage)
    if not is_over:
        raise RefusedError(HTTPStatus.BAD_GATEWAY, "it breaks off")
    yield inner.send(h11.Data(data=masking.end())) or b""
    yield inner.send(h11.EndOfMessage()) or b""


def _events(outer: h11.Connection, data: bytes) -> Iterator[object]:
    """Until the answer is over. Raises RemoteProtocolError, ValueError."""
    outer.send(h11.Request(method="GET", target="/x", headers=[("host", "a")]))
    outer.send(h11.EndOfMessage())
    step, at = zlib.crc32(data) % 40 + 1, 0
    while True:
        event = outer.next_event()
        if event is not h11.NEED_DATA:
            yield event
            if not isinstance(event, h11.Response | h11.InformationalResponse | h11.Data):
                return
            continue
        outer.receive_data(data[at : at + step])
        at += step
