"""SQLite's side of the open transaction: its statements, the levels that can fail alone, and what SQLite says of both.

Invariant: statements reach SQLite in the order in which they were written. A level costs SQLite a savepoint only when
something is carried out in it. Where SQLite has ended the transaction by itself, as it does on a full disk, nothing
more is carried out until the next one begins.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aaos.core.errors import AaosError, ConflictError, InputError, StorageError
from aaos.store.backlog import Backlog
from aaos.store.faults import storage_error
from aaos.store.redo import Value

Row = tuple[Any, ...]  # columns have the types of schema.py, which is STRICT


@dataclass(slots=True)
class _Level:
    """Where an inner level began: what is told after it, what was written before it; whether SQLite knows of it."""

    after: int
    position: int
    is_set: bool = False


class Levels:
    """The transaction of one connection. `path` is that of the database, for errors; `backlog` is what is written."""

    def __init__(self, connection: sqlite3.Connection, path: Path, backlog: Backlog) -> None:
        self.backlog = backlog
        self.after: list[Callable[[], None]] = []  # what is told when it has ended well
        self.rollbacks = 0  # of any level
        self.broken: AaosError | None = None
        self.cursor = connection.cursor()  # with the outcome of the last write
        self._control = connection.cursor()  # so that a COMMIT does not overwrite it
        self._connection = connection
        self._path = path
        self._inner: list[_Level] = []
        self._is_begun = False

    @property
    def is_blank(self) -> bool:
        """Whether nothing is written in it: then a failure takes nothing along."""
        return not (self.backlog or self.after)

    def begin(self) -> int:
        """Begin a transaction; the epoch that the database is in. Raises StorageError."""
        self.broken = None
        self._execute(self._control, "BEGIN IMMEDIATE")
        self._is_begun = True
        self._execute(self._control, "SELECT epoch FROM daemon")
        return int(self._control.fetchone()[0])

    def commit(self) -> None:
        """Raises StorageError: then it is to be rolled back."""
        self.carry_out()
        for sql, values in self.backlog.ending():
            self._execute(self._control, sql, values)
        self._execute(self._control, "COMMIT")
        self._is_begun = False
        self.backlog.committed()
        self.tell()

    def tell(self) -> None:
        """What was acted on, or is committed."""
        after, self.after = self.after, []
        for action in after:
            action()

    def roll_back(self) -> None:
        """All of it; what the log of steps has comes before all else in the next one."""
        self.backlog.roll_back()
        self.after = []
        self.rollbacks += 1
        self._is_begun = False
        if self._connection.in_transaction:
            with suppress(sqlite3.DatabaseError):  # then no other one begins, and this is tried again
                self._connection.execute("ROLLBACK")

    def enter(self) -> None:
        """Begin an inner level."""
        self._inner.append(_Level(len(self.after), len(self.backlog)))

    def leave(self, *, is_good: bool) -> None:
        """End the innermost level. Where that fails, nothing of the transaction may stand: it is broken."""
        level = self._inner.pop()
        if not is_good:
            self.rollbacks += 1
            del self.after[level.after :]
        if self.broken is not None:
            return
        try:
            if level.is_set and not is_good:
                self._execute(self._control, f"ROLLBACK TO level{len(self._inner)}")
            if level.is_set:
                self._execute(self._control, f"RELEASE level{len(self._inner)}")
        except AaosError as error:
            self.broken = error
        else:
            if not is_good:
                self.backlog.cut(level.position)

    def run(self, sql: str, values: tuple[Value, ...]) -> None:
        """Carry out a statement now; `cursor` has its outcome. Raises ConflictError, StorageError, InputError."""
        self.prepare()
        self._execute(self.cursor, sql, values)
        self.backlog.done((sql, values))

    def prepare(self) -> None:
        """SQLite has all that was written before, and can take back each level that is open. Raises StorageError."""
        for number, level in enumerate(self._inner):
            if not level.is_set:
                self._carry_out(level.position)
                self._execute(self._control, f"SAVEPOINT level{number}")
                level.is_set = True
        self.carry_out()

    def carry_out(self) -> None:
        """What was written for later. Raises StorageError."""
        self._carry_out(len(self.backlog))

    def rows(self, sql: str, values: tuple[Value, ...]) -> list[Row]:
        """All rows of a bounded query. Raises StorageError."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error

    def _carry_out(self, end: int) -> None:
        for sql, values in self.backlog.due(end):
            try:
                self._execute(self.cursor, sql, values)
            except (ConflictError, InputError) as error:
                message = f"{self._path}: what was written for later does not fit ({error.message})"
                remedy = "systemctl restart agentd; what does not fit is kept in a file beside: agentd doctor names it"
                raise StorageError(message, remedy) from error
            self.backlog.carried()

    def _execute(self, cursor: sqlite3.Cursor, sql: str, values: tuple[Value, ...] = ()) -> None:
        if self.broken is not None:
            raise self.broken.with_traceback(None)
        try:
            cursor.execute(sql, values)
        except sqlite3.IntegrityError as error:
            raise ConflictError(f"it is there already ({error})", "use another name") from error
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise InputError(f"a value cannot be stored: {error}", "use valid Unicode and 64-bit numbers") from error

    def _translated(self, error: sqlite3.DatabaseError) -> AaosError:
        failure = storage_error(error, self._path)
        if self._is_begun and not self._connection.in_transaction:
            self.broken = failure
        return failure
