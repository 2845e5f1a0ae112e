"""The operator's socket: accepts, asks the kernel who it is, bounds how many, and hands bytes to `connection`.

Invariant: nobody is answered whom the access rule does not know; no client can take all places; whatever one connection
does, accepting goes on.
"""

import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from aaos.core import rpc
from aaos.core.errors import AaosError, BusyError, DeniedError
from aaos.core.events import Event, EventKind
from aaos.core.ids import Uid
from aaos.core.ports import AuditSink
from aaos.daemon.connection import Bounds, Connection, Dispatch
from aaos.daemon.listen import Listener
from aaos.daemon.peers import AccessRule, Peer, peer_of

MAX_CONNECTIONS = 512
MAX_PER_UID = 64
_GRACE_S = 1.0
_REFUSALS_PER_S = 5
# From Python 3.13 on asyncio removes the name of a closed socket by itself; here that is the listener's business.
_NAME_STAYS: Mapping[str, Any] = (  # Any: the types of older versions do not know this argument
    {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
)
_log = logging.getLogger("agentd")


class Server:
    """Serves one listener until it is closed."""

    def __init__(
        self,
        listener: Listener,
        *,
        rule: AccessRule,
        dispatch: Dispatch,
        audit: AuditSink,
        bounds: Bounds | None = None,
    ) -> None:
        self._listener = listener
        self._rule = rule
        self._dispatch = dispatch
        self._audit = audit
        self._bounds = bounds or Bounds()
        self._open: Counter[Uid] = Counter()
        self._tasks: set[asyncio.Task[object]] = set()
        self._server: asyncio.Server | None = None
        self._refused_at: list[float] = []

    async def start(self) -> None:
        """Clients are answered from now on."""
        self._server = await asyncio.start_unix_server(self._accepted, sock=self._listener.sock, **_NAME_STAYS)

    async def close(self) -> None:
        """No new clients, the name is gone, open connections end; idempotent."""
        if self._server is None:
            return
        self._server.close()
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * _GRACE_S)
        self._server = None

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:  # start_unix_server runs this as a task
            self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # only `close` cancels; asyncio would log it as an error otherwise
        except Exception:  # noqa: BLE001  # the boundary of a connection: logged here
            _log.exception("operator connection")
        finally:
            if task is not None:
                self._tasks.discard(task)
            await _close(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.get_extra_info("socket"))
        refusal = self._refusal(peer)
        if refusal is not None:
            self._note_refusal(peer, refusal)
            writer.write(rpc.encode_error(None, refusal))
            return
        self._open[peer.uid] += 1
        try:
            await Connection(peer, reader, writer, dispatch=self._dispatch, bounds=self._bounds).serve()
        finally:
            self._open[peer.uid] -= 1

    def _refusal(self, peer: Peer) -> AaosError | None:
        if not self._rule.of(peer):
            remedy = "ask its administrator to put you into the group of the socket"
            return DeniedError(f"uid {peer.uid} may not speak with this agentd", remedy)
        if self._open[peer.uid] >= MAX_PER_UID or self._open.total() >= MAX_CONNECTIONS:
            return BusyError(f"uid {peer.uid} has {self._open[peer.uid]} connections", "close some, then try again")
        return None

    def _note_refusal(self, peer: Peer, refusal: AaosError) -> None:
        now_s = time.monotonic()
        self._refused_at = [at_s for at_s in self._refused_at if now_s - at_s < 1]
        if len(self._refused_at) < _REFUSALS_PER_S:
            self._refused_at.append(now_s)
            self._audit.record(
                Event(EventKind.CLIENT_REFUSED, fields={"uid": peer.uid, "pid": peer.pid, "message": refusal.message})
            )


async def _close(writer: asyncio.StreamWriter) -> None:
    """Flush for a moment what is still to be read, then let go whatever the client does."""
    writer.close()
    try:
        async with asyncio.timeout(_GRACE_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
