"""What a cell asks of the one host that a secret is for, and what goes on of it; without I/O.

Invariant: a request that passes is written as agentd writes addresses, for an allowed place, by an allowed method and
path; of its headers those go on that are named here, and one of ours, which the cell cannot set. Of an answer's headers
those come back that are named here, without the secret. Framing is h11's, on either side; a request says in one way
where it ends. Source: RFC 9112, sections 3.2.2, 6.1; RFC 9110, section 7.6.1.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import h11

from aaos.egress.masking import Masking
from aaos.egress.tunnel import Place, RefusedError, place_of

HEAD_BYTES = 65_536
MAX_HEADERS = 128
HTTPS = 443
LENGTH_DIGITS = 18
FORWARDED = frozenset(
    b"accept accept-language content-encoding content-type git-protocol if-modified-since if-none-match"
    b" user-agent".split()
)
RETURNED = frozenset(
    b"cache-control content-disposition content-language content-length content-type date etag expires last-modified"
    b" location retry-after vary".split()
)
_FRAMING = frozenset(b"content-length transfer-encoding".split())
_TARGET = re.compile(
    r"http://(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[!$-&(-;=@-Z_a-z~]{0,4096})?(?P<query>\?[!$-;=?-Z_a-z~]{0,4096})?",
    re.ASCII | re.IGNORECASE,
)
_DOUBTFUL = re.compile(r"//|/\.{1,2}(/|$|;)|%2f|%5c|%2e|%25|%00", re.IGNORECASE)  # servers differ in what these mean
_PIECE = re.compile(r"\*\*|\*|[^*]+")


@dataclass(frozen=True, slots=True)
class Placing:
    """The secret of a door. `asks` are `METHOD /PATH`, in which `*` is within a segment and `**` across them."""

    header: str
    secret: str = field(repr=False)
    masked: tuple[str, ...] = field(repr=False)
    asks: tuple[str, ...]

    def masking(self) -> Masking:
        """For one answer."""
        return Masking((self.secret, *self.masked))


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that goes on: to `place`, as `target`, with all its headers, the secret's among them."""

    place: Place
    method: str
    target: str
    headers: Sequence[tuple[bytes, bytes]] = field(repr=False)


def asked(request: h11.Request, placing: Placing, allowed: Mapping[str, Place]) -> Asked:
    """What is asked for. Raises RefusedError."""
    method, target = request.method.decode("ascii"), request.target.decode("ascii")
    if method == "CONNECT":
        message = "a call that has a secret asks in plain http, which goes on as https"
        raise RefusedError(HTTPStatus.FORBIDDEN, message, target[:256])
    if request.http_version not in (b"1.0", b"1.1"):
        raise RefusedError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 is spoken here", target[:256])
    if len(request.headers) > MAX_HEADERS:
        raise RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers", target[:256])
    framing = {name for name, _ in request.headers} & _FRAMING
    if len(framing) > 1 or (b"transfer-encoding" in framing and request.http_version == b"1.0"):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "its end can be read in more than one way", target[:256])
    found = _TARGET.fullmatch(target)
    if found is None or int(found["port"] or HTTPS) > 65_535:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "a proxy is asked for http://HOST/PATH", target[:256])
    authority = f"{found['host'].lower()}:{found['port'] or HTTPS}"
    place = place_of(authority, allowed)
    path = found["path"] or "/"
    if _DOUBTFUL.search(path):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the path can be read in more than one way", authority)
    if not may_ask(placing.asks, method, path):
        message = f"{method[:20]} {path[:200]} is not what this tool may ask with a secret"
        raise RefusedError(HTTPStatus.FORBIDDEN, message, authority)
    return Asked(place, method, path + (found["query"] or ""), _headers(request, placing, place))


def may_ask(asks: Iterable[str], method: str, path: str) -> bool:
    """Whether one of `METHOD /PATH` is this."""
    for ask in asks:
        allowed, _, pattern = ask.partition(" ")
        if method == allowed and _expression(pattern).fullmatch(path):
            return True
    return False


def answered(response: h11.Response, placing: Placing, place: Place) -> h11.Response:
    """The head of an answer as the cell gets it. Raises RefusedError for one in which the secret could not be found."""
    headers, is_chunked = [], any(name == b"transfer-encoding" for name, _ in response.headers)
    for name, value in response.headers:
        if name == b"content-encoding" and value.strip().lower() != b"identity":
            raise RefusedError(
                HTTPStatus.BAD_GATEWAY, "the server compresses what it was not asked to", place.authority
            )
        if name in RETURNED:
            seen = placing.masking().whole(value)
            if name == b"content-length" and (is_chunked or seen != value or len(value) > LENGTH_DIGITS):
                continue  # it is not the length of the body, or no number (any more)
            headers.append((name, _as_asked(seen, place) if name == b"location" else seen))
    return h11.Response(status_code=response.status_code, headers=[*headers, (b"connection", b"close")])


def _headers(request: h11.Request, placing: Placing, place: Place) -> list[tuple[bytes, bytes]]:
    own = placing.header.lower().encode()
    kept = [(name, value) for name, value in request.headers if name in FORWARDED | _FRAMING and name != own]
    host = place.authority.removesuffix(f":{HTTPS}")
    return [
        (b"host", host.encode()),
        *kept,
        (b"accept-encoding", b"identity"),
        (b"connection", b"close"),
        (own, placing.secret.encode()),
    ]


def _as_asked(location: bytes, place: Place) -> bytes:
    """A redirect to the same host, as the cell asks for it; any other is left as it is, and leads nowhere."""
    for authority in (place.authority, place.authority.removesuffix(f":{HTTPS}")):
        begin = b"https://" + authority.encode()
        if location.lower().startswith((begin + b"/", begin + b"?")):
            return b"http://" + location[len(b"https://") :]
    return location


def _expression(pattern: str) -> re.Pattern[str]:
    wild = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(wild.get(piece) or re.escape(piece) for piece in _PIECE.findall(pattern)))
