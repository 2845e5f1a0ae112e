"""Records of launches that agree in the same turn of the loop: one commit for all of them.

Invariant: `record` returns when its event is written, and raises when it is not; an event waits for one turn of the
loop at most.
"""

import asyncio

from aaos.core.events import Event
from aaos.core.ports import BatchAudit


class Together:
    """Collects what is to be recorded in this turn."""

    def __init__(self, audit: BatchAudit) -> None:
        self._audit = audit
        self._waiting: list[tuple[Event, asyncio.Future[None]]] = []

    async def record(self, event: Event) -> None:
        """Return when the event is written. Raises StorageError."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._write)
        self._waiting.append((event, written))
        await written

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            self._audit.record_all([event for event, _ in waiting])
        except Exception as error:  # noqa: BLE001  # handed on to each launch: one that is told nothing waits for ever
            for written in _still(waiting):
                written.set_exception(error)
        else:
            for written in _still(waiting):
                written.set_result(None)


def _still(waiting: list[tuple[Event, "asyncio.Future[None]"]]) -> list["asyncio.Future[None]"]:
    """Those whose launch was not cancelled meanwhile; of one that was, more is written than happened to it."""
    return [written for _, written in waiting if not written.done()]
