"""The database: one writer on the event loop's thread, commits in microseconds, durability when it is asked for.

Invariant: a write is committed when the outermost `transaction()` ends, or not at all; what is written `trailing()` is
committed with whatever is written next, and at the latest `TRAIL_S` after, so nothing that follows from it stands
without it. What is written in a `step()`, and before it, survives a kill when it ends (redo.py), and is committed as
what trails. What is written `later()` (backlog.py) SQLite gets at the latest before anything else is written or read. A
daemon that lost its place to a newer one (epoch) or its disk (failed sync) can write nothing more. Never `await` inside
a transaction.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from aaos.core.errors import AaosError, ConflictError
from aaos.store.backlog import Backlog
from aaos.store.barrier import Sync, SyncBarrier
from aaos.store.checkpoint import HARD_BYTES, SOFT_BYTES, Checkpointer, checkpoint
from aaos.store.faults import storage_error
from aaos.store.levels import Levels, Row
from aaos.store.migrate import Steps
from aaos.store.opening import Opened, open_connection
from aaos.store.redo import Redo, Value
from aaos.store.schema import MIGRATIONS
from aaos.store.statedir import Marker, StateDir
from aaos.store.wal import close_keeping_log

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
        self._barrier = barrier
        self._checkpointer = checkpointer
        self._redo = redo
        self._transaction = _Transaction(self, self._commit)
        self._trailing = _Transaction(self, self._trail)
        self._step = _Transaction(self, self._keep)
        self._depth = 0
        self._trails = False  # a transaction is open although nobody is in it
        self._backlog = Backlog(redo)  # what is in it
        self._levels = Levels(opened.connection, state.database, self._backlog)
        self._timer: asyncio.TimerHandle | None = None
        self._commits = _EPOCH_COMMIT
        self._failure: AaosError | None = None
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
    def rollbacks(self) -> int:
        """How often something that was written was taken back, in whole or in part."""
        return self._levels.rollbacks

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
        self._levels.after.append(action)

    async def durable(self) -> None:
        """Return when all that is written now would survive a power cut. Raises StorageError. Source: barrier.py."""
        self._catch_up()
        await self._barrier.wait(self._commits)

    def later(self, sql: str, values: tuple[Value, ...]) -> None:
        """As `insert` or `change`, of what cannot fail but for the disk: SQLite gets it when there is time, in this
        order, and in any case before something else is written or read. Raises StorageError.
        """
        if not self._depth:
            with self._transaction:
                self._backlog.append((sql, values))
        else:
            self._backlog.append((sql, values))

    def proceed(self) -> None:
        """While nobody waits: SQLite gets what was left for later, or begins what comes next."""
        if self._depth:
            return
        try:
            if self._trails:
                self._or_roll_back(self._levels.carry_out)
            else:
                with self._trailing:
                    pass
        except AaosError as error:  # whoever writes next meets it too
            _log.error("what was written last is not carried out: %s", error.message)

    def insert(self, sql: str, values: tuple[Value, ...]) -> int:
        """Insert one row; its rowid. Raises ConflictError when its key exists, StorageError, InputError."""
        self._write(sql, values)
        return self._levels.cursor.lastrowid or 0

    def change(self, sql: str, values: tuple[Value, ...]) -> int:
        """Update or delete; the number of rows that were changed. Raises ConflictError, StorageError, InputError."""
        self._write(sql, values)
        return self._levels.cursor.rowcount

    def returning(self, sql: str, values: tuple[Value, ...]) -> int:
        """Insert one row; the number of its RETURNING clause. Raises ConflictError, StorageError, InputError."""
        with self._transaction:
            self._levels.run(sql, values)
            (number,) = self._levels.cursor.fetchone()
        return int(number)

    def rows(self, sql: str, values: tuple[Value, ...] = ()) -> list[Row]:
        """All rows of a bounded query; outside of a transaction, of what is committed. Raises StorageError."""
        if self._depth:
            self._levels.prepare()
        elif self._trails:
            self._catch_up()
        return self._levels.rows(sql, values)

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
                self._levels.run(sql, values)
        else:
            self._levels.run(sql, values)

    def _begin(self) -> None:
        failure = self._failure or self._barrier.failure
        if failure is not None:
            raise failure.with_traceback(None)
        if self._depth or (self._trails and not self._levels.is_blank):
            self._levels.enter()
        elif not self._trails:
            self._or_roll_back(self._begin_fenced)
        else:
            self._trails = False
        self._depth += 1

    def _begin_fenced(self) -> None:
        """What was acted on comes before all else when its commit failed. Raises StorageError, ConflictError."""
        epoch = self._levels.begin()
        if epoch != self.epoch:
            message = f"{self._state.path}: another agentd took over (start {epoch}; this one is start {self.epoch})"
            self._failure = ConflictError(message, f"end this one: kill {os.getpid()}")
            raise self._failure
        self._levels.carry_out()

    def _or_roll_back(self, act: Callable[[], None]) -> None:
        """`act`; when it fails, nothing is open any more. Raises AaosError."""
        try:
            act()
        except AaosError:
            self._trails = False
            self._levels.roll_back()
            raise

    def _end(self, ending: Callable[[], None], *, is_good: bool) -> None:
        self._depth -= 1
        if self._depth or self._trails:
            self._end_inner(is_good=is_good)
        elif not is_good:
            self._levels.roll_back()
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
        if not self._trails or self._levels.is_blank:
            return
        if self._is_logged():
            self._levels.tell()
        else:
            self._commit()

    def _is_logged(self) -> bool:
        """Whether the log of steps has it all; not where it is full, nor where SQLite is broken."""
        if self._levels.broken is not None:
            return False
        try:
            self._backlog.log()
        except OSError:
            return False
        return True

    def _catch_up(self) -> None:
        """Commit what trails, and what was acted on when its commit failed. Raises StorageError."""
        if self._trails and not self._depth:
            self._commit()
        elif self._backlog.is_kept and not self._depth:
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
        is_blank = self._levels.is_blank
        self._or_roll_back(self._levels.commit)
        if is_blank:
            return
        self._commits += 1
        if not self._commits % _COMMITS_PER_LOOK:
            self._bound_log()

    def _bound_log(self) -> None:
        size_bytes = self._barrier.size_bytes()
        if size_bytes > SOFT_BYTES:
            self._checkpointer.request()
        if size_bytes > HARD_BYTES:
            with suppress(sqlite3.Error):  # the commit stands; the thread tries again and tells
                if not checkpoint(self._connection):
                    self._checkpointer.wait()
                    checkpoint(self._connection)

    def _end_inner(self, *, is_good: bool) -> None:
        self._levels.leave(is_good=is_good)
        if (broken := self._levels.broken) is not None:
            self._forget_trail()
            if is_good:
                raise broken.with_traceback(None)

    def _forget_trail(self) -> None:
        """SQLite ended the transaction by itself: what trailed is lost with it."""
        if not self._depth and self._trails:
            self._trails = False
            self._levels.roll_back()
            _log.error("what was written just before is lost as well")


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
