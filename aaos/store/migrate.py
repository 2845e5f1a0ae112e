"""Brings a database to the newest layout, all steps in one transaction, with a backup of what was there before.

Invariant: after a failure the file is as it was; a layout newer than this program is refused, never guessed at.
"""

import os
import re
import shlex
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from aaos.core.errors import StorageError
from aaos.store.faults import damaged, storage_error
from aaos.store.schema import APPLICATION_ID
from aaos.store.statedir import DATABASE, LOCK, MARKER, StateDir

NEWER = "install the newer agentd: apt install ./aaos_*.deb"

Steps = Sequence[Sequence[str]]
_COPY = re.compile(rf"{re.escape(DATABASE)}\.v([0-9]{{1,9}})\.backup")


def migrate(connection: sqlite3.Connection, state: StateDir, steps: Steps) -> Path | None:
    """Apply the steps that are missing; the backup's path when there was something to keep. Raises StorageError."""
    version = _version(connection)
    if version > len(steps):
        message = f"{state.database}: has layout {version}, this agentd knows up to {len(steps)}"
        raise StorageError(message, _remedy(state, len(steps)))
    _check_ours(connection, state, version)
    if version == len(steps):
        return None
    backup = _back_up(connection, state, version) if version else None
    _apply(connection, steps, version)
    return backup


def _remedy(state: StateDir, known: int) -> str:
    """The newer program; or the newest copy that this one can read, as commands that lose no file."""
    copies = [(int(found[1]), path) for path in state.path.iterdir() if (found := _COPY.fullmatch(path.name))]
    usable = [copy for copy in copies if copy[0] <= known]
    if not usable:
        return NEWER
    copy = max(usable)[1]
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(copy.stat().st_mtime))
    place, files = shlex.quote(str(state.path)), f"{shlex.quote(str(state.database))}*"
    files += f" {place}/{MARKER}" if (state.path / MARKER).exists() else ""
    commands = (
        "flock 9",  # no agentd starts meanwhile and makes a new database
        f"aside=$(mktemp -d {place}/newer-XXXX)",
        f'mv {files} "$aside"',
        f'cp -p "$aside"/{copy.name} {shlex.quote(str(state.database))}',
    )
    after = f"({' && '.join(commands)}) 9>>{place}/{LOCK}"
    return f"{NEWER}; or go back to {made}, with all that came after put aside: {after}"


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check_ours(connection: sqlite3.Connection, state: StateDir, version: int) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != (APPLICATION_ID if version else 0) or (tables and not version):
        raise damaged(state.database, f"not a database of agentd (application id {application:#x}, {tables} tables)")


def _apply(connection: sqlite3.Connection, steps: Steps, version: int) -> None:
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for step in steps[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _back_up(connection: sqlite3.Connection, state: StateDir, version: int) -> Path:
    """A whole copy, private and on the disk, before the first step. Raises StorageError."""
    final = state.path / f"{state.database.name}.v{version}.backup"
    draft = state.path / f"{final.name}.new"
    try:
        draft.unlink(missing_ok=True)
        state.prepare(draft.name)
        with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        _sync_file(draft)
        draft.replace(final)
        state.sync()
    except OSError as error:
        raise storage_error(error, final) from error
    return final


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
