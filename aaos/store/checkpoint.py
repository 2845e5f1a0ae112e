"""Copies the write-ahead log into the database beside the event loop, so that the log stays small.

Invariant: the log is bounded as long as no foreign process holds a snapshot. Over `SOFT_BYTES` the thread copies it and
the writer begins at the front again at its next pause; when there is no pause, the writer copies the rest itself over
`HARD_BYTES`, and waits for the thread where that is copying. The log is never cut to nothing while a daemon lives: an
empty log after a crash is a lost one.
"""

import sqlite3
import threading
from pathlib import Path

from aaos.core.errors import StorageError
from aaos.store.faults import storage_error

SOFT_BYTES = 4 * 2**20
HARD_BYTES = 32 * 2**20
WAIT_S = 2.0
_PAUSE_S = 0.05
_WAKE_S = 60.0
_BUSY_MS = 1000
_JOIN_S = 30.0


class Checkpointer:
    """One thread with a connection of its own."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="aaos-checkpoint", daemon=True)
        self.failure: StorageError | None = None  # of the newest attempt; it is repeated, so nothing is lost by it

    def start(self) -> None:
        """Begin to listen for `request`."""
        self._thread.start()

    def request(self) -> None:
        """Ask for a checkpoint; returns at once, may be called as often as one likes."""
        self._wanted.set()

    def wait(self) -> None:
        """Until the thread is not copying, for `WAIT_S` at most."""
        self._idle.wait(WAIT_S)

    def close(self) -> None:
        """End the thread after the checkpoint that runs; idempotent."""
        self._stopping.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._wanted.wait(_WAKE_S) and not self._stopping.is_set():
                self._wanted.clear()
                self._checkpoint()
                self._stopping.wait(_PAUSE_S)

    def _checkpoint(self) -> None:
        self._idle.clear()
        try:
            connection = sqlite3.connect(self._database, isolation_level=None)
            try:
                _configure(connection)
                checkpoint(connection)
            finally:
                connection.close()
            self.failure = None
        except sqlite3.Error as error:
            self.failure = storage_error(error, self._database)
        finally:
            self._idle.set()


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Copy what can be copied without waiting for anybody; True when all of the log is in the database."""
    busy, frames, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return not busy and frames == copied


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")  # syncs the log before, the database after the copying
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
