"""One reader of the stream of events.

Invariant: a reader gets every event of its run after `after_seq` once, in order, however slow it is; it costs at most
`QUEUE` events of memory and never makes a recorder wait. What does not fit is read from the database again. A note is
passed on when there is room, and is nowhere else.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from aaos.core.events import Event, Recorded
from aaos.core.ids import RunId

QUEUE: Final = 1024
NOTE_SEQ: Final = 0  # of what is not in the database
_NOTES: Final = 256  # in a queue longer than this there is no room for notes
_PAGE: Final = 256
ReadPage = Callable[[int, int], list[Recorded]]  # events after a seq, at most so many


class Subscription:
    """`async for recorded in subscription`; ends when it is closed. For one reader, on the event loop's thread."""

    def __init__(
        self, run: RunId | None, after_seq: int, *, read: ReadPage, forget: Callable[["Subscription"], None]
    ) -> None:
        self.run = run
        self.lagged = True  # events that are only in the database stand before those in the queue
        self._seq = after_seq
        self._read = read
        self._forget = forget
        self._queue: deque[Recorded] = deque()
        self._page: deque[Recorded] = deque()
        self._wake = asyncio.Event()
        self._is_open = True

    def offer(self, recorded: Recorded) -> None:
        """Take a committed event; never waits."""
        if self.run is not None and recorded.event.run != self.run:
            return
        if not self.lagged:
            if len(self._queue) < QUEUE:
                self._queue.append(recorded)
            else:
                self.lagged = True
                self._queue.clear()
        self._wake.set()

    def note(self, event: Event) -> None:
        """Pass on what is not recorded; dropped for a reader that is behind, or of another run."""
        if (self.run is None or event.run == self.run) and not self.lagged and len(self._queue) < _NOTES:
            self._queue.append(Recorded(NOTE_SEQ, time.time(), event))
            self._wake.set()

    def close(self) -> None:
        """End the reader's loop; idempotent."""
        if self._is_open:
            self._is_open = False
            self._queue.clear()
            self._page.clear()
            self._wake.set()
            self._forget(self)

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Recorded:
        """The next event; a note has the place of the event before it. The reader sets a deadline where it needs one.

        Raises StorageError.
        """
        while self._is_open:
            recorded = self._next()
            if recorded is not None and recorded.seq == NOTE_SEQ:
                return replace(recorded, seq=self._seq)
            if recorded is not None:
                self._seq = recorded.seq
                return recorded
            self._wake.clear()
            await self._wake.wait()
        raise StopAsyncIteration

    def _next(self) -> Recorded | None:
        if not self._page and self.lagged:
            self._page.extend(self._read(self._seq, _PAGE))
            self.lagged = len(self._page) == _PAGE
        if self._page:
            return self._page.popleft()
        return self._queue.popleft() if self._queue else None
