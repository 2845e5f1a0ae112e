"""agentd's end of the egress: keeps one alive and confined, hands it fetches and doors, and gives each its end.

Invariant: there is no fetch without a confirmed egress, and no other way to fetch; what the egress says is bounded and
of the wire's types, else it is ended; when it dies every fetch under way fails at once. Servers that answer slowly take
places of one user only: nobody but root holds more than half of them. A door that was left is shut, or its egress dead.
"""

import asyncio
import math
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import assert_never
from weakref import WeakValueDictionary

from aaos.broker.doors import Doors, OpenDoor, check_listener, door_frame
from aaos.broker.nameservice import NameService
from aaos.core.cell import CellRequest
from aaos.core.config import EgressSettings
from aaos.core.errors import AaosError, BusyError, ConfinementError, DeniedError, ToolError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ids import Uid
from aaos.core.ports import AuditSink, Page, PageRequest
from aaos.core.text import escape_for_terminal, quoted
from aaos.egress import wire
from aaos.sandbox.egress import ConfinedEgress
from aaos.sandbox.session import reap
from worker import abi, transport

SHUT_S = 10.0  # for a door to end
GRACE_S = 10.0  # after the time of a fetch, for making the page readable
FIRST_DELAY_S = 0.05
MAX_DELAY_S = 30.0
STEADY_S = 60.0  # an egress that lived so long is replaced at once
REFRESH_S = 2.0
SEND_AGAIN_S = 0.002
MAX_GIVEN_UP = 1_024
HEAD_BYTES = 131_072  # of an answer's head and framing, over its body
MAX_WIRE_BYTES = 2**40
_SHOWN_CHARS = 160
_MESSAGE_CHARS = 1_000
_REMEDIES = {
    "address": "if it may be reached, grant the address itself, e.g. --net 127.0.0.1:8000/**",
    "name": "look at the name, then at /etc/resolv.conf",
    "connect": "try again later, or look whether the server is up",
    "tls": "it cannot be fetched safely: look for the page at another address",
    "http": "look for the page at another address",
    "timeout": "try again later, or raise timeout_s in section [egress] of /etc/aaos/agentd.toml",
    "content": "look for the page in another form",
    "busy": "fetch fewer pages at once",
    "internal": "try another page",
}

Launch = Callable[[], Awaitable[ConfinedEgress]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    asked: PageRequest
    since_s: float
    page: "asyncio.Future[Page]"


class Egress:
    """Implements `ports.Fetcher` and `cell.CellNetwork`."""

    def __init__(self, settings: EgressSettings, audit: AuditSink, *, files: NameService, launch: Launch) -> None:
        self._settings = settings
        self._audit = audit
        self._files = files
        self._launch = launch
        self._slots = asyncio.Semaphore(settings.max_parallel)
        self._shares: WeakValueDictionary[Uid, asyncio.Semaphore] = WeakValueDictionary()  # of who fetches or waits
        self._live: ConfinedEgress | None = None
        self._problem: AaosError = ConfinementError("the egress was not started", "start agentd again")
        self._waiting: dict[int, _Waiting] = {}
        self._doors = Doors(audit)
        self._next_id = 0
        self._heard_s = 0.0
        self._given_up: deque[int] = deque(maxlen=MAX_GIVEN_UP)  # fetches whose answer may be on its way
        self._lost: asyncio.Queue[ConfinedEgress] = asyncio.Queue()

    @property
    def pid(self) -> int:
        """The process id of the living egress; 0 without one."""
        return self._live.pid if self._live else 0

    async def start(self) -> None:
        """Start the first one. What keeps it from starting is on record, and refuses every fetch until it is mended."""
        try:
            await asyncio.to_thread(self._files.prepare)
            live = await self._launch()
        except AaosError as error:
            self._refused(error)
            return
        except OSError as error:  # no fd, no memory
            self._refused(ConfinementError(f"the egress cannot be started: {error}", "look at the load and the limits"))
            return
        self._live = live
        self._heard_s = time.monotonic()
        asyncio.get_running_loop().add_reader(live.sock, self._read, live)
        self._record(
            EventKind.EGRESS_STARTED,
            pid=live.pid,
            host_uid=live.host_uid,
            layers=" ".join(sorted(live.outside)),
            policy_digest=live.policy_digest,
            filter_digest=live.filter_digest,
        )

    async def supervise(self) -> None:
        """Start it anew whenever it dies, and keep its files as new as the machine's; until cancelled."""
        delay_s = FIRST_DELAY_S
        while True:
            began_s = time.monotonic()
            while self._live is not None:
                await self._watch()
            await self._reap_lost()
            delay_s = FIRST_DELAY_S if time.monotonic() - began_s > STEADY_S else min(delay_s * 2, MAX_DELAY_S)
            await asyncio.sleep(delay_s)
            await self.start()

    async def stop(self) -> None:
        """End it, and whatever waits for it."""
        if self._live is not None:
            self._let_go(self._live, "agentd is stopping")
        await self._reap_lost()

    async def fetch(self, asked: PageRequest) -> Page:
        """The answer to one request; a redirect is an answer. Raises AaosError."""
        async with self._place(asked.uid):
            live, number = self._living("fetched"), self._number()
            page: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
            self._waiting[number] = _Waiting(asked, time.monotonic(), page)
            try:
                async with asyncio.timeout(self._settings.timeout_s + GRACE_S):
                    await self._send(live, _fetch(number, asked, self._settings))
                    return await page
            except TimeoutError as error:
                self._give_up(live, self._waiting[number])
                raise ToolError(f"{asked.url.host}: the egress did not answer", _REMEDIES["timeout"]) from error
            finally:
                del self._waiting[number]
                if not page.done() or page.cancelled():
                    self._cancel(live, number)
                    self._given_up.append(number)

    @asynccontextmanager
    async def _place(self, uid: Uid) -> AsyncIterator[None]:
        """One of the places: of the user's share first, so that who waits for that keeps nobody else waiting."""
        most = self._settings.max_parallel
        share = self._shares.setdefault(uid, asyncio.Semaphore(most if uid == 0 else max(1, most // 2)))
        async with share, self._slots:
            yield

    @asynccontextmanager
    async def open_door(self, listener_fd: int, request: CellRequest) -> AsyncIterator[None]:
        """As `CellNetwork` says."""
        check_listener(listener_fd)
        live = self._living("connected")
        frame = door_frame(self._number(), request.egress, self._settings.max_cell_bytes, request.secret)
        door = self._doors.add(frame, request)
        try:
            await self._send(live, frame, [listener_fd])
            yield
        finally:
            try:
                await self._shut(live, frame.id, door)
            finally:
                self._doors.forget(frame.id)

    async def _shut(self, live: ConfinedEgress, number: int, door: OpenDoor) -> None:
        """An egress that does not shut a door in time is ended, and the door with it."""
        try:
            if not door.closed.done():
                await self._send(live, wire.Shut(number), until_s=time.monotonic() + SHUT_S)
                await asyncio.wait({door.closed}, timeout=SHUT_S)
        finally:
            if not door.closed.done():
                self._lose(live, "it did not shut a door")

    # --- the process --------------------------------------------------------------------------------------------------

    def _refused(self, error: AaosError) -> None:
        """It could not be started; the same reason is told once."""
        if (error.message, error.remedy) != (self._problem.message, self._problem.remedy):
            self._record(EventKind.EGRESS_REFUSED, message=error.message, remedy=error.remedy)
        self._problem = error

    def _living(self, what: str) -> ConfinedEgress:
        if self._live is None:
            raise ConfinementError(f"nothing can be {what}: {self._problem.message}", self._problem.remedy)
        return self._live

    def _number(self) -> int:
        self._next_id += 1
        return self._next_id

    async def _reap_lost(self) -> None:
        while not self._lost.empty():
            await reap(self._lost.get_nowait().pidfd)

    async def _watch(self) -> None:
        """Wait until it is lost, or for a while; new authorities need a new egress, since it reads them once."""
        try:
            async with asyncio.timeout(REFRESH_S):
                lost = await self._lost.get()
        except TimeoutError:
            with suppress(AaosError):  # the copies stay as they were
                if await asyncio.to_thread(self._files.refresh) and self._live is not None:
                    self._lose(self._live, "other authorities are trusted now")
        else:
            await reap(lost.pidfd)

    def _lose(self, live: ConfinedEgress, why: str) -> None:
        if live is self._live:
            self._record(EventKind.EGRESS_LOST, pid=live.pid, message=why, pending=len(self._waiting))
            self._let_go(live, why)

    def _let_go(self, live: ConfinedEgress, why: str) -> None:
        self._live = None
        self._problem = ConfinementError(f"the egress was lost: {why}", "try again: it is being started anew")
        asyncio.get_running_loop().remove_reader(live.sock)
        live.sock.close()
        self._doors.lost()
        for waiting in self._waiting.values():
            if not waiting.page.done():
                waiting.page.set_exception(ToolError(f"the egress ended while it fetched: {why}", "call it again"))
                waiting.page.exception()  # seen, even if nobody waits any more
        self._lost.put_nowait(live)

    # --- the wire -----------------------------------------------------------------------------------------------------

    async def _send(
        self, live: ConfinedEgress, frame: wire.ToEgress, fds: Sequence[int] = (), *, until_s: float = math.inf
    ) -> None:
        data = wire.encode(frame)
        while live is self._live and time.monotonic() < until_s:
            try:
                transport.send_message(live.sock, data, fds)
                return
            except BlockingIOError:
                await asyncio.sleep(SEND_AGAIN_S)  # it is busy with those before
            except OSError as error:
                self._lose(live, str(error))

    def _cancel(self, live: ConfinedEgress, number: int) -> None:
        """Nobody waits any more. One that is not heard ends by its own time."""
        if live is self._live:
            with suppress(OSError):
                transport.send_message(live.sock, wire.encode(wire.Cancel(number)))

    def _give_up(self, live: ConfinedEgress, waiting: _Waiting) -> None:
        """An egress that has said nothing at all since is not busy but stuck."""
        if self._heard_s < waiting.since_s:
            self._lose(live, "it did not answer")

    def _read(self, live: ConfinedEgress) -> None:
        try:
            data, fds = transport.receive_message(live.sock)
        except BlockingIOError:
            return
        except (transport.ClosedError, OSError):
            self._lose(live, "it ended")
            return
        except abi.FrameError as error:
            self._lose(live, f"it broke the wire format: {error}")
            return
        self._heard_s = time.monotonic()
        try:
            self._settle(wire.decode(data, wire.FROM_EGRESS), fds)
        except abi.FrameError as error:
            self._lose(live, f"it broke the wire format: {error}")
        finally:
            for fd in fds:
                os.close(fd)

    def _settle(self, frame: wire.FromEgress, fds: Sequence[int]) -> None:
        if len(fds) != isinstance(frame, wire.Fetched):
            raise abi.FrameError(f"{frame.t} with {len(fds)} fds")
        if isinstance(frame, wire.Tunnel | wire.Closed):
            self._doors.heard(frame)
            return
        waiting = self._waiting.get(frame.id)
        if waiting is None and frame.id in self._given_up:
            self._given_up.remove(frame.id)  # an answer comes once
            return
        if waiting is not None and waiting.page.cancelled():
            return  # given up in this very moment
        if waiting is None or waiting.page.done():
            raise abi.FrameError(f"an answer to {frame.id}, which nobody asked")
        match frame:
            case wire.Fetched():
                waiting.page.set_result(_page(frame, transport.read_sealed(fds[0], waiting.asked.max_bytes)))
            case wire.Failed():
                waiting.page.set_exception(_error(frame))
            case _ as impossible:
                assert_never(impossible)

    def _record(self, kind: EventKind, **fields: Scalar) -> None:
        self._audit.record(Event(kind, fields=fields))


def _fetch(number: int, asked: PageRequest, settings: EgressSettings) -> wire.Fetch:
    body_bytes = settings.max_body_bytes
    return wire.Fetch(
        id=number,
        scheme=asked.url.scheme,
        host=asked.url.host,
        port=asked.url.port,
        target=asked.url.target,
        method=asked.method,
        permitted=asked.permitted,
        is_readable=asked.is_readable,
        offset=asked.offset,
        max_bytes=asked.max_bytes,
        wire_bytes=min(asked.wire_bytes or MAX_WIRE_BYTES, body_bytes + HEAD_BYTES),
        body_bytes=body_bytes,
        total_ms=settings.timeout_s * 1000,
        header=asked.header.name if asked.header else "",
        secret=asked.header.prefix + asked.header.secret.reveal() if asked.header else "",
    )


def _page(frame: wire.Fetched, text: bytes) -> Page:
    return Page(
        status=frame.status,
        location=frame.location,
        address=escape_for_terminal(frame.address[:_SHOWN_CHARS]),
        media_type=escape_for_terminal(frame.media_type[:_SHOWN_CHARS]),
        text=text,
        text_bytes=frame.text_bytes,
        received_bytes=frame.wire_bytes,
        partial=quoted(frame.partial, max_chars=200)[1:-1],
    )


def _error(frame: wire.Failed) -> AaosError:
    kind = {"address": DeniedError, "busy": BusyError}.get(frame.code, ToolError)
    message = escape_for_terminal(frame.message)[:_MESSAGE_CHARS]
    return kind(message, _REMEDIES.get(frame.code, _REMEDIES["internal"]))
