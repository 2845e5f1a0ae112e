"""Servers that do their worst, against the confined egress: bounded, partial and said so, and nobody else held up."""

import asyncio
import gzip
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from aaos.broker.egress import Egress
from aaos.core.config import EgressSettings, Settings
from aaos.core.errors import AaosError, ToolError
from aaos.core.ports import Page
from tests.kernel.webserver import asked, egress, html, serving, text_of

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
TIMEOUT_S = 8
BODY = 2**20
SETTINGS = Settings(egress=EgressSettings(timeout_s=TIMEOUT_S, max_body_bytes=BODY))
Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def endless(head: bytes, piece: bytes, *, pause_s: float = 0.0) -> Play:
    """A server that says `head` and then `piece` for ever."""

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return play


def bomb() -> bytes:
    """A gigabyte in a megabyte."""
    return gzip.compress(b"x" * 2**20) * 1_024


HOSTILE: dict[str, bytes | Play] = {
    "/10-GiB": endless(OK + b"Content-Length: 10737418240\r\n\r\n", b"x" * 65_536),
    "/chunks": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 5_000),
    "/no-length": endless(OK + b"\r\n", b"x" * 65_536),
    "/trickle": endless(OK + b"\r\n", b"x", pause_s=0.5),
    "/headers": endless(OK, b"X: y\r\n" * 1_000),
    "/one-header": endless(OK + b"X: ", b"y" * 65_536),
    "/1xx": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "/slow-head": endless(b"HTTP/1.1 200 OK\r\nX: ", b"y", pause_s=0.5),
    "/trailers": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"X: y\r\n" * 1_000),
    "/bomb": OK + b"Content-Encoding: gzip\r\n\r\n" + bomb(),
    "/nested": html("<div>" * 100_000),
    "/links": html('<base href="http://h/' + "x" * 2_000 + '/">' + "<a href=y>z</a>" * 50_000),
    "/bytes": OK.replace(b"text/plain", b"image/png") + b"Content-Length: 3\r\n\r\n\x89PN",
}
PARTS = {"/10-GiB", "/chunks", "/no-length", "/trickle", "/bomb", "/links", "/trailers"}


def memory_bytes(pid: int) -> int:
    """The most that a process ever had in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) * 1024


def test_all_of_them_at_once_and_a_good_one_beside() -> None:
    """H-NET-10"""

    async def one(door: Egress, url: str) -> Page | AaosError:
        try:
            return await door.fetch(asked(url))
        except ToolError as error:
            return error

    async def run() -> None:

        async with egress(settings=SETTINGS) as door, serving({**HOSTILE, "/good": html("good")}) as server:
            pid = door.pid
            async with asyncio.TaskGroup() as group:
                ended = {path: group.create_task(one(door, server.url(path))) for path in HOSTILE}
                await asyncio.sleep(0.2)
                assert await text_of(door, server.url("/good")) == "good"
                assert not all(task.done() for task in ended.values()), "the others hold nobody up"
            came_to = {path: task.result() for path, task in ended.items()}
            partial = {path for path, page in came_to.items() if isinstance(page, Page) and page.partial}
            assert partial - {"/nested"} == PARTS, came_to
            assert {path for path, page in came_to.items() if isinstance(page, Page)} <= PARTS | {"/nested"}
            assert all(page.received_bytes <= BODY + 2**18 for page in came_to.values() if isinstance(page, Page))
            assert door.pid == pid, "it lives"
            assert memory_bytes(pid) < 512 * 2**20

    asyncio.run(run())


def test_a_fetch_that_nobody_waits_for_is_given_up() -> None:
    """BRK-9: cancelled by its id; its connection is closed, its place is free."""
    closed = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        closed.set()

    async def run() -> None:
        settings = Settings(egress=EgressSettings(max_parallel=1))
        async with egress(settings=settings) as door, serving({"/hang": watch, "/": html("next")}) as server:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await door.fetch(asked(server.url("/hang")))
            async with asyncio.timeout(5):
                await closed.wait()
                assert await text_of(door, server.url("/")) == "next"

    asyncio.run(run())


def test_as_many_at_once_as_the_settings_say() -> None:
    at_once: list[int] = [0, 0]

    async def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await asyncio.sleep(0.05)
        at_once[0] -= 1
        writer.write(html("x"))

    async def run() -> None:
        settings = Settings(egress=EgressSettings(max_parallel=4))
        async with egress(settings=settings) as door, serving({"/": count}) as server:
            pages = await asyncio.gather(*(text_of(door, server.url("/")) for _ in range(20)))
            assert pages == ["x"] * 20
            assert at_once[1] == 4

    asyncio.run(run())


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-NET-09: proxies, authorities, name resolution."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/dev/null")
    monkeypatch.setenv("LOCALDOMAIN", "evil.example")
    monkeypatch.setenv("HOSTALIASES", "/dev/null")

    async def run() -> None:
        async with egress() as door, serving({"/": html("direct")}) as server:
            assert await text_of(door, server.url("/")) == "direct"
            assert "proxy" not in server.heads[0].lower()

    asyncio.run(run())


def test_an_egress_that_is_stopped_does_not_hold_its_fetches_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was frozen is told from one that is busy, and replaced."""
    monkeypatch.setattr("aaos.broker.egress.GRACE_S", 0.5)

    async def run() -> None:
        settings = Settings(egress=EgressSettings(timeout_s=1))
        async with egress(settings=settings) as door, serving({"/": html("x")}) as server:
            before = door.pid
            os.kill(before, 19)  # SIGSTOP
            with pytest.raises(ToolError, match="did not answer"):
                await door.fetch(asked(server.url("/")))
            for _ in range(500):
                if door.pid not in (0, before):
                    break
                await asyncio.sleep(0.01)
            assert await text_of(door, server.url("/")) == "x"

    asyncio.run(run())
