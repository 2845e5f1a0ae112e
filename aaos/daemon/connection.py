"""One operator connection: lines in, answers and streams out, within bounds of size, time and number.

Invariant: whatever arrives, the other end gets a JSON-RPC answer or a closed connection, and nobody else notices;
memory is bounded by one line in, and by the write buffer and the open streams out. It decides nothing: requests go to
the `Dispatch`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from aaos.core import rpc
from aaos.core.errors import AaosError, BusyError, LimitError
from aaos.daemon.peers import Peer

_log = logging.getLogger("agentd")
Send = Callable[[Mapping[str, rpc.Json]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times in seconds, sizes in bytes."""

    line_s: float = 10
    idle_s: float = 300
    write_s: float = 10
    streams: int = 8
    write_buffer_bytes: int = 262_144


class Dispatch(Protocol):
    """What answers requests. Both raise AaosError and RpcError only for what the client did."""

    def is_stream(self, method: str) -> bool: ...
    async def call(self, peer: Peer, request: rpc.Request, send: Send) -> rpc.Json: ...


class Connection:
    """One accepted client."""

    def __init__(
        self,
        peer: Peer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        dispatch: Dispatch,
        bounds: Bounds,
    ) -> None:
        self._peer = peer
        self._reader = reader
        self._writer = writer
        self._dispatch = dispatch
        self._bounds = bounds
        self._lines = rpc.LineBuffer()
        self._line_began_s: float | None = None
        self._streams: dict[rpc.Id, asyncio.Task[None]] = {}
        writer.transport.set_write_buffer_limits(high=bounds.write_buffer_bytes)

    async def serve(self) -> None:
        """Until the client is gone or breaks a bound."""
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    await self._read_all(group)
                finally:
                    for stream in tuple(self._streams.values()):
                        stream.cancel()
        except* (ConnectionError, TimeoutError, BrokenPipeError):
            pass

    async def _read_all(self, group: asyncio.TaskGroup) -> None:
        while True:
            try:
                data = await self._read()
                lines = self._lines.feed(data)
            except rpc.RpcError as error:
                await self._send(rpc.encode_error(error.id, error))
                return
            except TimeoutError:
                busy = BusyError("the connection was silent for too long", "connect again and send whole lines")
                await self._send(rpc.encode_error(None, busy))
                return
            if not data:
                return
            self._note_partial(data)
            for line in lines:
                await self._on_line(line, group)
                await asyncio.sleep(0)  # nothing above must wait, and others get their turn between two requests

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        deadline_s: float | None = loop.time() + self._bounds.idle_s
        if self._line_began_s is not None:
            deadline_s = self._line_began_s + self._bounds.line_s
        elif self._streams:
            deadline_s = None  # a watcher may be silent; the stream's own writes find out when it is gone
        async with asyncio.timeout_at(deadline_s):
            return await self._reader.read(65_536)

    def _note_partial(self, data: bytes) -> None:
        if data.endswith(b"\n"):
            self._line_began_s = None
        elif self._line_began_s is None or b"\n" in data:
            self._line_began_s = asyncio.get_running_loop().time()

    async def _on_line(self, line: bytes, group: asyncio.TaskGroup) -> None:
        try:
            request = rpc.decode_request(line)
        except rpc.RpcError as error:
            await self._send(rpc.encode_error(error.id, error))
            return
        if isinstance(request, rpc.Notification):
            return
        if not self._dispatch.is_stream(request.method):
            await self._answer(request)
        elif request.id in self._streams or len(self._streams) >= self._bounds.streams:
            message = f"stream {request.id} is open already, or {self._bounds.streams} others are"
            busy = BusyError(message, "use another id or connection")
            await self._send(rpc.encode_error(request.id, busy))
        else:
            stream = group.create_task(self._answer(request))
            self._streams[request.id] = stream
            stream.add_done_callback(partial(self._stream_ended, request.id))

    def _stream_ended(self, request: rpc.Id, stream: asyncio.Task[None]) -> None:
        if self._streams.get(request) is stream:
            del self._streams[request]

    async def _answer(self, request: rpc.Request) -> None:
        """The boundary of a request: it always ends with an answer, and an unforeseen error ends with a record."""

        async def send(params: Mapping[str, rpc.Json]) -> None:
            body = {"request": request.id, **params}
            await self._send(rpc.encode_notification(rpc.Notification("event", body)))

        try:
            answer = rpc.encode_result(request.id, await self._dispatch.call(self._peer, request, send))
            if len(answer) > rpc.MAX_LINE_BYTES:
                raise LimitError(
                    f"the answer has {len(answer)} bytes, more than a line may have", "ask for less at once"
                )
        except rpc.RpcError as error:
            answer = rpc.encode_error(request.id, error)
        except AaosError as error:
            answer = rpc.encode_error(request.id, error)
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001  # the boundary of a request: logged and answered here
            _log.exception("request %s of uid %d", request.method, self._peer.uid)
            failed = AaosError(f"{request.method} failed inside agentd", "see `journalctl -t agentd`, and report it")
            answer = rpc.encode_error(request.id, failed)
        await self._send(answer)

    async def _send(self, line: bytes) -> None:
        """Raises ConnectionError when the client is gone or does not read."""
        if self._writer.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._writer.write(line)
        try:
            async with asyncio.timeout(self._bounds.write_s):
                await self._writer.drain()
        except TimeoutError as error:
            slow = BusyError("this client reads too slowly and was dropped", "connect again with `agentd logs -f RUN`")
            self._writer.write(rpc.encode_error(None, slow))
            raise ConnectionAbortedError("the client does not read") from error
