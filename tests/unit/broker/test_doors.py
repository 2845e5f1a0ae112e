"""Doors of cells: which grants open one, what the egress is told, and what of its word is believed."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aaos.broker.doors import MAX_PLACES, Doors, door_frame
from aaos.core.cell import CellRequest, HostPort, PlacedSecret
from aaos.core.errors import BusyError, InputError
from aaos.core.events import Event, EventKind, Recorded
from aaos.core.ports import Header
from aaos.egress import wire
from aaos.egress.wire import MAX_CONNECTIONS, MAX_DOORS
from aaos.llm.keys import Key
from tests.unit.core.test_cell import _request as cell
from worker.abi import FrameError

TUNNEL = wire.Tunnel(1, "a.example:443", "93.184.216.34", 200, 10, 20, 30, "")


class Audit:
    """Keeps its events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event) -> Recorded:
        self.events.append(event)
        return Recorded(len(self.events), 0.0, event)


def heard(*frames: wire.Tunnel | wire.Closed, asked: CellRequest | None = None) -> Audit:
    """What is on record when the egress says this of door 1."""
    audit = Audit()

    async def run() -> None:
        doors = Doors(audit)
        doors.add(wire.Door(1, ("a.example:443",), ("",), 1_000), asked or cell())
        for frame in frames:
            doors.heard(frame)

    asyncio.run(run())
    return audit


def test_the_egress_is_told_places_in_their_normal_form_with_what_each_permits() -> None:
    """H-NET-03"""
    asked = [HostPort("a.example", 443), HostPort("127.0.0.1", 80), HostPort("::1", 81), HostPort("localhost", 82)]
    frame = door_frame(4, asked, 1_000)
    assert frame.allowed == ("a.example:443", "127.0.0.1:80", "[::1]:81", "localhost:82")
    assert frame.permitted == ("", "127.0.0.1", "::1", "127.0.0.0/8 ::1/128")


@pytest.mark.parametrize(
    "host",
    [
        *"127.1 2130706433 0x7f000001 A.example a.example. *.example a/b u@a a:1 [::1] ::ffff:7f00:1 0::1".split(),
        "a b",
        "",
    ],
)
def test_an_odd_form_of_a_host_opens_no_door(host: str) -> None:
    """H-NET-03, H-NET-07"""
    with pytest.raises(InputError):
        door_frame(1, [HostPort(host, 443)], 1_000)


@pytest.mark.parametrize("count", [0, MAX_PLACES + 1])
def test_a_door_has_some_places_and_not_too_many(count: int) -> None:
    with pytest.raises(InputError):
        door_frame(1, [HostPort(f"h{number}.example", 443) for number in range(count)], 1_000)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_port_is_one(port: int) -> None:
    with pytest.raises(InputError):
        door_frame(1, [HostPort("a.example", port)], 1_000)


def test_each_connection_is_on_record_for_its_call() -> None:
    asked = cell()
    (event,) = heard(TUNNEL, asked=asked).events
    assert (event.kind, event.run, event.subtask, event.agent) == (
        EventKind.NETWORK_CONNECTED, asked.run, asked.subtask, asked.agent,
    )  # fmt: skip
    assert event.fields == {
        "call": asked.call, "host": "a.example", "port": 443, "address": "93.184.216.34",
        "sent_bytes": 10, "received_bytes": 20, "duration_ms": 30,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("authority", "host", "port"),
    [
        ("b.example:22", "b.example", 22),
        ("[::1]:80", "[::1]", 80),
        ("", "", None),
        (":5", ":5", None),
        ("x:٣", "x:٣", None),
        ("x:99999999", "x:99999999", None),
        ("\x1b[2J\n:1", "\\e[2J\\n", 1),
    ],
)
def test_a_refused_connection_is_on_record_however_it_was_written(authority: str, host: str, port: int | None) -> None:
    """H-SEC-09"""
    (event,) = heard(replace(TUNNEL, authority=authority, status=403, message="no\x1b" * 500)).events
    assert event.kind is EventKind.NETWORK_REFUSED
    assert (event.fields["host"], event.fields["port"], event.fields["status"]) == (host, port, 403)
    assert "\x1b" not in str(event.fields["message"])
    assert len(str(event.fields["message"])) < 1_000


@pytest.mark.parametrize(
    "frames",
    [
        (replace(TUNNEL, id=2),),
        (wire.Closed(2),),
        (wire.Closed(1), wire.Closed(1)),
        (wire.Closed(1), TUNNEL),
        (replace(TUNNEL, authority="b.example:443"),),
        (replace(TUNNEL, status=403),) * (MAX_CONNECTIONS + 1),
    ],
)
def test_what_an_honest_egress_would_not_say_breaks_the_wire(frames: tuple[Any, ...]) -> None:  # Any: either frame
    with pytest.raises(FrameError):
        heard(*frames)


def test_there_are_only_so_many_and_a_lost_egress_closes_all() -> None:
    async def run() -> None:
        doors = Doors(Audit())
        made = [doors.add(wire.Door(number, (), (), 1), cell()) for number in range(MAX_DOORS)]
        with pytest.raises(BusyError):
            doors.add(wire.Door(MAX_DOORS, (), (), 1), cell())
        doors.lost()
        assert all(door.closed.done() for door in made)
        doors.lost()
        doors.forget(0)
        doors.add(wire.Door(0, (), (), 1), cell())

    asyncio.run(run())


SECRET = PlacedSecret("github", Header("X-Token", "T ", Key("github", "tok-12345678")), ("GET /**",), lambda: ("form",))


def test_the_egress_is_told_a_secret_with_what_it_goes_with() -> None:
    """TOL-9, H-SEC-04: and nobody who looks at the frame or the request."""
    frame = door_frame(4, [HostPort("a.example", 443)], 1_000, SECRET)
    assert (frame.header, frame.secret, frame.masked, frame.asks) == (
        "X-Token",
        "T tok-12345678",
        ("form",),
        ("GET /**",),
    )
    assert wire.decode(wire.encode(frame), wire.TO_EGRESS) == frame
    for shown in (repr(frame), repr(SECRET), repr(replace(cell(), secret=SECRET))):
        assert "12345678" not in shown


def test_what_was_asked_with_a_secret_is_on_record_with_its_name() -> None:
    """TOL-9, H-SEC-09"""
    asked = replace(TUNNEL, asked="GET /p?q=\x1b[2J" + "x" * 500, answer=404)
    (event,) = heard(asked, asked=replace(cell(), secret=SECRET)).events
    assert (event.fields["secret"], event.fields["answer"]) == ("github", 404)
    assert str(event.fields["asked"]).startswith("GET /p?q=\\e[2J")
    assert len(str(event.fields["asked"])) < 400
    assert "asked" not in heard(TUNNEL).events[0].fields


def test_a_secret_that_no_message_holds_is_refused_and_ends_no_egress() -> None:
    """TOL-9: the egress would take a message that is too long for the end of agentd."""
    forms = tuple("x" * 4_096 for _ in range(20))
    with pytest.raises(InputError, match="too long to be placed") as caught:
        door_frame(4, [HostPort("a.example", 443)], 1_000, replace(SECRET, forms=lambda: forms))
    assert "12345678" not in caught.value.message
