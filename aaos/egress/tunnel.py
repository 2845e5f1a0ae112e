"""What a cell asks at its door, and what it is answered: one CONNECT request, read strictly, without I/O.

Invariant: a request is for one of the places that agentd allowed, written as agentd writes them (letters of either
case), or it is refused; nothing of a request but this place matters, and nothing of it goes on to a server. Framing is
h11's. Source: RFC 9110, section 9.3.6; RFC 9112, section 3.2.3.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import h11

HEAD_BYTES = 8_192
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253}):([1-9][0-9]{0,4})", re.ASCII)
_STATUSES = {  # of what `connect` raises
    "address": HTTPStatus.FORBIDDEN,
    "name": HTTPStatus.BAD_GATEWAY,
    "connect": HTTPStatus.BAD_GATEWAY,
    "timeout": HTTPStatus.GATEWAY_TIMEOUT,
}


class RefusedError(Exception):
    """The cell gets this status and these words, and no connection."""

    def __init__(self, status: HTTPStatus, message: str, authority: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.authority = authority


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cell may connect. `authority` is `HOST:PORT`; `permitted` are networks beyond the open internet."""

    authority: str
    host: str
    port: int
    permitted: tuple[str, ...]


def places(allowed: Sequence[str], permitted: Sequence[str]) -> Mapping[str, Place]:
    """The places of a door by their authority, as agentd names them. Raises ValueError when they are none."""
    found = {}
    for authority, networks in zip(allowed, permitted, strict=True):
        host, _, port = authority.rpartition(":")
        found[authority] = Place(authority, host, int(port), tuple(networks.split()))
    return found


class Head:
    """The begin of a connection, piece by piece, until its request is whole."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    def feed(self, data: bytes) -> tuple[str, bytes] | None:
        """The authority that is asked for and what came after the request; None while it is not whole.

        Raises RefusedError for the end of the connection (no data) and for what is no CONNECT request.
        """
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
        except ValueError as error:  # a length of more digits than Python reads
            raise RefusedError(HTTPStatus.BAD_REQUEST, "not HTTP as it should be: a length without end") from error
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            raise RefusedError(status, f"not HTTP as it should be: {error}") from error
        if event is h11.NEED_DATA:
            return None
        if not isinstance(event, h11.Request):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the connection ended before a request")
        return _authority(event), self._http.trailing_data[0]


def place_of(authority: str, allowed: Mapping[str, Place]) -> Place:
    """The place that is meant. Raises RefusedError for one that is not allowed."""
    place = allowed.get(authority)
    if place is None:
        raise RefusedError(HTTPStatus.FORBIDDEN, f"{authority} is not granted to this call", authority)
    return place


def status_of(code: str) -> HTTPStatus:
    """What a cell is answered when its place cannot be reached."""
    return _STATUSES.get(code, HTTPStatus.BAD_GATEWAY)


def refusal(error: RefusedError) -> bytes:
    """The whole answer to a request that is refused."""
    words = f"{error.message}\n".encode("ascii", "backslashreplace")
    allow = "Allow: CONNECT\r\n" if error.status is HTTPStatus.METHOD_NOT_ALLOWED else ""
    head = (
        f"HTTP/1.1 {error.status.value} {error.status.phrase}\r\n{allow}Content-Type: text/plain\r\n"
        f"Content-Length: {len(words)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + words


def _authority(request: h11.Request) -> str:
    target = request.target.decode("ascii")  # h11 lets nothing else pass
    if request.method != b"CONNECT":
        method = request.method.decode("ascii")[:20]
        raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method}: only CONNECT is possible here", target[:256])
    if request.http_version not in (b"1.0", b"1.1"):
        raise RefusedError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 is spoken here", target[:256])
    if any(name in (b"content-length", b"transfer-encoding") for name, _ in request.headers):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "CONNECT has no body", target[:256])
    authority = target.lower()
    found = _AUTHORITY.fullmatch(authority)
    if found is None or int(found[2]) > 65_535:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "CONNECT is followed by HOST:PORT", target[:256])
    return authority
