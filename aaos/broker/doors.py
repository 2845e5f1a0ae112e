"""Doors of cells to the network: what the egress is told of one, and what of its word on them is believed and recorded.

Invariant: a place is one host and one port in the one normal form that pages have, too; what a cell's connections came
to is on record when its door has ended. Whether a place is granted is decided before.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from aaos.broker.fetch import permitted
from aaos.core.cell import CellRequest, HostPort, PlacedSecret
from aaos.core.errors import BusyError, ConfinementError, InputError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ports import AuditSink
from aaos.core.text import escape_for_terminal, quoted
from aaos.core.url import Url, parse_url
from aaos.egress import wire
from aaos.egress.wire import MAX_CONNECTIONS, MAX_DOORS
from worker import abi

MAX_PLACES = 64
OK = 200
SO_NETNS_COOKIE = 71  # asm-generic/socket.h, Linux 5.14
_SHOWN_CHARS = 300
_ADDRESS_CHARS = 64


@dataclass(slots=True)
class OpenDoor:
    """One door. `closed` is done when nothing goes through it any more."""

    cell: CellRequest
    allowed: frozenset[str]
    closed: "asyncio.Future[None]"
    connections: int = 0


def door_frame(
    number: int, allowed: Sequence[HostPort], max_bytes: int, secret: PlacedSecret | None = None
) -> wire.Door:
    """What the egress is told. Raises InputError for what is no place in its one normal form."""
    if not 1 <= len(allowed) <= MAX_PLACES:
        raise InputError(f"a door to {len(allowed)} places", f"name 1 to {MAX_PLACES} hosts")
    urls = [_url(place) for place in allowed]
    places = tuple(url.authority for url in urls), tuple(" ".join(permitted(url)) for url in urls)
    if secret is None:
        return wire.Door(number, *places, max_bytes)
    value = secret.header.prefix + secret.header.secret.reveal()
    frame = wire.Door(number, *places, max_bytes, secret.header.name, value, secret.forms(), secret.asks)
    if len(wire.encode(frame)) > abi.INLINE_BYTES:
        message = f"secret {secret.name} is too long to be placed for a program, with the forms that servers give it"
        raise InputError(message, f"set a shorter one: sudo agentd secrets set {secret.name} --host HOST")
    return frame


def _url(place: HostPort) -> Url:
    host = f"[{place.host}]" if ":" in place.host else place.host
    url = parse_url(f"https://{host}:{place.port}/")
    if url.authority != f"{host}:{place.port}":
        raise InputError(f"{quoted(place.host)} is an odd form of a host", f"write {url.host}")
    return url


def check_listener(fd: int) -> None:
    """A listening TCP socket of another network than ours, on its loopback. Raises ConfinementError."""
    try:
        with socket.socket(fileno=os.dup(fd)) as listener:
            _check(listener)
    except OSError as error:
        raise _no_listener(str(error)) from error


def _check(listener: socket.socket) -> None:
    is_tcp = listener.family == socket.AF_INET and listener.type == socket.SOCK_STREAM
    if not is_tcp or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise _no_listener("it is not a listening socket of TCP")
    if not listener.getsockname()[0].startswith("127."):
        raise _no_listener("it does not listen on a loopback")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as ours:
        if _network(listener) == _network(ours):
            raise _no_listener("it is in the network of this machine")


def _network(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)


def _no_listener(why: str) -> ConfinementError:
    return ConfinementError(f"the socket for a cell's network cannot be used: {why}", "run agentd doctor")


@dataclass(slots=True)
class Doors:
    """The open doors at the living egress."""

    audit: AuditSink
    _open: dict[int, OpenDoor] = field(default_factory=dict)

    def add(self, frame: wire.Door, cell: CellRequest) -> OpenDoor:
        """Raises BusyError."""
        if len(self._open) >= MAX_DOORS:
            raise BusyError(f"{MAX_DOORS} cells have a network by now", "try again later")
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        door = self._open[frame.id] = OpenDoor(cell, frozenset(frame.allowed), closed)
        return door

    def forget(self, number: int) -> None:
        """Nothing will come of this door any more."""
        del self._open[number]

    def heard(self, frame: wire.Tunnel | wire.Closed) -> None:
        """Raises FrameError for what an honest egress would not say."""
        door = self._open.get(frame.id)
        if door is None or door.closed.done():
            raise abi.FrameError(f"{frame.t} of door {frame.id}, which is not open")
        if isinstance(frame, wire.Closed):
            door.closed.set_result(None)
            return
        door.connections += 1
        if door.connections > MAX_CONNECTIONS:
            raise abi.FrameError(f"more than {MAX_CONNECTIONS} connections at one door")
        if frame.status == OK and frame.authority not in door.allowed:
            raise abi.FrameError("a connection to where none was allowed")
        self._record(door.cell, frame)

    def lost(self) -> None:
        """The egress has ended, and all of them with it."""
        for door in self._open.values():
            if not door.closed.done():
                door.closed.set_result(None)

    def _record(self, cell: CellRequest, frame: wire.Tunnel) -> None:
        host, port = _named(frame.authority)
        fields: dict[str, Scalar] = {"call": cell.call, "host": host, "port": port}
        if frame.status == OK:
            kind = EventKind.NETWORK_CONNECTED
            fields |= {
                "address": escape_for_terminal(frame.address[:_ADDRESS_CHARS]),
                "sent_bytes": frame.sent_bytes,
                "received_bytes": frame.received_bytes,
                "duration_ms": frame.duration_ms,
            }
        else:
            kind = EventKind.NETWORK_REFUSED
            fields["status"] = frame.status
        if cell.secret is not None:
            asked = escape_for_terminal(frame.asked[:_SHOWN_CHARS])
            fields |= {"secret": cell.secret.name, "asked": asked, "answer": frame.answer}
        if frame.message:
            fields["message"] = escape_for_terminal(frame.message[:_SHOWN_CHARS])
        self.audit.record(Event(kind, run=cell.run, subtask=cell.subtask, agent=cell.agent, fields=fields))


def _named(authority: str) -> tuple[str, int | None]:
    """Host and port as an event shows them, however the cell wrote them."""
    host, _, port = authority.rpartition(":")
    if host and port.isascii() and port.isdecimal() and len(port) <= len("65535"):
        return escape_for_terminal(host[:_SHOWN_CHARS]), int(port)
    return escape_for_terminal(authority[:_SHOWN_CHARS]), None
