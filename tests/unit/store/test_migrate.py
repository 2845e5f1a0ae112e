import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.errors import StorageError
from aaos.store.migrate import migrate
from aaos.store.schema import MIGRATIONS
from aaos.store.statedir import StateDir

NOW = len(MIGRATIONS)
NEWER = (*MIGRATIONS, ("CREATE TABLE extra (x INTEGER) STRICT", "INSERT INTO extra VALUES (1)"))
BROKEN = (*MIGRATIONS, ("CREATE TABLE extra (x INTEGER) STRICT", "INSERT INTO nowhere VALUES (1)"))


@pytest.fixture
def state(state_dir: Path) -> Iterator[StateDir]:
    opened = StateDir.open(state_dir)
    opened.prepare("aaos.db")
    yield opened
    opened.close()


@pytest.fixture
def connection(state: StateDir) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(state.database, isolation_level=None)) as made:
        made.execute("PRAGMA journal_mode = WAL")
        yield made


def _layout(connection: sqlite3.Connection) -> list[tuple[str]]:
    return connection.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()


def test_a_new_database_gets_every_step_and_needs_no_backup(state: StateDir, connection: sqlite3.Connection) -> None:
    assert migrate(connection, state, NEWER) is None
    assert connection.execute("PRAGMA user_version").fetchone() == (NOW + 1,)
    assert migrate(connection, state, NEWER) is None


def test_the_database_as_it_was_is_kept(state: StateDir, connection: sqlite3.Connection) -> None:
    """H-DUR-13, H-SEC-10"""
    migrate(connection, state, MIGRATIONS)
    connection.execute("UPDATE daemon SET epoch = 41")
    backup = migrate(connection, state, NEWER)
    assert backup == state.path / f"aaos.db.v{NOW}.backup"
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(backup)) as kept:
        assert kept.execute("PRAGMA user_version").fetchone() == (NOW,)
        assert kept.execute("SELECT epoch FROM daemon").fetchone() == (41,)
    assert {path.name for path in state.path.glob("*backup*")} == {backup.name}


def test_a_step_that_fails_leaves_all_as_it_was(state: StateDir, connection: sqlite3.Connection) -> None:
    """H-DUR-13"""
    migrate(connection, state, MIGRATIONS)
    before = _layout(connection)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, state, BROKEN)
    assert _layout(connection) == before
    assert connection.execute("PRAGMA user_version").fetchone() == (NOW,)
    migrate(connection, state, NEWER)
    assert connection.execute("SELECT x FROM extra").fetchall() == [(1,)]


def test_a_newer_layout_is_refused_untouched(state: StateDir, connection: sqlite3.Connection) -> None:
    """H-DUR-13"""
    migrate(connection, state, NEWER)
    before = _layout(connection)
    with pytest.raises(StorageError, match=f"has layout {NOW + 1}, this agentd knows up to {NOW}") as caught:
        migrate(connection, state, MIGRATIONS)
    assert caught.value.remedy == "install the newer agentd: apt install ./aaos_*.deb"
    assert _layout(connection) == before


def test_the_newest_copy_that_can_be_read_is_the_way_back(state: StateDir, connection: sqlite3.Connection) -> None:
    """DEB-3, H-DUR-13"""
    migrate(connection, state, MIGRATIONS[:-2])
    migrate(connection, state, MIGRATIONS)
    migrate(connection, state, NEWER)
    for name in (f"aaos.db.v{NOW + 1}.backup", "aaos.db.v1.backup", f"aaos.db.v{NOW}.backup.new", "aaos.db.vx.backup"):
        (state.path / name).touch()
    os.utime(state.path / f"aaos.db.v{NOW}.backup", (0, 86_400))
    with pytest.raises(StorageError) as caught:
        migrate(connection, state, MIGRATIONS)
    assert "; or go back to 1970-01-02 00:00:00 UTC, with all that came after put aside: " in caught.value.remedy
    assert f'cp -p "$aside"/aaos.db.v{NOW}.backup {state.database}) 9>>' in caught.value.remedy
    with pytest.raises(StorageError) as caught:
        migrate(connection, state, MIGRATIONS[:-1])
    assert f"aaos.db.v{NOW - 2}.backup" in caught.value.remedy


def test_a_foreign_database_is_refused(state: StateDir, connection: sqlite3.Connection) -> None:
    """H-DUR-06"""
    connection.execute("CREATE TABLE cookies (x)")
    with pytest.raises(StorageError, match="not a database of agentd"):
        migrate(connection, state, MIGRATIONS)
    connection.execute("PRAGMA user_version = 1")
    with pytest.raises(StorageError, match="not a database of agentd"):
        migrate(connection, state, MIGRATIONS)
