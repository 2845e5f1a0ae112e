"""Names and addresses, with real name servers: what was checked is what is connected to (H-NET-03 to H-NET-05)."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from aaos.broker.egress import Egress
from aaos.core.errors import DeniedError, ToolError
from tests.kernel.networks import (
    AAAA,
    NXDOMAIN,
    OTHER,
    PUBLIC,
    PUBLIC_6,
    SERVFAIL,
    A,
    Answer,
    NameServer,
    naming,
    own_network,
)
from tests.kernel.webserver import Server, asked, egress, html, serving, text_of

METADATA = "169.254.169.254"


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    """A network with addresses that look like the open internet's, a LAN's and a cloud's."""
    with own_network(PUBLIC, OTHER, PUBLIC_6, "192.168.1.1", "10.0.0.1", "100.64.0.1", METADATA):
        yield


@dataclass
class Scene:
    """An egress, a server of names, and one of pages at every address of the network."""

    door: Egress
    names: NameServer
    pages: Server
    settings: Path

    async def fetch(self, name: str) -> str:
        """The text of the page at this name, with no inner address permitted."""
        return await text_of(self.door, self.pages.url("/", host=name), permitted=())

    async def refusal(self, name: str) -> str:
        """Why it is not fetched; nobody was connected to."""
        before = len(self.pages.heads)
        with pytest.raises(DeniedError) as caught:
            await self.fetch(name)
        assert len(self.pages.heads) == before
        assert self.pages.connections == before
        return caught.value.message


@asynccontextmanager
async def scene(
    tmp_path: Path, answers: Mapping[str, Sequence[Answer]], *, is_short: bool = False, hosts: str = ""
) -> AsyncIterator[Scene]:
    """A scene whose names are these."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    (tmp_path / "hosts").write_text(hosts)
    resolver = {name: tmp_path / name for name in ("resolv.conf", "hosts")}
    async with (
        naming(NameServer(answers, is_short)) as names,
        serving({"/": html("page")}, "") as pages,
        egress(resolver=resolver) as door,
    ):
        yield Scene(door, names, pages, tmp_path)


@pytest.mark.parametrize("is_short", [False, True], ids=["UDP", "TCP"])
def test_a_name_of_the_open_internet_is_fetched_by_its_name(tmp_path: Path, is_short: bool) -> None:
    async def run() -> None:
        async with scene(tmp_path, {"site.example": [[PUBLIC]]}, is_short=is_short) as made:
            assert await made.fetch("site.example") == "page"
            assert f"\r\nHost: site.example:{made.pages.port}\r\n" in made.pages.heads[0]

    asyncio.run(run())


def test_a_name_of_ipv6_alone_is_fetched(tmp_path: Path) -> None:
    async def run() -> None:
        async with scene(tmp_path, {"six.example": [[PUBLIC_6]]}) as made:
            page = await made.door.fetch(asked(made.pages.url("/", host="six.example"), permitted=()))
            assert page.address == PUBLIC_6

    asyncio.run(run())


def test_a_second_answer_is_never_asked_for(tmp_path: Path) -> None:
    """H-NET-05: TTL 0, the first answer public, the second loopback; with the next fetch it is looked at anew."""

    async def run() -> None:
        async with scene(tmp_path, {"rebind.example": [[PUBLIC], ["127.0.0.1"]]}) as made:
            page = await made.door.fetch(asked(made.pages.url("/", host="rebind.example"), permitted=()))
            assert page.address == PUBLIC
            assert sorted(kind for _, kind in made.names.asked) == [A, AAAA]
            assert "rebind.example is 127.0.0.1, which is of this machine" in await made.refusal("rebind.example")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([PUBLIC, "::1"], "of this machine"),
        ([PUBLIC, "127.0.0.1"], "of this machine"),
        ([PUBLIC, "10.0.0.1"], "private"),
        ([PUBLIC_6, "10.0.0.1"], "private"),
        (["inner.example", "inner.example=192.168.1.1"], "private"),
        ([METADATA], "metadata"),
        (["100.64.0.1"], "shared"),
        (["0.0.0.0"], "of this network"),  # noqa: S104  # an answer to refuse
        (["::"], "of this machine"),
        (["::ffff:10.0.0.1"], "mapped"),
        (["64:ff9b::7f00:1"], "NAT64"),
        (["2002:7f00:1::"], "6to4"),
        (["fd00:ec2::254"], "private"),
        (["fe80::1"], "link-local"),
        (["224.0.0.1"], "multicast"),
        (["255.255.255.255"], "reserved"),
    ],
    ids=str,
)
def test_a_name_that_stands_for_an_inner_address_is_refused(tmp_path: Path, answer: list[str], why: str) -> None:
    """H-NET-04, H-NET-05: A public and AAAA ::1; a CNAME to an inner name; every disguise."""

    async def run() -> None:
        async with scene(tmp_path, {"evil.example": [answer]}) as made:
            assert why in await made.refusal("evil.example")

    asyncio.run(run())


def test_names_of_this_machine_and_its_network_are_refused(tmp_path: Path) -> None:
    """H-NET-03, H-NET-04"""
    hosts = f"127.0.0.1 localhost\n::1 localhost\n192.168.1.1 router.lan\n{METADATA} metadata.google.internal\n"

    async def run() -> None:
        async with scene(tmp_path, {}, hosts=hosts) as made:
            for name in ("localhost", "router.lan", "metadata.google.internal", "127.0.0.1", "[::1]", METADATA):
                await made.refusal(name)

    asyncio.run(run())


def test_names_that_there_are_not_are_errors_and_hold_nobody_up(tmp_path: Path) -> None:
    names: dict[str, Sequence[Answer]] = {
        "none.example": [NXDOMAIN], "broken.example": [SERVFAIL], "silent.example": [None], "site.example": [[PUBLIC]],
    }  # fmt: skip

    async def run() -> None:
        async with scene(tmp_path, names) as made, asyncio.TaskGroup() as group:
            silent = [group.create_task(_error(made.fetch("silent.example"))) for _ in range(16)]
            for name in ("none.example", "broken.example"):
                assert "cannot be resolved" in (await _error(made.fetch(name))).message
            assert await made.fetch("site.example") == "page"
            for task in silent:
                assert "cannot be resolved" in (await task).message

    asyncio.run(run())


async def _error(work: object) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await work  # type: ignore[misc]  # a coroutine
    return caught.value


def test_new_settings_of_name_resolution_are_used_without_a_new_egress(tmp_path: Path) -> None:
    async def run() -> None:
        async with scene(tmp_path, {"moved.example": [[OTHER]]}) as made:
            before = made.door.pid
            (tmp_path / "new").write_text(f"{PUBLIC} moved.example\n")
            (tmp_path / "new").rename(tmp_path / "hosts")
            for _ in range(100):
                page = await made.door.fetch(asked(made.pages.url("/", host="moved.example"), permitted=()))
                if page.address == PUBLIC:
                    break
                await asyncio.sleep(0.1)
            assert (page.address, made.door.pid) == (PUBLIC, before)

    asyncio.run(run())
