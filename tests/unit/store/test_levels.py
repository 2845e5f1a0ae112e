"""SQLite's side of a transaction: order, savepoints only where they are needed, and its end by SQLite itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.errors import ConflictError, InputError, StorageError
from aaos.store.backlog import Backlog
from aaos.store.levels import Levels
from aaos.store.redo import Redo
from aaos.store.statedir import StateDir

PUT = "INSERT INTO things VALUES (?)"
ALL = "SELECT name FROM things ORDER BY rowid"


@pytest.fixture
def traced() -> list[str]:
    return []


@pytest.fixture
def levels(state_dir: Path, tmp_path: Path, traced: list[str]) -> Iterator[Levels]:
    state = StateDir.open(state_dir)
    redo = Redo.open(state, "0" * 32, 0)
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE things (name TEXT NOT NULL UNIQUE)")
        connection.execute("CREATE TABLE daemon (epoch INTEGER, batch INTEGER)")
        connection.execute("INSERT INTO daemon VALUES (7, 0)")
        connection.set_trace_callback(traced.append)
        yield Levels(connection, tmp_path / "db", Backlog(redo))
    redo.close()
    state.close()


def later(levels: Levels, *names: str) -> None:
    for name in names:
        levels.backlog.append((PUT, (name,)))


def names(levels: Levels) -> list[str]:
    return [name for (name,) in levels.rows(ALL, ())]


def test_what_is_for_later_comes_before_what_is_for_now(levels: Levels) -> None:
    assert levels.begin() == 7
    later(levels, "1", "2")
    assert names(levels) == []
    levels.run(PUT, ("3",))
    later(levels, "4")
    levels.commit()
    assert names(levels) == ["1", "2", "3", "4"]
    assert not levels.backlog


def test_a_level_in_which_nothing_is_carried_out_costs_sqlite_nothing(levels: Levels, traced: list[str]) -> None:
    levels.begin()
    levels.enter()
    later(levels, "1")
    levels.leave(is_good=True)
    levels.enter()
    later(levels, "2")
    levels.leave(is_good=False)
    assert not any("SAVEPOINT" in one for one in traced)
    levels.commit()
    assert names(levels) == ["1"]


def test_a_level_that_fails_takes_back_its_own_and_no_more(levels: Levels) -> None:
    """Whether it was carried out or not, and whatever was before it."""
    told: list[str] = []
    levels.begin()
    later(levels, "1")
    levels.after.append(lambda: told.append("1"))
    levels.enter()
    later(levels, "2")
    levels.enter()
    levels.run(PUT, ("3",))
    levels.after.append(lambda: told.append("3"))
    levels.leave(is_good=False)
    assert names(levels) == ["1", "2"]
    later(levels, "4")
    levels.leave(is_good=True)
    levels.commit()
    assert (names(levels), told, levels.rollbacks) == (["1", "2", "4"], ["1"], 1)


def test_what_does_not_fit_later_is_an_error_of_the_store_and_not_of_who_writes_next(levels: Levels) -> None:
    levels.begin()
    later(levels, "1", "1")
    with pytest.raises(StorageError, match="does not fit") as error:
        levels.run(PUT, ("2",))
    assert "systemctl restart agentd" in error.value.remedy
    levels.roll_back()
    assert names(levels) == []


def test_what_does_not_fit_now_is_an_error_of_its_own(levels: Levels) -> None:
    levels.begin()
    levels.run(PUT, ("1",))
    with pytest.raises(InputError):
        levels.run(PUT, ("\ud800",))
    with pytest.raises(ConflictError):
        levels.run(PUT, ("1",))
    levels.commit()
    assert names(levels) == ["1"]


def test_what_the_log_of_steps_has_comes_first_after_a_rollback(levels: Levels) -> None:
    """RUN-8"""
    levels.begin()
    later(levels, "1")
    levels.backlog.log()
    levels.carry_out()
    later(levels, "2")
    levels.roll_back()
    levels.begin()
    levels.run(PUT, ("3",))
    levels.commit()
    assert names(levels) == ["1", "3"]
    assert levels.rows("SELECT batch FROM daemon", ()) == [(1,)]


def test_where_sqlite_ended_the_transaction_nothing_more_is_carried_out(levels: Levels) -> None:
    """H-DUR-04: after a full disk SQLite has taken everything back, so that what follows would stand alone."""
    levels.rows("PRAGMA max_page_count = 5", ())
    levels.begin()
    levels.run(PUT, ("1",))
    with pytest.raises(StorageError, match="full"):
        levels.run(PUT, ("x" * 100_000,))
    with pytest.raises(StorageError, match="full"):
        levels.run(PUT, ("2",))
    with pytest.raises(StorageError, match="full"):
        levels.commit()
    levels.roll_back()
    assert names(levels) == []
    assert levels.begin() == 7


def refuse(levels: Levels, act: int, verb: str) -> None:
    """SQLite refuses this from now on, as it would for want of memory or of a page."""

    def answer(seen: int, word: str | None, *_: object) -> int:
        return sqlite3.SQLITE_DENY if (seen, word) == (act, verb) else sqlite3.SQLITE_OK

    levels._connection.set_authorizer(answer if verb else None)


@pytest.mark.parametrize("verb", ["ROLLBACK", "RELEASE"])
def test_where_a_level_cannot_be_ended_nothing_of_the_transaction_stands(levels: Levels, verb: str) -> None:
    """H-DUR-04: its writer was told that it failed, so that it must not be committed with what comes next."""
    levels.begin()
    levels.run(PUT, ("1",))
    levels.enter()
    levels.run(PUT, ("2",))
    refuse(levels, sqlite3.SQLITE_SAVEPOINT, verb)
    levels.leave(is_good=verb == "RELEASE")
    refuse(levels, sqlite3.SQLITE_SAVEPOINT, "")
    with pytest.raises(StorageError):
        levels.run(PUT, ("3",))
    with pytest.raises(StorageError):
        levels.commit()
    levels.roll_back()
    assert names(levels) == []


def test_a_transaction_that_cannot_be_taken_back_is_never_gone_on_with(levels: Levels) -> None:
    """H-DUR-04"""
    levels.begin()
    levels.run(PUT, ("1",))
    refuse(levels, sqlite3.SQLITE_TRANSACTION, "ROLLBACK")
    levels.roll_back()
    with pytest.raises(StorageError):
        levels.begin()
    refuse(levels, sqlite3.SQLITE_TRANSACTION, "")
    levels.roll_back()
    assert levels.begin() == 7
    levels.commit()
    assert names(levels) == []
