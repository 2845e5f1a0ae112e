"""A web server on loopback that says what a test wants, byte for byte; and an egress of the product to fetch with."""

import asyncio
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aaos.broker.egress import Egress
from aaos.broker.nameservice import RESOLVER, NameService
from aaos.core.config import Settings
from aaos.core.events import EventKind
from aaos.core.ports import Page, PageRequest
from aaos.core.url import parse_url
from aaos.sandbox.egress import launch_egress
from aaos.sandbox.ids import egress_ids
from tests.kernel.harness import Audit

LOOPBACK = ("127.0.0.0/8", "::1/128")
Answer = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """What it answers by path, and what it was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _tasks: set[object] = field(default_factory=set)  # asyncio itself would let go of one that waits

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._tasks.add(asyncio.current_task())
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            answer = self.answers.get(head.split(" ")[1], html("not found", status="404 No"))
            if callable(answer):
                await answer(reader, writer)
            else:
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever fetches has gone
        finally:
            writer.close()


def html(body: str, *, status: str = "200 OK", **headers: str) -> bytes:
    """An answer with a page."""
    data = body.encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(data)}\r\n{lines}\r\n".encode() + data


@asynccontextmanager
async def serving(
    answers: Mapping[str, Answer], host: str = "127.0.0.1", trust: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """A server with these answers, at every address of the network when `host` is empty."""
    made = Server(dict(answers))
    sock = socket.create_server((host, 0)) if host else _everywhere()
    listener = await asyncio.start_server(made.serve, sock=sock, ssl=trust)
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listener.close()


def _everywhere() -> socket.socket:
    return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)


@asynccontextmanager
async def egress(
    *, settings: Settings | None = None, audit: Audit | None = None, resolver: Mapping[str, Path] = RESOLVER
) -> AsyncIterator[Egress]:
    """The product's egress under supervision."""
    chosen = settings or Settings()
    with tempfile.TemporaryDirectory(prefix="aaos-egress-") as name:
        files = NameService(
            Path(name, "etc"), chosen.egress.authorities, owner=lambda: egress_ids(chosen), resolver=resolver
        )
        launch = partial(launch_egress, chosen, Path(name, "template"), files.directory)
        made = Egress(chosen.egress, audit or Audit(), files=files, launch=launch)
        await made.start()
        supervision = asyncio.create_task(made.supervise())
        try:
            yield made
        finally:
            supervision.cancel()
            await asyncio.wait((supervision,))
            await made.stop()


def asked(url: str, **changes: object) -> PageRequest:
    """A request for a page on loopback."""
    fields: dict[str, object] = {
        "uid": 0, "method": "GET", "permitted": LOOPBACK, "is_readable": True,
        "offset": 0, "max_bytes": 49_152, "wire_bytes": None,
    }  # fmt: skip
    return PageRequest(url=parse_url(url), **(fields | changes))  # type: ignore[arg-type]  # as the test names them


async def text_of(door: Egress, url: str, **changes: object) -> str:
    """The text of a page."""
    page: Page = await door.fetch(asked(url, **changes))
    return page.text.decode()


async def alive(door: Egress) -> None:
    """Wait for an egress that is being started anew."""
    for _ in range(1_000):
        if door.pid:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no egress within 10 s")


def started(audit: Audit) -> int:
    """How often an egress was started."""
    return audit.count(EventKind.EGRESS_STARTED)
