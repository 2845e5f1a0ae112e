"""The egress at work: fetches and doors come from agentd, each is a task of its own, each ends with one frame.

Invariant: it has one socket to agentd and speaks of nothing but fetches and doors; a fetch that fails, whatever a
server does, fails alone, but for a page that cannot be read to its end: that ends the process, since it has taken a
thread. So does a frame that breaks the wire format: agentd never sends one.
"""

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import assert_never

from aaos.egress import wire
from aaos.egress.door import Door, listening
from aaos.egress.page import READERS, StuckError, Tools, fetch_page
from aaos.egress.wire import MAX_DOORS, FetchError
from worker import transport
from worker.abi import FrameError

MAX_FETCHES = 64
DOOR_LOOKUPS = 16  # names that doors wait for at once, apart from those of fetches
STACK_BYTES = 524_288
AUTHORITIES = "/etc/ca-certificates.crt"
SEND_AGAIN_S = 0.002


def run(sock: socket.socket, _entry: str, _program: bytes) -> None:
    """Serve agentd on `sock` until it closes. Signals stay as they are: this process is ended, not asked."""
    threading.stack_size(STACK_BYTES)
    tools = Tools(
        lookups=ThreadPoolExecutor(MAX_FETCHES, "name"),
        reading=ThreadPoolExecutor(READERS, "page"),
        trust=trusted(AUTHORITIES),
    )
    loop = asyncio.new_event_loop()
    loop.run_until_complete(Service(sock, tools).serve())
    os._exit(0)  # threads may still wait for a name: nobody waits for them


def trusted(authorities: str) -> ssl.SSLContext:
    """TLS 1.2 or newer, with a certificate for the host from one of the authorities in this file; HTTP/1.1 only."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with suppress(OSError):  # there are none: then nobody is trusted
        trust.load_verify_locations(cafile=authorities)
    trust.minimum_version = ssl.TLSVersion.TLSv1_2
    trust.set_alpn_protocols(["http/1.1"])
    return trust


class Service:
    """agentd's fetches."""

    def __init__(self, sock: socket.socket, tools: Tools) -> None:
        self._sock = sock
        self._sock.setblocking(False)
        self._tools = tools
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._doors: dict[int, asyncio.Task[None]] = {}
        self._door_lookups = ThreadPoolExecutor(DOOR_LOOKUPS, "door")
        self._ended = asyncio.Event()

    async def serve(self) -> None:
        """Until agentd closes its end."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            loop.add_reader(self._sock, self._read, group)
            await self._ended.wait()
            loop.remove_reader(self._sock)
            for task in (*self._tasks.values(), *self._doors.values()):
                task.cancel()

    def _read(self, group: asyncio.TaskGroup) -> None:
        try:
            data, fds = transport.receive_message(self._sock)
        except BlockingIOError:
            return
        except (transport.ClosedError, FrameError, OSError):
            self._ended.set()
            return
        with ExitStack() as unused:
            for fd in fds:
                unused.callback(os.close, fd)
            try:
                self._take(wire.decode(data, wire.TO_EGRESS), fds, unused, group)
            except (FrameError, ValueError, OSError):  # a door that is none
                self._ended.set()

    def _take(self, frame: wire.ToEgress, fds: Sequence[int], unused: ExitStack, group: asyncio.TaskGroup) -> None:
        match frame:
            case wire.Fetch():
                self._begin(frame, group)
            case wire.Door():
                self._open(frame, fds, unused, group)
            case wire.Cancel(id=number):
                _cancel(self._tasks.get(number))
            case wire.Shut(id=number):
                _cancel(self._doors.get(number))
            case _ as impossible:
                assert_never(impossible)

    def _open(self, frame: wire.Door, fds: Sequence[int], unused: ExitStack, group: asyncio.TaskGroup) -> None:
        """Take a cell's listening socket. Raises FrameError, ValueError, OSError when it is no door."""
        if len(fds) != 1 or len(self._doors) >= MAX_DOORS or frame.id in self._doors:
            raise FrameError(f"a door with {len(fds)} fds, beside {len(self._doors)}")
        unused.pop_all()
        listener = listening(fds[0])
        door = Door(frame, listener, lookups=self._door_lookups, say=self._send, trust=self._tools.trust)
        task = self._doors[frame.id] = group.create_task(_bounded(door))

        def closed(_: object) -> None:
            del self._doors[frame.id]
            listener.close()
            if not self._ended.is_set():
                group.create_task(self._send(wire.Closed(frame.id)))

        task.add_done_callback(closed)

    def _begin(self, fetch: wire.Fetch, group: asyncio.TaskGroup) -> None:
        if len(self._tasks) >= MAX_FETCHES:
            group.create_task(self._send(wire.Failed(fetch.id, "busy", f"{MAX_FETCHES} fetches are under way")))
            return
        task = group.create_task(self._fetch(fetch))
        self._tasks[fetch.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(fetch.id, None))

    async def _fetch(self, fetch: wire.Fetch) -> None:
        try:
            fetched, part = await fetch_page(fetch, self._tools)
            memfd = transport.sealed_memfd(part)
        except FetchError as error:
            await self._send(wire.Failed(fetch.id, error.code, error.message[:2_000]))
            if isinstance(error, StuckError):
                self._ended.set()
        except Exception as error:  # noqa: BLE001  # the boundary of a fetch: its server may be behind it
            await self._send(wire.Failed(fetch.id, "internal", f"unforeseen: {type(error).__name__}"))
        else:
            try:
                await self._send(fetched, [memfd])
            finally:
                os.close(memfd)

    async def _send(self, frame: wire.FromEgress, fds: Sequence[int] = ()) -> None:
        data = wire.encode(frame)
        while not self._ended.is_set():
            try:
                transport.send_message(self._sock, data, fds)
                return
            except BlockingIOError:
                await asyncio.sleep(SEND_AGAIN_S)  # agentd reads those before
            except OSError:
                self._ended.set()


async def _bounded(door: Door) -> None:
    """Serve it; whatever it fails of, it fails alone, and is told as one that was closed."""
    with suppress(Exception):
        await door.serve()


def _cancel(task: "asyncio.Task[None] | None") -> None:
    """Also one that has ended already."""
    if task is not None:
        task.cancel()
