"""The egress' filter against all that it does in good faith: nothing needed is refused, no row is for nothing."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.broker.egress import Egress
from aaos.core.cell import HostPort
from aaos.core.config import EgressSettings, Settings
from aaos.core.errors import AaosError
from aaos.sandbox import filters
from aaos.sandbox.egress import launch_egress
from aaos.sandbox.filters import EGRESS_ROWS, Profile, Refusal, compile_filter
from aaos.sandbox.rows import Row
from aaos.sandbox.session import reap
from tests.kernel.cellside import Inside
from tests.kernel.certificates import Authority, authority
from tests.kernel.harness import Audit
from tests.kernel.networks import PUBLIC, PUBLIC_6, Answer, NameServer, naming, own_network
from tests.kernel.test_filters_rows import GLIBC, NOT_NEEDED_HERE
from tests.kernel.webserver import Server, asked, egress, html, serving, started, text_of
from tests.unit.core.test_cell import _request as cell_request

# With Debian 13's libraries memory comes by mmap alone, and OpenSSL asks the kernel itself for random numbers.
NOT_NEEDED = NOT_NEEDED_HERE ^ ({"mremap", "brk", "getrandom"} if GLIBC >= (2, 41) else set())
Names = Mapping[str, Sequence[Answer]]
PAGE = "<h1>title</h1><p>some words"
LONG = "<p>some words of a long page" * 20_000


@pytest.fixture(scope="module")
def vouching(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority to trust."""
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with own_network(PUBLIC, PUBLIC_6):
        yield


async def _conform(tmp_path: Path, vouching: Authority, audit: Audit) -> None:
    """Names over UDP and TCP, of IPv4 and IPv6 servers; plain and TLS; long pages, many at once, errors, a cancel."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\nnameserver ::1\noptions timeout:1 attempts:1\n")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    resolver = {name: tmp_path / name for name in ("resolv.conf", "hosts")}
    settings = Settings(egress=EgressSettings(authorities=vouching.certificate))
    names: Names = {"site.example": [[PUBLIC, PUBLIC_6]], "six.example": [[PUBLIC_6]], "silent.example": [None]}
    async with (
        naming(NameServer(names)),
        naming(NameServer(names, is_short=True), "::1"),
        serving({"/": html(PAGE)}, "") as plain,
        serving({"/": html(LONG)}, "", vouching.server("localhost")) as safe,
        egress(settings=settings, audit=audit, resolver=resolver) as door,
    ):
        for host in ("localhost", "site.example", "six.example", "127.0.0.1", "[::1]"):
            assert "some words" in await text_of(door, plain.url("/", host=host))
        silent = asyncio.create_task(_refused(door, "http://silent.example/"))
        await asyncio.sleep(0.3)
        await _through_a_door(door, plain)
        os.kill(door.pid, signal.SIGSTOP)
        await asyncio.sleep(0.1)
        os.kill(door.pid, signal.SIGCONT)
        await silent
        (tmp_path / "new").write_text("nameserver ::1\noptions timeout:1 attempts:1\n")
        (tmp_path / "new").rename(tmp_path / "resolv.conf")
        door._files.refresh()
        assert "some words" in await text_of(door, plain.url("/", host="site.example"))
        assert "some words" in await text_of(door, f"https://localhost:{safe.port}/", max_bytes=500_000)
        pages = await asyncio.gather(*(text_of(door, plain.url("/", host="localhost")) for _ in range(32)))
        assert len(set(pages)) == 1
        for url in ("http://none.example/", "http://127.0.0.1:9/", f"http://127.0.0.1:{safe.port}/"):
            await _refused(door, url)
    await _ends(settings, tmp_path)


async def _through_a_door(door: Egress, plain: Server) -> None:
    """A page as a program in a cell gets it."""
    with Inside() as inside:
        request = replace(cell_request(), egress=(HostPort("site.example", plain.port),))
        async with door.open_door(inside.fd, request):
            inside.let_go()
            client = await inside.connect()
            await client.ask(f"CONNECT site.example:{plain.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"some words" in await client.read()
    assert door.pid, "it has not ended of it"


async def _refused(door: Egress, url: str) -> None:
    with pytest.raises(AaosError, match=r"(none|silent)\.example|127\.0\.0\.1"):
        await door.fetch(asked(url))


async def _ends(settings: Settings, tmp_path: Path) -> None:
    """One that agentd lets go of ends by itself, and well."""
    with tempfile.TemporaryDirectory(prefix="aaos-") as name:
        made = await launch_egress(settings, Path(name), tmp_path)
        made.sock.close()
        ended = await asyncio.to_thread(os.waitid, os.P_PIDFD, made.pidfd, os.WEXITED | os.WNOWAIT)
        await reap(made.pidfd)
        assert ended is not None
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)


def _came_to(tmp_path: Path, vouching: Authority, patch: pytest.MonkeyPatch, *, without: Collection[Row] = ()) -> str:
    """What became of it under a filter whose refusals kill."""
    program = compile_filter(Profile.EGRESS, refusal=Refusal.TRAP, without=without)
    patch.setattr(filters, "egress_filter", lambda: program)
    audit = Audit()
    try:
        asyncio.run(_conform(tmp_path, vouching, audit))
    except (AaosError, AssertionError, ConnectionError) as error:
        return f"{type(error).__name__}: {error}"[:200]
    return "well" if started(audit) == 1 else "lost"


def test_nothing_that_it_needs_is_refused(tmp_path: Path, vouching: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-SBX-22"""
    assert _came_to(tmp_path, vouching, monkeypatch) == "well"


def test_it_comes_to_the_same_under_the_filter_that_is_shipped(tmp_path: Path, vouching: Authority) -> None:
    """H-SBX-22"""
    audit = Audit()
    asyncio.run(_conform(tmp_path, vouching, audit))
    assert started(audit) == 1


@pytest.mark.parametrize("row", EGRESS_ROWS, ids=lambda row: f"{row.call}-{row.reason}")
def test_each_row_is_needed(tmp_path: Path, vouching: Authority, monkeypatch: pytest.MonkeyPatch, row: Row) -> None:
    """H-SBX-23: without it the egress dies of it, or a page is not had."""
    is_well = _came_to(tmp_path, vouching, monkeypatch, without=(row,)) == "well"
    assert is_well is (row.call in NOT_NEEDED)
