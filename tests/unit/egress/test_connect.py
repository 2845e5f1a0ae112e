"""A name is looked up once, and every address that it stands for is checked before anything connects."""

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from aaos.egress import connect as room
from aaos.egress.wire import FetchError
from tests.unit.egress.answers import FETCH


class Names:
    """A name service: each look-up takes the next answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []
        self.tried: list[str] = []
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)
        monkeypatch.setattr(room, "_connected", self._connect)

    def _look_up(self, host: bytes, port: int, **_: object) -> list[tuple[Any, ...]]:  # Any: as the C library has it
        self.asked.append(host)
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        family = socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    async def _connect(self, _family: object, sockaddr: tuple[Any, ...]) -> socket.socket:  # Any: see above
        self.tried.append(sockaddr[0])
        raise ConnectionRefusedError(111, "refused")


def refused(host: str, *, permitted: tuple[str, ...] = ()) -> FetchError:
    """Why a fetch of this host does not get a connection."""

    async def run() -> None:
        with ThreadPoolExecutor(1) as pool:
            await room.connect(
                replace(FETCH, host=host, permitted=permitted), pool, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            )

    with pytest.raises(FetchError) as caught:
        asyncio.run(run())
    return caught.value


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "127.0.0.1"],
        ["93.184.216.34", "::1"],
        ["10.0.0.1", "93.184.216.34"],
        ["169.254.169.254"],
        ["::ffff:7f00:1"],
        ["fe80::1%1"],
    ],
)
def test_one_inner_address_refuses_the_whole_answer(monkeypatch: pytest.MonkeyPatch, answer: list[str]) -> None:
    """H-NET-05: A public and AAAA ::1; a CNAME to an inner name comes as its address."""
    names = Names(monkeypatch, answer)
    error = refused("rebind.example")
    assert (error.code, names.tried) == ("address", [])
    assert "rebind.example is " in error.message


def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-05: the second answer would be another; nobody asks for it."""
    names = Names(monkeypatch, ["93.184.216.34", "93.184.216.35"], ["127.0.0.1"])
    error = refused("rebind.example")
    assert (error.code, names.asked) == ("connect", [b"rebind.example"])
    assert names.tried == ["93.184.216.34", "93.184.216.35"]


def test_what_is_permitted_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, ["127.0.0.1"])
    assert refused("localhost", permitted=("127.0.0.0/8", "::1/128")).code == "connect"
    assert names.tried == ["127.0.0.1"]


def test_not_every_address_of_many_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, [f"93.184.216.{n}" for n in range(200)])
    assert refused("many.example").code == "connect"
    assert len(names.tried) == room.MAX_TRIED


def test_a_name_that_there_is_not_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    error = refused("none.invalid")
    assert (error.code, "Name or service not known" in error.message) == ("name", True)


def test_an_ipv6_address_is_looked_up_without_its_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, ["2606:4700::1"])
    assert refused("[2606:4700::1]").code == "connect"
    assert names.asked == [b"2606:4700::1"]
