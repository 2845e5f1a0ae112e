"""The database: one writer on the event loop's thread, commits in microseconds, durability when it is asked for.

Invariant: a write is committed when the outermost `transaction()` ends, or not at all; what is written `trailing()` is
committed with whatever is written next, and at the latest `TRAIL_S` after, so nothing that follows from it stands
without it. What is written in a `step()`, and before it, survives a kill when it ends (redo.py), and is committed as
what trails. A daemon that lost its place to a newer one (epoch) or its disk (failed sync) can write nothing more. Never
`await` inside a transaction.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from aaos.core.errors import AaosError, ConflictError, InputError
from aaos.store.barrier import Sync, SyncBarrier
from aaos.store.checkpoint import HARD_BYTES, SOFT_BYTES, Checkpointer, checkpoint
from aaos.store.faults import storage_error
from aaos.store.migrate import Steps
from aaos.store.opening import Opened, open_connection
from aaos.store.redo import NEXT_BATCH, Redo, Statement, Value
from aaos.store.schema import MIGRATIONS
from aaos.store.statedir import Marker, StateDir
from aaos.store.wal import close_keeping_log

Row = tuple[Any, ...]  # columns have the types of schema.py, which is STRICT
TRAIL_S = 0.002
_EPOCH_COMMIT = 1  # opening made it
_COMMITS_PER_LOOK = 64
_log = logging.getLogger("agentd")


class Database:
    """An open database. Every method but `durable` returns without waiting; all but `is_ours` are for one thread."""

    def __init__(
        self, state: StateDir, opened: Opened, barrier: SyncBarrier, checkpointer: Checkpointer, redo: Redo
    ) -> None:
        self.epoch = opened.epoch
        self.findings = opened.findings
        self._state = state
        self._name = opened.database
        self._connection = opened.connection
        self._cursor = opened.connection.cursor()
        self._control = opened.connection.cursor()  # so that a COMMIT does not overwrite the outcome of a write
        self._barrier = barrier
        self._checkpointer = checkpointer
        self._redo = redo
        self._transaction = _Transaction(self, self._commit)
        self._trailing = _Transaction(self, self._trail)
        self._step = _Transaction(self, self._keep)
        self._depth = 0
        self._trails = False  # a transaction is open although nobody is in it
        self._written: list[Statement] = []  # in it, and not in the log of steps
        self._has_kept = False  # in it is what the log of steps has
        self._timer: asyncio.TimerHandle | None = None
        self._commits = _EPOCH_COMMIT
        self._after: list[Callable[[], None]] = []
        self._marks: list[tuple[int, int]] = []
        self._failure: AaosError | None = None
        self._broken: AaosError | None = None
        self._is_open = True
        checkpointer.start()

    @classmethod
    def open(cls, state_dir: Path, *, sync: Sync = os.fdatasync, steps: Steps = MIGRATIONS) -> "Database":
        """Lock the directory, open or create the database, begin a new epoch.

        `sync` puts a descriptor's data on the disk. Raises ConflictError when another agentd runs, StorageError.
        """
        state = StateDir.open(state_dir)
        try:
            opened = open_connection(state, steps)
            try:
                return cls._assemble(state, opened, sync)
            except BaseException:
                close_keeping_log(opened.connection, state.wal)
                raise
        except BaseException:
            state.close()
            raise

    @classmethod
    def _assemble(cls, state: StateDir, opened: Opened, sync: Sync) -> "Database":
        try:
            barrier = SyncBarrier(os.open(state.wal, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), state.wal, sync=sync)
        except OSError as error:
            raise storage_error(error, state.wal) from error
        try:
            barrier.wait_blocking(_EPOCH_COMMIT)
            state.sync()
            state.write_marker(Marker(opened.database, opened.epoch, is_clean=False))
            redo = Redo.open(state, opened.database, opened.batch)
        except BaseException:
            barrier.close()
            raise
        return cls(state, opened, barrier, Checkpointer(state.database), redo)

    @property
    def directory(self) -> Path:
        """The state directory."""
        return self._state.path

    def is_ours(self) -> bool:
        """Whether no other daemon has taken the state over. For any thread, right before an act outside of it."""
        return self._state.is_ours()

    @property
    def is_in_transaction(self) -> bool:
        """Whether the caller runs inside `transaction()`."""
        return self._depth > 0

    @property
    def failure(self) -> AaosError | None:
        """Why nothing can be written, or why the log was not copied at the last try; None when all is well."""
        return self._failure or self._barrier.failure or self._checkpointer.failure

    def transaction(self) -> "_Transaction":
        """`with db.transaction():` all or nothing; an inner one can fail alone. Raises StorageError, ConflictError."""
        return self._transaction

    def trailing(self) -> "_Transaction":
        """As `transaction()`, for what nobody but a later write depends on: the commit may wait for that write.

        With nothing in it, it spares the next write its beginning.
        """
        return self._trailing

    def step(self) -> "_Transaction":
        """As `transaction()`, for what must survive a kill of this daemon, but no power cut, when it ends."""
        return self._step

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run `action`, which must not raise, once the outermost transaction has ended well; never when it has not."""
        self._after.append(action)

    async def durable(self) -> None:
        """Return when all that is written now would survive a power cut. Raises StorageError. Source: barrier.py."""
        self._catch_up()
        await self._barrier.wait(self._commits)

    def insert(self, sql: str, values: tuple[Value, ...]) -> int:
        """Insert one row; its rowid. Raises ConflictError when its key exists, StorageError, InputError."""
        self._write(sql, values)
        return self._cursor.lastrowid or 0

    def change(self, sql: str, values: tuple[Value, ...]) -> int:
        """Update or delete; the number of rows that were changed. Raises ConflictError, StorageError, InputError."""
        self._write(sql, values)
        return self._cursor.rowcount

    def returning(self, sql: str, values: tuple[Value, ...]) -> int:
        """Insert one row; the number of its RETURNING clause. Raises ConflictError, StorageError, InputError."""
        with self._transaction:
            self._execute(self._cursor, sql, values)
            (number,) = self._cursor.fetchone()
            self._written.append((sql, values))
        return int(number)

    def rows(self, sql: str, values: tuple[Value, ...] = ()) -> list[Row]:
        """All rows of a bounded query; outside of a transaction, of what is committed. Raises StorageError."""
        if self._trails:
            self._catch_up()
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error

    def row(self, sql: str, values: tuple[Value, ...] = ()) -> Row | None:
        """The first row, or None. Raises StorageError."""
        return next(iter(self.rows(sql, values)), None)

    def close(self) -> None:
        """Copy the log, mark a clean end and let the next daemon in; idempotent. Raises StorageError."""
        if not self._is_open:
            return
        self._is_open = False
        self._checkpointer.close()
        try:
            self._catch_up()
            self._close_cleanly()
        except sqlite3.Error as error:
            raise storage_error(error, self._state.database) from error
        finally:
            close_keeping_log(self._connection, self._state.wal)
            self._barrier.close()
            self._redo.close()
            self._state.close()

    def _close_cleanly(self) -> None:
        self._barrier.wait_blocking(self._commits)
        if self._failure is None and checkpoint(self._connection):
            self._state.write_marker(Marker(self._name, self.epoch, is_clean=True))
            self._connection.close()
            self._redo.discard()

    def _write(self, sql: str, values: tuple[Value, ...]) -> None:
        if not self._depth:
            with self._transaction:
                self._execute(self._cursor, sql, values)
                self._written.append((sql, values))
        else:
            self._execute(self._cursor, sql, values)
            self._written.append((sql, values))

    def _execute(self, cursor: sqlite3.Cursor, sql: str, values: tuple[Value, ...] = ()) -> None:
        if self._broken is not None:
            raise self._broken.with_traceback(None)
        try:
            cursor.execute(sql, values)
        except sqlite3.IntegrityError as error:
            raise ConflictError(f"it is there already ({error})", "use another name") from error
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise InputError(f"a value cannot be stored: {error}", "use valid Unicode and 64-bit numbers") from error

    def _begin(self) -> None:
        failure = self._failure or self._barrier.failure
        if failure is not None:
            raise failure.with_traceback(None)
        if self._depth or (self._trails and not self._is_ahead):
            self._execute(self._control, f"SAVEPOINT level{self._depth}")
            self._marks.append((len(self._after), len(self._written)))
        elif self._trails:
            self._trails = False
        else:
            self._broken = None
            self._execute(self._control, "BEGIN IMMEDIATE")
            self._fence()
            self._repeat()
        self._depth += 1

    @property
    def _is_ahead(self) -> bool:
        """Whether what is open is only the beginning of a transaction: then a failure takes nothing along."""
        return not (self._written or self._has_kept or self._after)

    def _repeat(self) -> None:
        """What was acted on comes before all else when its commit failed. Raises StorageError."""
        if not self._redo.kept:
            return
        try:
            self._execute(self._control, NEXT_BATCH, (self._redo.batch + 1,))
            for sql, values in self._redo.kept:
                self._execute(self._control, sql, values)
        except AaosError:
            self._roll_back()
            raise
        self._has_kept = True

    def _fence(self) -> None:
        self._execute(self._control, "SELECT epoch FROM daemon")
        (epoch,) = self._control.fetchone()
        if epoch != self.epoch:
            self._roll_back()
            message = f"{self._state.path}: another agentd took over (start {epoch}; this one is start {self.epoch})"
            self._failure = ConflictError(message, f"end this one: kill {os.getpid()}")
            raise self._failure

    def _end(self, ending: Callable[[], None], *, is_good: bool) -> None:
        self._depth -= 1
        if self._depth or self._trails:
            self._end_inner(is_good=is_good)
        elif not is_good:
            self._after = []
            self._roll_back()
        if not self._depth and is_good:
            ending()

    def _trail(self) -> None:
        """Leave the transaction open to the next; where no loop runs there is nobody to end it in time."""
        self._trails = True
        if self._timer is not None:
            return
        try:
            self._timer = asyncio.get_running_loop().call_later(TRAIL_S, self._catch_up_late)
        except RuntimeError:
            self._commit()

    def _keep(self) -> None:
        """Put what was written into the log of steps and leave its commit to later; or commit it now."""
        self._trail()
        if not self._trails or self._is_ahead:
            return
        try:
            if not self._has_kept:
                self._execute(self._control, NEXT_BATCH, (self._redo.batch + 1,))
                self._has_kept = True
            self._redo.append(self._written)
        except (OSError, AaosError):
            self._commit()
            return
        self._written = []
        self._tell()

    def _catch_up(self) -> None:
        """Commit what trails, and what was acted on when its commit failed. Raises StorageError."""
        if self._trails and not self._depth:
            self._commit()
        elif self._redo.kept and not self._depth:
            with self._transaction:
                pass

    def _catch_up_late(self) -> None:
        self._timer = None
        try:
            self._catch_up()
        except AaosError as error:  # whoever writes next meets it too
            _log.error("what was written last is not committed: %s", error.message)

    def _commit(self) -> None:
        self._trails = False
        is_blank = self._is_ahead
        try:
            self._execute(self._control, "COMMIT")
        except AaosError:
            self._after = []
            self._roll_back()
            raise
        if self._has_kept:
            self._redo.committed()
        self._written, self._has_kept = [], False
        self._tell()
        if is_blank:
            return
        self._commits += 1
        if not self._commits % _COMMITS_PER_LOOK:
            self._bound_log()

    def _tell(self) -> None:
        after, self._after = self._after, []
        for action in after:
            action()

    def _bound_log(self) -> None:
        size_bytes = self._barrier.size_bytes()
        if size_bytes > SOFT_BYTES:
            self._checkpointer.request()
        if size_bytes > HARD_BYTES:
            with suppress(sqlite3.Error):  # the commit stands; the thread tries again and tells
                checkpoint(self._connection)

    def _end_inner(self, *, is_good: bool) -> None:
        after, written = self._marks.pop()
        if not is_good:
            del self._after[after:]
            del self._written[written:]
        if self._broken is not None:
            self._forget_trail()
            if is_good:
                raise self._broken.with_traceback(None)
            return
        if not is_good:
            self._execute(self._control, f"ROLLBACK TO level{self._depth}")
        self._execute(self._control, f"RELEASE level{self._depth}")

    def _forget_trail(self) -> None:
        """SQLite ended the transaction by itself: what trailed is lost with it."""
        if not self._depth and self._trails:
            self._trails = False
            self._after = []
            self._written, self._has_kept = [], False
            _log.error("what was written just before is lost as well")

    def _roll_back(self) -> None:
        self._written, self._has_kept = [], False
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _translated(self, error: sqlite3.DatabaseError) -> AaosError:
        """A full disk or an I/O error ends SQLite's transaction by itself; then nothing more of ours may be written."""
        failure = storage_error(error, self._state.database)
        if self._depth and not self._connection.in_transaction:
            self._broken = failure
        return failure


class _Transaction:
    """The context manager; it has no state of its own, so one serves all levels."""

    __slots__ = ("_database", "_ending")

    def __init__(self, database: Database, ending: Callable[[], None]) -> None:
        self._database = database
        self._ending = ending

    def __enter__(self) -> None:
        self._database._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database._end(self._ending, is_good=kind is None)
