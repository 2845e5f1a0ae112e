"""Carries committed events on to copies outside the database, in one thread behind a bounded queue.

Invariant: `push` never waits. A copy that is missing, full or stopped loses events, and the number lost is told; the
other copies and the daemon go on. The database, not a copy, is the truth.
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from aaos.core.events import EventKind, Recorded

QUEUE: Final = 4096
_BATCH = 256
_GATHER_S = 0.02  # so that a busy daemon is not woken up for each event
_WAKE_S = 60.0
_REPEAT_S = 60.0


@dataclass(frozen=True, slots=True)
class Copied:
    """A committed event with its fields as JSON text."""

    recorded: Recorded
    fields: str


@dataclass(frozen=True, slots=True)
class Lost:
    """How many events a copy did not get, and the newest reason."""

    copy: str
    count: int
    reason: str


class Copy(Protocol):
    """Where events are copied to; called in the thread of `Copies` only."""

    name: str

    def write(self, batch: Sequence[Copied]) -> Lost | None:
        """Copy them; what was lost. Raises nothing, and returns after a bounded time."""

    def close(self) -> None:
        """Let everything go; idempotent."""


@dataclass(slots=True)
class _Account:
    count: int = 0
    reason: str = ""
    told_s: float | None = None


def losable(batch: Sequence[Copied]) -> int:
    """How many of them count when they are lost: a lost report of losses is not reported in its turn."""
    return sum(copied.recorded.event.kind is not EventKind.AUDIT_DROPPED for copied in batch)


class Copies:
    """The queue and the thread; `copies` belong to it."""

    def __init__(self, copies: Sequence[Copy]) -> None:
        self._copies = tuple(copies)
        self._queue: deque[Copied] = deque()
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._pushed = 0
        self._settled = 0
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="aaos-copies", daemon=True)
        if self._copies:
            self._thread.start()

    def push(self, recorded: Recorded, fields: str) -> None:
        """Queue an event for all copies; counted as lost when the queue is full."""
        if not self._copies:
            return
        copied = Copied(recorded, fields)
        if len(self._queue) >= QUEUE:
            self._count(Lost("all", losable((copied,)), f"the queue of {QUEUE} events was full"))
            return
        self._pushed += 1
        self._queue.append(copied)
        if not self._wake.is_set():
            self._wake.set()

    def losses(self, now_s: float) -> tuple[Lost, ...]:
        """What was lost since it was last told: the first loss at once, then at most one report a minute per copy."""
        with self._lock:
            return tuple(
                Lost(copy, account.count, account.reason)
                for copy, account in self._accounts.items()
                if account.count and (account.told_s is None or now_s - account.told_s >= _REPEAT_S)
            )

    def told(self, lost: Lost, now_s: float) -> None:
        """Take back what `losses` gave, now that it is written."""
        with self._lock:
            account = self._accounts[lost.copy]
            account.count -= lost.count
            account.told_s = now_s

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was pushed is copied or lost; False when the time was too short."""
        pushed = self._pushed
        with self._progress:
            return self._progress.wait_for(lambda: self._settled >= pushed, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Copy what is queued, for `timeout_s` at most, and end the thread; idempotent."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not (self._stopping.is_set() and not self._queue):
            self._wake.wait(_WAKE_S)
            self._stopping.wait(_GATHER_S)
            self._wake.clear()
            while self._copy(self._take()) == _BATCH:  # what comes meanwhile is gathered first
                pass
        for copy in self._copies:
            copy.close()

    def _copy(self, batch: Sequence[Copied]) -> int:
        if batch:
            for copy in self._copies:
                self._write(copy, batch)
            with self._progress:
                self._settled += len(batch)
                self._progress.notify_all()
        return len(batch)

    def _take(self) -> list[Copied]:
        batch: list[Copied] = []
        while self._queue and len(batch) < _BATCH:
            batch.append(self._queue.popleft())
        return batch

    def _write(self, copy: Copy, batch: Sequence[Copied]) -> None:
        try:
            lost = copy.write(batch)
        except Exception as error:  # noqa: BLE001  # a defect in one copy must not end the others; it is told as a loss
            lost = Lost(copy.name, losable(batch), repr(error)[:200])
        if lost is not None and lost.count:
            self._count(lost)

    def _count(self, lost: Lost) -> None:
        with self._lock:
            account = self._accounts.setdefault(lost.copy, _Account())
            account.count += lost.count
            account.reason = lost.reason
