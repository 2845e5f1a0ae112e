"""The messages between agentd and the egress: typed, or refused."""

import json
from typing import Any

import pytest

from aaos.egress import wire
from worker.abi import FrameError

FETCH = wire.Fetch(1, "http", "h", 80, "/", "GET", ("127.0.0.0/8",), True, 0, 64, 2**40, 2**20, 1000)
FETCHED = wire.Fetched(1, 200, "1.2.3.4", "text/html", "", 10, 20, 30, "")
FAILED = wire.Failed(1, "tls", "no")


DOOR = wire.Door(3, ("a.example:443", "127.0.0.1:80"), ("", "127.0.0.1"), 2**30)
TUNNEL = wire.Tunnel(3, "a.example:443", "1.2.3.4", 200, 5, 6, 7, "")


@pytest.mark.parametrize("frame", [FETCH, wire.Cancel(7), DOOR, wire.Shut(3)])
def test_what_agentd_says_arrives_as_it_was(frame: wire.ToEgress) -> None:
    assert wire.decode(wire.encode(frame), wire.TO_EGRESS) == frame


@pytest.mark.parametrize("frame", [FETCHED, FAILED, TUNNEL, wire.Closed(3)])
def test_what_the_egress_says_arrives_as_it_was(frame: wire.FromEgress) -> None:
    assert wire.decode(wire.encode(frame), wire.FROM_EGRESS) == frame


@pytest.mark.parametrize(
    "change",
    [
        {"status": "200"},
        {"status": -1},
        {"status": True},
        {"status": 1.0},
        {"status": 2**60},
        {"location": None},
        {"location": ["x"]},
        {"extra": 1},
        {"t": "fetch"},
        {"t": None},
        {"t": ["fetched"]},
        {"id": None},
    ],
)
def test_a_frame_of_other_types_is_refused(change: dict[str, Any]) -> None:  # Any: wrong on purpose
    document = json.loads(wire.encode(FETCHED)) | change
    with pytest.raises(FrameError):
        wire.decode(json.dumps(document).encode(), wire.FROM_EGRESS)


@pytest.mark.parametrize("name", ["id", "status", "partial"])
def test_a_frame_that_lacks_a_field_is_refused(name: str) -> None:
    document = json.loads(wire.encode(FETCHED))
    del document[name]
    with pytest.raises(FrameError, match="missing"):
        wire.decode(json.dumps(document).encode(), wire.FROM_EGRESS)


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"{}", b'{"t":"failed"', b"\xff", b"[" * 100_000])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        wire.decode(data, wire.FROM_EGRESS)


def test_each_side_hears_only_the_other() -> None:
    with pytest.raises(FrameError):
        wire.decode(wire.encode(FETCH), wire.FROM_EGRESS)
    with pytest.raises(FrameError):
        wire.decode(wire.encode(FETCHED), wire.TO_EGRESS)


@pytest.mark.parametrize("permitted", ["127.0.0.0/8", [1], None])
def test_permitted_networks_are_a_list_of_texts(permitted: object) -> None:
    document = json.loads(wire.encode(FETCH)) | {"permitted": permitted}
    with pytest.raises(FrameError):
        wire.decode(json.dumps(document).encode(), wire.TO_EGRESS)
