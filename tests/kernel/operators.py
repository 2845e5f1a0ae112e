"""A daemon to speak with, and clients for it, for the tests of the operator's socket.

The daemon runs in this process with the product's own wiring; its workers are threads (tests/fakes.py), since the wall
is tested elsewhere.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from aaos.core.config import AuditSettings, DaemonSettings, RolesSettings, Settings
from aaos.core.layers import ALL_LAYERS
from aaos.core.ports import LaunchRequest
from aaos.daemon.connection import Bounds
from aaos.daemon.wiring import Daemon, Options, assembled
from tests.fakes import Agent, ScriptedWeb, ThreadLauncher
from worker import abi, transport
from worker.user import entry

ROLES = Path(__file__).parent.parent.parent / "etc" / "aaos" / "roles"
STRANGER = 54321


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory that everybody can reach."""
    with tempfile.TemporaryDirectory(prefix="aaos-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def worker(request: LaunchRequest) -> Agent:
    """The product's own loop; a program waits until it is stopped."""

    def run(sock: socket.socket) -> None:
        if request.entry == "program":
            while True:
                transport.receive(sock, abi.TO_WORKER)
        entry.run(sock, request.entry, b"")

    return run


def options(
    place: Path,
    *,
    bounds: Bounds | None = None,
    group: str = "no-such-group",
    roles: Path = ROLES,
    admins: str = "no-such-group",
) -> Options:
    settings = Settings(
        daemon=DaemonSettings(socket_group=group, admin_group=admins),
        audit=AuditSettings(journal=False),
        roles=RolesSettings(dirs=(roles,)),
    )
    return Options(
        settings=settings,
        state_dir=place / "state",
        socket=place / "run" / "s",
        is_private=True,
        without=ALL_LAYERS,
        make_launcher=lambda *_: ThreadLauncher(worker),
        make_egress=lambda *_: ScriptedWeb(),
        bounds=bounds,
    )


Check = Callable[[Daemon, Path], Awaitable[None]]


def with_daemon(
    place: Path,
    check: Check,
    *,
    bounds: Bounds | None = None,
    group: str = "no-such-group",
    roles: Path = ROLES,
    chosen: Options | None = None,
) -> None:
    """Runs `check` beside a daemon, which must stop well afterwards."""
    chosen = chosen or options(place, bounds=bounds, group=group, roles=roles)

    async def run() -> None:
        async with asyncio.timeout(30), assembled(chosen) as daemon, asyncio.TaskGroup() as group:
            daemon.live.open(group)
            try:
                await check(daemon, chosen.socket)
            finally:
                await Client.close_all()
            await daemon.server.close()
            await daemon.live.close()

    asyncio.run(run())


class Client:
    """A raw client."""

    connected: ClassVar[list["Client"]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._id = 0

    @classmethod
    async def connect(cls, path: Path) -> "Client":
        client = cls(*await asyncio.open_unix_connection(path, limit=2**22))
        cls.connected.append(client)
        return client

    @classmethod
    async def close_all(cls) -> None:
        """Every client that a test has left open."""
        for client in cls.connected:
            client.writer.close()
            with contextlib.suppress(OSError):
                await client.writer.wait_closed()
        cls.connected.clear()

    async def ask(self, method: str, **params: object) -> dict[str, object]:
        """The response; events in between are dropped."""
        self.begin(method, **params)
        while True:
            message = await self.message()
            if "method" not in message:
                return message

    def begin(self, method: str, **params: object) -> None:
        self._id += 1
        line = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}
        self.writer.write(json.dumps(line).encode() + b"\n")

    async def message(self) -> dict[str, object]:
        document: dict[str, object] = json.loads(await self.reader.readline())
        return document

    async def result(self, method: str, **params: object) -> dict[str, object]:
        response = await self.ask(method, **params)
        assert "result" in response, response
        result = response["result"]
        assert isinstance(result, dict)
        return result

    async def refusal(self, method: str, **params: object) -> dict[str, object]:
        error = (await self.ask(method, **params))["error"]
        assert isinstance(error, dict)
        return error


_SPEAK = """
import os, socket, sys
os.setgroups([int(group) for group in sys.argv[4:]])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[3]))
client = socket.socket(socket.AF_UNIX)
client.settimeout(10)
client.connect(sys.argv[1])
try:
    client.sendall(sys.argv[2].encode() + b"\\n")
except BrokenPipeError:
    pass
sys.stdout.buffer.write(client.makefile("rb").readline())
"""


def speak_as(uid: int, path: Path, request: bytes, *, groups: tuple[int, ...] = ()) -> bytes:
    """What a process of another user gets."""
    argv = [sys.executable, "-I", "-c", _SPEAK, str(path), request.decode(), str(uid), *map(str, groups)]
    done = subprocess.run(argv, capture_output=True, timeout=20, check=False)
    return done.stdout + done.stderr


VERSION = b'{"jsonrpc":"2.0","id":1,"method":"version"}'
TAIL = b'{"jsonrpc":"2.0","id":1,"method":"tail"}'
