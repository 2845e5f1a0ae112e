"""The door of a cell with network: it listens on a loopback that nobody else has, and there is no other way out."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from aaos.core.cell import CellRequest, HostPort
from aaos.core.errors import UnreachableError
from tests.kernel.cells import PYTHON, cell, run
from tests.kernel.harness import Stand


class Doorman:
    """Accepts at the door of one cell, and answers each connection with a word."""

    def __init__(self) -> None:
        self.asked: list[CellRequest] = []
        self.answered = 0
        self.is_open = False

    @asynccontextmanager
    async def open_door(self, listener_fd: int, request: CellRequest) -> AsyncIterator[None]:
        self.asked.append(request)
        listener = socket.socket(fileno=socket.dup(listener_fd))
        server = await asyncio.start_server(self._answer, sock=listener)
        self.is_open = True
        try:
            yield
        finally:
            self.is_open = False
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.answered += 1
        writer.write(b"hello")
        await writer.drain()
        writer.close()


PROGRAM = """
import socket
def attempt(act):
    try:
        return act()
    except OSError as error:
        return error.errno
def connect(address):
    with socket.create_connection(address, timeout=5) as connection:
        return connection.recv(9).decode()
print(connect(("127.0.0.1", 3128)))
print(attempt(lambda: connect(("127.0.0.1", 3129))))
print(attempt(lambda: connect(("192.0.2.1", 3128))))
print(attempt(lambda: socket.create_server(("127.0.0.1", 9000))))
print(attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
print(attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)))
"""


@pytest.fixture
def doorman(stand: Stand) -> Doorman:
    made = Doorman()
    stand.launcher.cells.network = made
    return made


def test_a_cell_connects_to_its_door_and_nowhere_else(stand: Stand, doorman: Doorman) -> None:
    """ISO-12: by Landlock, by the filter, and for want of a route."""
    result = run(stand, cell(PYTHON, "-I", "-c", PROGRAM, egress=[HostPort("example.org", 443)]))
    assert result.stdout.decode().split() == ["hello", "13", "101", "1", "38", "38"], result
    assert (doorman.answered, doorman.is_open) == (1, False)
    assert doorman.asked[0].egress == (HostPort("example.org", 443),)


def test_a_cell_without_egress_has_no_door(stand: Stand, doorman: Doorman) -> None:
    """ISO-12: no socket of the network either."""
    result = run(stand, cell(PYTHON, "-I", "-c", "import socket; socket.socket()"))
    assert (result.exit_code, doorman.asked) == (1, [])
    assert b"Operation not permitted" in result.stderr


def test_each_door_is_its_own(stand: Stand, doorman: Doorman) -> None:
    """ISO-2: eight cells listen on the same number of a port."""
    source = "import socket; print(socket.create_connection(('127.0.0.1', 3128)).recv(9))"
    request = cell(PYTHON, "-I", "-c", source, egress=[HostPort("example.org", 443)])

    async def eight() -> list[bytes]:
        cells = stand.launcher.cells
        results = await asyncio.gather(*(cells.run_cell(request, lambda *_: None) for _ in range(8)))
        return [result.stdout for result in results]

    assert stand.run(eight()) == [b"b'hello'\n"] * 8
    assert doorman.answered == 8


def test_a_door_that_cannot_be_opened_ends_the_cell(stand: Stand) -> None:
    """ISO-11"""

    class Closed:
        @asynccontextmanager
        async def open_door(self, listener_fd: int, request: CellRequest) -> AsyncIterator[None]:
            raise UnreachableError("the egress is gone", "try again")
            yield

    stand.launcher.cells.network = Closed()
    with pytest.raises(UnreachableError):
        run(stand, cell(PYTHON, "-I", "-c", "print(1)", egress=[HostPort("example.org", 443)]))
    assert stand.workers() == []


def test_nobody_else_listens_there(stand: Stand, doorman: Doorman) -> None:
    """ISO-2: the machine's own loopback is another."""
    with closing(socket.socket()) as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", 3128))
