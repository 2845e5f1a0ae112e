"""What agentd and the egress say to each other: one JSON message per fetch, and one for its end; the same for doors.

Invariant: `decode` returns a frame whose every field has the declared type, or raises `abi.FrameError`. Neither side
trusts the other beyond that: agentd checks addresses, the egress where they lead. The text of a page travels as a
sealed memfd beside its frame, the listening socket of a cell as the fd beside its door.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from worker import abi


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get one address, without following it elsewhere. `host` has IPv6 in brackets, `target` is path and query.

    `permitted` are the networks (CIDR) that may be reached although they are not of the open internet. The answer holds
    `max_bytes` of the text from byte `offset` on; `wire_bytes` and `body_bytes` bound what is read before and after
    decompression. With a `header` the
    `secret` is sent as that header.
    """

    t: ClassVar[str] = "fetch"
    id: int
    scheme: str
    host: str
    port: int
    target: str
    method: str
    permitted: tuple[str, ...]
    is_readable: bool
    offset: int
    max_bytes: int
    wire_bytes: int
    body_bytes: int
    total_ms: int
    header: str = ""
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for this fetch any more."""

    t: ClassVar[str] = "cancel"
    id: int


@dataclass(frozen=True, slots=True)
class Door:
    """Let a cell connect to these places; one fd: the cell's own listening socket, where it asks with CONNECT.

    `allowed` are `HOST:PORT` in their one normal form; `permitted` has for each of them the networks (CIDR, separated
    by spaces) that may be reached although they are not of the open internet. `max_bytes` bounds what moves through the
    door, both ways together. With a `header` the cell asks in plain HTTP for `asks` (`METHOD /PATH`, with `*` and
    `**`), which go on over TLS with the `secret` as that header; `masked` are forms of it that come back to no cell.
    """

    t: ClassVar[str] = "door"
    id: int
    allowed: tuple[str, ...]
    permitted: tuple[str, ...]
    max_bytes: int
    header: str = ""
    secret: str = field(default="", repr=False)
    masked: tuple[str, ...] = field(default=(), repr=False)
    asks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shut:
    """The cell has ended, or may connect no more: whatever is open at this door ends, then `Closed` follows."""

    t: ClassVar[str] = "shut"
    id: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """The server's answer; one fd: the text asked for. With a `location` it is a redirect, and there is no text.

    `address` is the one that was connected to; `text_bytes` is the length of the whole text, of which the fd holds the
    part asked for; `partial` says why the page is not whole, or is empty.
    """

    t: ClassVar[str] = "fetched"
    id: int
    status: int
    address: str
    media_type: str
    location: str
    wire_bytes: int
    body_bytes: int
    text_bytes: int
    partial: str


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer. `code` is one of `CODES`, `message` may hold the server's words."""

    t: ClassVar[str] = "failed"
    id: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One connection at door `id` has ended. `status` is what the cell was answered, 200 for a connection it had.

    `authority` is the `HOST:PORT` that was asked for, as far as it could be read; `address` the one connected to;
    `message` is why it was refused or cut, or is empty. Where a secret was placed, `asked` is the method and target of
    the request, `answer` the server's status.
    """

    t: ClassVar[str] = "tunnel"
    id: int
    authority: str
    address: str
    status: int
    sent_bytes: int
    received_bytes: int
    duration_ms: int
    message: str
    asked: str = ""
    answer: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing goes through this door any more, and every connection at it was told."""

    t: ClassVar[str] = "closed"
    id: int


MAX_DOORS = 32  # at once
MAX_CONNECTIONS = 1_024  # of a door in all
CODES = ("address", "name", "connect", "tls", "http", "timeout", "content", "busy", "internal")
ToEgress = Fetch | Cancel | Door | Shut
FromEgress = Fetched | Failed | Tunnel | Closed
TO_EGRESS: tuple[type[ToEgress], ...] = (Fetch, Cancel, Door, Shut)
FROM_EGRESS: tuple[type[FromEgress], ...] = (Fetched, Failed, Tunnel, Closed)


class FetchError(Exception):
    """There is no page: what a `Failed` says."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


F = TypeVar("F", ToEgress, FromEgress)
_CHECKS: Mapping[object, Callable[[object], bool]] = {
    int: lambda value: type(value) is int and 0 <= value <= abi.MAX_INT,
    str: lambda value: type(value) is str,
    bool: lambda value: type(value) is bool,
    tuple[str, ...]: lambda value: type(value) is list and all(type(item) is str for item in value),
}


def encode(frame: ToEgress | FromEgress) -> bytes:
    """The frame as one JSON document."""
    return json.dumps({"t": frame.t, **asdict(frame)}, separators=(",", ":")).encode()


def decode(data: bytes, allowed: tuple[type[F], ...]) -> F:
    """The one frame in `data`, which must be of an `allowed` type. Raises FrameError."""
    document = abi.parse(data)
    if not isinstance(document, dict):
        raise abi.FrameError("a frame must be a JSON object")
    kind = document.pop("t", None)
    for frame_type in allowed:
        if frame_type.t == kind:
            return _build(frame_type, document)
    raise abi.FrameError(f"{str(kind)[:40]!r} is not a frame that may arrive here")


def part_of(data: bytes, offset: int, max_bytes: int) -> bytes:
    """At most `max_bytes` from `offset` on, without half a character at its end."""
    part = data[offset : offset + max_bytes]
    end = len(part)
    while end < len(data) - offset and end and data[offset + end] & 0xC0 == 0x80:  # the middle of a character
        end -= 1
    return part[:end]


def _build(frame_type: type[F], document: Mapping[str, Any]) -> F:  # Any: values of decoded JSON
    declared = {each.name: each.type for each in fields(frame_type)}
    if set(document) != set(declared):
        raise abi.FrameError(f"{frame_type.t}: missing or unknown fields {sorted(set(document) ^ set(declared))[:4]}")
    for name, kind in declared.items():
        if not _CHECKS[kind](document[name]):
            raise abi.FrameError(f"{name}: has the wrong type or is out of range")
    values: dict[str, Any] = {  # Any: of the declared types, as checked above
        name: tuple(value) if type(value) is list else value for name, value in document.items()
    }
    return frame_type(**values)
