"""Cells with a network, in tests: addresses of the open internet, an authority, servers over TLS, a real egress.

The fixtures are for whole modules: `network` is used by every test of a module that imports it.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aaos.core.capability import Capability
from aaos.core.config import Settings
from aaos.tools.spec import Tool
from tests.kernel.certificates import Authority, authority
from tests.kernel.harness import Audit, launcher
from tests.kernel.networks import OTHER, PUBLIC, own_network
from tests.kernel.webserver import egress
from tests.kernel.wrapped import Workbench, workbench

HOST = "files.example"


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    """A network of the test's own, with two addresses that look like the open internet's."""
    with own_network(PUBLIC, OTHER):
        yield


@pytest.fixture
def vouching(tmp_path: Path) -> Authority:
    """An authority whose certificate is where a cell may read it."""
    directory = tmp_path / "authority"
    directory.mkdir()
    return authority(directory)


@contextmanager
def served(
    handler: Callable[..., BaseHTTPRequestHandler], trust: ssl.SSLContext, address: str = PUBLIC
) -> Iterator[int]:
    """The port of an https server."""
    server = ThreadingHTTPServer((address, 0), handler)
    server.socket = trust.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def names(directory: Path) -> Mapping[str, Path]:
    """Settings of name resolution: two hosts, and no server that is asked."""
    (directory / "resolv.conf").write_text("")
    (directory / "hosts").write_text(f"{PUBLIC} {HOST} other.example\n")
    return {name: directory / name for name in ("resolv.conf", "hosts")}


@contextmanager
def reaching(directory: Path, tools: Mapping[str, Tool], *grants: Capability) -> Iterator[tuple[Workbench, Audit]]:
    """A workbench of these tools, whose cells have an egress."""
    audit = Audit()
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        made = runner.run(stack.enter_async_context(launcher(audit=audit)))
        try:
            door = egress(settings=Settings(), audit=audit, resolver=names(directory))
            made.cells.network = runner.run(stack.enter_async_context(door))
            with workbench(made.cells, runner.run, tools=tools, more=grants) as bench:
                yield bench, audit
        finally:
            runner.run(stack.aclose())
