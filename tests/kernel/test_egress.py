"""The egress as a process: confined, attested, supervised; and pages through it from a real server (TOL-8)."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from aaos.core.config import EgressSettings, Settings, WorkerSettings
from aaos.core.errors import AaosError, ConfinementError, DeniedError, SettingsError, ToolError
from aaos.core.events import EventKind
from aaos.sandbox.egress import LAYERS
from aaos.sandbox.ids import egress_ids
from aaos.sandbox.strays import kill_strays
from tests.kernel.harness import Audit, children
from tests.kernel.webserver import alive, asked, egress, html, serving, started, text_of

PAGE = "<title>News</title><h2>First</h2><p>some <a href='/two'>words</a>"


def test_a_page_comes_through_the_confined_egress() -> None:
    """TOL-8, ISO-9"""
    audit = Audit()

    async def run() -> None:
        async with egress(audit=audit) as door, serving({"/": html(PAGE)}) as server:
            page = await door.fetch(asked(server.url("/")))
            assert page.text.decode() == f"# News\n\n## First\n\nsome [words]({server.url('/two')})"
            assert (page.status, page.media_type, page.address) == (200, "text/html", "127.0.0.1")
            assert await text_of(door, server.url("/", host="localhost")) != ""

    asyncio.run(run())
    (event,) = [event for event in audit.events if event.kind is EventKind.EGRESS_STARTED]
    assert event.fields["layers"] == " ".join(sorted(LAYERS))
    assert event.fields["host_uid"] == 1_900_065_535


def test_it_is_nobody_with_nothing_but_the_network() -> None:
    """ISO-6, H-SEC-01: seen from outside."""

    async def run() -> None:
        async with egress() as door:
            proc = Path(f"/proc/{door.pid}")
            status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
            assert set(status["Uid"].split()) == {"1900065535"}
            assert (status["NoNewPrivs"], status["Seccomp"], status["CapBnd"]) == ("1", "2", "0" * 16)
            assert (proc / "environ").read_bytes() == b""
            assert set(os.listdir(proc / "root")) == {"dev", "proc", "etc", ".landlock-canary"}
            assert set(os.listdir(proc / "root/etc")) <= {
                "resolv.conf", "hosts", "gai.conf", "nsswitch.conf", "ca-certificates.crt",
            }  # fmt: skip
            assert os.stat(proc / "ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino
            for name in ("mnt", "pid", "ipc", "uts", "user"):
                assert os.stat(proc / "ns" / name).st_ino != os.stat(f"/proc/self/ns/{name}").st_ino
            assert [pid for pid in children() if pid != door.pid] == [], "its boot has ended"

    asyncio.run(run())


def test_fetches_run_in_parallel() -> None:
    async def slow(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await both.wait()
        writer.write(html("slow"))

    async def other(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        both.set()
        writer.write(html("other"))

    both = asyncio.Event()

    async def run() -> None:
        async with egress() as door, serving({"/slow": slow, "/other": other}) as server:
            async with asyncio.timeout(5):
                texts = await asyncio.gather(text_of(door, server.url("/slow")), text_of(door, server.url("/other")))
            assert list(texts) == ["slow", "other"]

    asyncio.run(run())


def test_an_inner_address_is_refused_unless_it_is_permitted() -> None:
    """H-NET-03, H-NET-04"""

    async def run() -> None:
        async with egress() as door, serving({"/": html(PAGE)}) as server:
            for host in ("127.0.0.1", "localhost"):
                with pytest.raises(DeniedError, match="which is of this machine") as caught:
                    await door.fetch(asked(server.url("/", host=host), permitted=()))
                assert "--net" in caught.value.remedy
            with pytest.raises(DeniedError):
                await door.fetch(asked(server.url("/"), permitted=("127.0.0.2",)))
            assert server.heads == []

    asyncio.run(run())


def test_an_egress_that_is_killed_fails_its_fetches_at_once_and_comes_back() -> None:
    """TOL-8: kill -9 with fetches in flight."""

    async def forever(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        asking.set()
        await asyncio.Event().wait()

    asking, audit = asyncio.Event(), Audit()

    async def run() -> None:
        async with egress(audit=audit) as door, serving({"/hang": forever, "/": html("back")}) as server:
            async with asyncio.timeout(15), asyncio.TaskGroup() as group:
                fetches = [group.create_task(_error_of(door.fetch(asked(server.url("/hang"))))) for _ in range(3)]
                await asking.wait()
                os.kill(door.pid, signal.SIGKILL)
                errors = [await fetch for fetch in fetches]
                assert all(isinstance(error, ToolError) and "egress ended" in error.message for error in errors)
                with pytest.raises(ConfinementError, match="the egress was lost"):
                    await door.fetch(asked(server.url("/")))
                await alive(door)
                assert await text_of(door, server.url("/")) == "back"

    asyncio.run(run())
    assert started(audit) == 2
    lost = [event for event in audit.events if event.kind is EventKind.EGRESS_LOST]
    assert lost[0].fields["pending"] == 3


def test_slow_servers_of_one_user_keep_no_other_waiting() -> None:
    """H-RES-13: however many fetches a user has under way, half of the places are not his; the others wait."""

    async def forever(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        asking.release()
        await asyncio.Event().wait()

    asking = asyncio.Semaphore(0)
    settings = Settings(egress=EgressSettings(max_parallel=4))

    async def run() -> None:
        async with egress(settings=settings) as door, serving({"/hang": forever, "/": html("quick")}) as server:
            hog = [asyncio.create_task(door.fetch(asked(server.url("/hang"), uid=1000))) for _ in range(8)]
            await asking.acquire()
            await asking.acquire()
            async with asyncio.timeout(5):
                texts = await asyncio.gather(*(text_of(door, server.url("/"), uid=uid) for uid in (1001, 1001, 0)))
            assert texts == ["quick"] * 3
            assert len([head for head in server.heads if "/hang" in head]) == 2
            for task in hog:
                task.cancel()
            await asyncio.wait(hog)
            assert await text_of(door, server.url("/"), uid=1000) == "quick"

    asyncio.run(run())


async def _error_of(work: object) -> AaosError | None:
    try:
        await work  # type: ignore[misc]  # a coroutine
    except AaosError as error:
        return error
    return None


def test_without_an_egress_nothing_is_fetched_and_the_remedy_is_told() -> None:
    audit = Audit()

    async def run() -> None:
        settings = Settings(egress=EgressSettings(user="no-such-user"))
        async with egress(settings=settings, audit=audit) as door, serving({"/": html(PAGE)}) as server:
            with pytest.raises(ConfinementError, match="there is no user no-such-user") as caught:
                await door.fetch(asked(server.url("/")))
            assert "adduser --system" in caught.value.remedy
            assert server.heads == []

    asyncio.run(run())
    assert [event.kind for event in audit.events] == [EventKind.EGRESS_REFUSED]


def test_the_loss_of_a_zygote_does_not_end_the_egress() -> None:
    """ISO-11: it is a child in a pid namespace of its own as well, and no worker."""

    async def run() -> None:
        async with egress() as door, serving({"/": html("here")}) as server:
            pid = door.pid
            assert kill_strays(set(), spared_uid=egress_ids(Settings())[0]) == ()
            assert await text_of(door, server.url("/")) == "here"
            assert door.pid == pid

    asyncio.run(run())


def test_the_egress_is_never_root() -> None:
    with pytest.raises(SettingsError, match="is root"):
        egress_ids(Settings(egress=EgressSettings(user="root")))
    assert egress_ids(Settings(egress=EgressSettings(user="nobody")))[0] == 65_534
    settings = Settings(worker=WorkerSettings(uid_first=70_000, uid_count=16))
    assert egress_ids(settings) == (70_015, 70_015)
