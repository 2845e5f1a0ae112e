"""The durability barrier: many waiters, one fdatasync of the write-ahead log.

The database commits with `synchronous=NORMAL`, which differs from FULL in one thing: FULL also syncs the log file after
each commit ("an additional sync operation of the WAL file happens after each transaction commit",
sqlite.org/pragma.html#pragma_synchronous). Syncing the log ourselves after the commit and before acting on it is that
same operation, moved to the moment when it is needed and shared by all who wait. It holds across checkpoints: under
NORMAL a checkpoint syncs the log before it copies and the database after, and the new log header before the log is
reused (sqlite.org/wal.html#checkpointing), so a commit is in a synced database or in the log that is synced here.
fdatasync is what SQLite itself uses: it writes the file's size too when that is needed to read the data back.

Invariant: `wait(n)` returns only after an fdatasync that began after commit n. A failed sync is final: the kernel marks
the lost pages clean, so a later sync would succeed without them (fsync(2), "Notes"; sqlite.org/atomiccommit.html).
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aaos.core.errors import StorageError
from aaos.store.faults import storage_error

Sync = Callable[[int], None]
Outcome = StorageError | None


class SyncBarrier:
    """Used from the event loop's thread only; `wal_fd` becomes the barrier's own."""

    def __init__(self, wal_fd: int, path: Path, *, sync: Sync = os.fdatasync) -> None:
        self._fd = wal_fd
        self._path = path
        self._sync = sync
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aaos-durable")
        self._synced = 0
        self._wanted = 0  # the highest commit that somebody waits for
        self._covered = 0  # the highest commit that the running sync covers
        self._running: asyncio.Future[None] | None = None
        self._next: asyncio.Future[None] | None = None
        self.failure: StorageError | None = None

    async def wait(self, commit: int) -> None:
        """Return when commit number `commit` is on the disk. Raises StorageError, from the first failed sync on."""
        if self.failure is None and commit > self._synced:
            await asyncio.shield(self._join(commit))
        self._refuse()

    def wait_blocking(self, commit: int) -> None:
        """The same without an event loop: while opening and closing. Raises StorageError."""
        if self.failure is None and commit > self._synced:
            self._settle(commit, self._attempt())
        self._refuse()

    def size_bytes(self) -> int:
        """How large the log is now."""
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        """Wait for a running sync and let the descriptor go; idempotent."""
        self._pool.shutdown(wait=True)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _refuse(self) -> None:
        if self.failure is not None:
            raise self.failure.with_traceback(None)

    def _join(self, commit: int) -> "asyncio.Future[None]":
        """The sync that runs, when the commit was there before it began; else the next one."""
        if self._running is not None and commit <= self._covered:
            return self._running
        self._wanted = max(self._wanted, commit)
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        future = self._next
        if self._running is None:
            self._begin()
        return future

    def _begin(self) -> None:
        self._running, self._next, self._covered = self._next, None, self._wanted
        if self._running is not None:
            done = self._running.get_loop().run_in_executor(self._pool, self._attempt)
            done.add_done_callback(lambda future: self._ended(future.result()))

    def _ended(self, outcome: Outcome) -> None:
        ended = self._running
        self._settle(self._covered, outcome)
        self._begin()
        if ended is not None:
            ended.set_result(None)

    def _settle(self, commit: int, outcome: Outcome) -> None:
        if outcome is None:
            self._synced = max(self._synced, commit)
        else:
            self.failure = outcome

    def _attempt(self) -> Outcome:
        try:
            self._sync(self._fd)
        except OSError as error:
            failure = storage_error(error, self._path)
            failure.remedy += "; then restart agentd: systemctl restart agentd"
            return failure
        return None
