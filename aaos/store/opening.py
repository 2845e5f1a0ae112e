"""Opens the database of a locked state directory, or says why it must not be used.

Invariant: a database that was there and now is missing, empty, damaged, older than its marker or without its log is
never taken for a new one; what is accepted with a doubt is told in `Opened.findings`.
"""

import shlex
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from aaos.core.errors import StorageError
from aaos.store.faults import damaged, storage_error
from aaos.store.migrate import Steps, migrate
from aaos.store.redo import NEXT_BATCH, REDO, left_over
from aaos.store.statedir import DATABASE, MARKER, Marker, StateDir
from aaos.store.wal import WalScan, close_keeping_log, drop_kept_log, scan

_PRAGMAS = (
    "busy_timeout = 5000",
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "wal_autocheckpoint = 0",
    "journal_size_limit = 4194304",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "temp_store = MEMORY",
)
_UNFIT = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)  # the disk is well
_STATEMENTS = 256  # more than this program has, so each is compiled once


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection to write with, the name of its database, this daemon's epoch, the last batch of steps that the
    database has (redo.py), and what the operator must know."""

    connection: sqlite3.Connection
    database: str
    epoch: int
    batch: int
    findings: tuple[str, ...]


def open_connection(state: StateDir, steps: Steps) -> Opened:
    """Check, open, migrate and begin a new epoch. Raises StorageError; nothing stays open then."""
    try:
        marker = state.marker()
        log = _check_files(state, marker)
        state.prepare(DATABASE)
        connection = _connect(state.database)
        try:
            return _prepare(connection, state, marker, log, steps)
        except BaseException:
            close_keeping_log(connection, state.wal)
            raise
    except (sqlite3.Error, OSError) as error:
        raise storage_error(error, state.database) from error


def _check_files(state: StateDir, marker: Marker | None) -> WalScan | None:
    drop_kept_log(state.wal)
    size = state.check(DATABASE)
    state.check(state.wal.name)
    state.check(f"{DATABASE}-shm")
    log = scan(state.wal)
    if not size and (marker is not None or (log is not None and log.size_bytes)):
        raise _lost(state, state.database, "it is gone or empty, though agentd has used it before")
    if marker is not None and not marker.is_clean and (log is None or not log.size_bytes):
        raise _lost(state, state.wal, "it is gone or empty, and the commits in it with it")
    if log is not None and log.size_bytes and not log.is_header_valid:
        raise _lost(state, state.wal, "its header is damaged, so SQLite would pass over the commits in it")
    return log


def _lost(state: StateDir, path: Path, detail: str) -> StorageError:
    directory, marker, log = (shlex.quote(str(p)) for p in (state.path, state.path / MARKER, state.wal))
    accept = f"rm -f {marker} {log}"
    if path == state.database:
        accept = f"mkdir {directory}/lost && mv {directory}/{DATABASE}* {marker} {directory}/lost"
    return StorageError(f"{path}: {detail}", f"restore it from a backup, or accept the loss: {accept}")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=_STATEMENTS)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(
    connection: sqlite3.Connection, state: StateDir, marker: Marker | None, log: WalScan | None, steps: Steps
) -> Opened:
    _check_integrity(connection, state)
    findings = _keep_damaged_log(connection, state, log)
    if marker is not None:
        _check_marker(connection, state, marker)
    findings += _carry_out(connection, state)
    backup = migrate(connection, state, steps)
    if backup is not None:
        findings.append(f"the layout was brought up to date; the database as it was: {backup}")
    database, epoch, batch = connection.execute("SELECT database, epoch, batch FROM daemon").fetchone()
    if marker is None and epoch:
        findings.append(f"{state.path / MARKER} was missing: whether commits were lost is not known")
    connection.execute("UPDATE daemon SET epoch = epoch + 1")
    return Opened(connection, database, epoch + 1, batch, tuple(findings))


def _check_integrity(connection: sqlite3.Connection, state: StateDir) -> None:
    rows = connection.execute("PRAGMA quick_check(3)").fetchall()
    if rows != [("ok",)]:
        raise damaged(state.database, "; ".join(str(row[0]) for row in rows))


def _keep_damaged_log(connection: sqlite3.Connection, state: StateDir, log: WalScan | None) -> list[str]:
    """SQLite reads the log up to its first damaged frame; keep the file when commits stand behind that."""
    if log is None or not log.commits_end:
        return []
    _, read_frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if read_frames >= log.commits_end:
        return []
    number = sum(1 for _ in state.path.glob(f"{state.wal.name}.damaged-*")) + 1
    kept = state.path / f"{state.wal.name}.damaged-{number}"
    state.prepare(kept.name)
    shutil.copyfile(state.wal, kept)
    lost = f"frames {read_frames + 1} to {log.commits_end} of {state.wal} could not be read"
    return [f"{lost}: commits are lost, by damage or a power cut; the log was kept as {kept}"]


def _carry_out(connection: sqlite3.Connection, state: StateDir) -> list[str]:
    """Commit the steps that a killed daemon had acted on; in the layout that it had. What does not fit is kept."""
    if not state.check(REDO) or not _has_batches(connection):
        return []
    database, batch = connection.execute("SELECT database, batch FROM daemon").fetchone()
    statements = left_over(state.path / REDO, database, batch)
    if not statements:
        return []
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(NEXT_BATCH, (batch + 1,))
        for sql, values in statements:
            connection.execute(sql, values)
        connection.execute("COMMIT")
    except (sqlite3.DatabaseError, UnicodeEncodeError, OverflowError) as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.DatabaseError) and error.sqlite_errorcode & 0xFF not in _UNFIT:
            raise
        kept = state.path / f"{REDO}.damaged-{batch + 1}"
        (state.path / REDO).replace(kept)
        return [f"{len(statements)} writes of the last moment do not fit ({error}): their log was kept as {kept}"]
    return []


def _has_batches(connection: sqlite3.Connection) -> bool:
    columns = connection.execute("SELECT name FROM pragma_table_info('daemon')").fetchall()
    return ("batch",) in columns


def _check_marker(connection: sqlite3.Connection, state: StateDir, marker: Marker) -> None:
    if connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'daemon'").fetchone() != (1,):
        raise damaged(state.database, "it has no tables, though agentd has used it before")
    database, epoch = connection.execute("SELECT database, epoch FROM daemon").fetchone()
    if database != marker.database:
        message = f"{state.database}: is not the database that agentd used last"
    elif epoch < marker.epoch:
        message = f"{state.database}: is older than agentd left it (start {epoch} of {marker.epoch}); commits are lost"
    else:
        return
    accept = f"rm {shlex.quote(str(state.path / MARKER))}"
    raise StorageError(message, f"put the right one in its place, or accept this one: {accept}")
