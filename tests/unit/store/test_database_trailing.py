"""Writes whose commit may wait for the next one: never lost alone, never seen early, never taken along by a failure."""

import asyncio
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.errors import StorageError
from aaos.store.database import TRAIL_S, Database

INSERT = "INSERT INTO programs VALUES (?, x'00')"


def put(database: Database, key: str) -> None:
    database.insert(INSERT, (key,))


def trail(database: Database, *keys: str) -> None:
    with database.trailing():
        for key in keys:
            put(database, key)


def fail(database: Database, key: str, *, trails: bool = False) -> None:
    with database.trailing() if trails else database.transaction():
        put(database, key)
        raise RuntimeError


@pytest.fixture
def other(database: Database, state_dir: Path) -> Iterator[sqlite3.Connection]:
    """Sees what a daemon would find after a kill: what is committed."""
    del database
    with closing(sqlite3.connect(state_dir / "aaos.db")) as connection:
        yield connection


def committed(other: sqlite3.Connection) -> list[str]:
    return [key for (key,) in other.execute("SELECT run FROM programs ORDER BY run")]


def test_what_trails_is_committed_with_what_comes_next(database: Database, other: sqlite3.Connection) -> None:
    """RUN-8: nothing that follows from it can stand without it."""

    async def main() -> None:
        trail(database, "1")
        trail(database, "2")
        assert committed(other) == []
        with database.transaction():
            put(database, "3")
            assert committed(other) == []
        assert committed(other) == ["1", "2", "3"]

    asyncio.run(main())


def test_what_trails_is_committed_soon_when_nothing_comes(database: Database, other: sqlite3.Connection) -> None:
    async def main() -> None:
        told = asyncio.Event()
        with database.trailing():
            put(database, "1")
            database.after_commit(told.set)
        assert committed(other) == []
        await asyncio.wait_for(told.wait(), 10)
        assert committed(other) == ["1"]

    asyncio.run(main())


def test_where_no_loop_runs_nothing_trails(database: Database, other: sqlite3.Connection) -> None:
    trail(database, "1")
    assert committed(other) == ["1"]


def test_a_failure_takes_nothing_along_that_trails(database: Database, other: sqlite3.Connection) -> None:
    async def main() -> None:
        trail(database, "1")
        for trails in (False, True):
            with pytest.raises(RuntimeError):
                fail(database, "2", trails=trails)
        assert committed(other) == []
        trail(database, "3")
        put(database, "4")
        assert committed(other) == ["1", "3", "4"]

    asyncio.run(main())


def test_what_fails_while_it_trails_leaves_nothing(database: Database, other: sqlite3.Connection) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError):
            fail(database, "1", trails=True)
        put(database, "2")
        assert committed(other) == ["2"]

    asyncio.run(main())


def test_a_reader_sees_only_what_is_committed(database: Database, other: sqlite3.Connection) -> None:
    """AUD-1: an event is never shown that a kill could still take back."""

    async def main() -> None:
        trail(database, "1")
        assert database.rows("SELECT run FROM programs") == [("1",)]
        assert committed(other) == ["1"]

    asyncio.run(main())


def test_what_is_made_durable_includes_what_trails(database: Database, other: sqlite3.Connection) -> None:
    """RUN-8: an effect's intent is on the disk together with all before it."""

    async def main() -> None:
        trail(database, "1")
        await database.durable()
        assert committed(other) == ["1"]

    asyncio.run(main())


def test_the_end_commits_what_trails(state_dir: Path) -> None:
    database = Database.open(state_dir)

    async def main() -> None:
        trail(database, "1")
        database.close()

    asyncio.run(main())
    database = Database.open(state_dir)
    assert database.rows("SELECT run FROM programs") == [("1",)]
    database.close()


def test_what_follows_a_commit_waits_for_it_in_order(database: Database) -> None:
    """AUD-1: told to readers after the commit, each once."""
    told: list[str] = []

    async def main() -> None:
        with database.trailing():
            database.after_commit(lambda: told.append("first"))
        assert told == []
        with pytest.raises(RuntimeError):
            promise_and_fail(database, told)
        with database.transaction():
            database.after_commit(lambda: told.append("second"))
        assert told == ["first", "second"]

    asyncio.run(main())


def promise_and_fail(database: Database, told: list[str]) -> None:
    with database.transaction():
        database.after_commit(lambda: told.append("never"))
        raise RuntimeError


def test_a_full_disk_leaves_nothing_half_written(database: Database) -> None:
    """H-DUR-04: what is lost is not told, and the next write works when there is space again."""
    told: list[str] = []
    (pages,) = database.row("PRAGMA page_count") or (0,)
    database.rows(f"PRAGMA max_page_count = {pages}")

    async def main() -> None:
        with database.trailing():
            put(database, "1")
            database.after_commit(lambda: told.append("1"))
        with pytest.raises(StorageError):
            put(database, "x" * 100_000)
        database.rows("PRAGMA max_page_count = 1000000")
        put(database, "2")
        await asyncio.sleep(2 * TRAIL_S)

    asyncio.run(main())
    kept = [key for (key,) in database.rows("SELECT run FROM programs ORDER BY run")]
    assert kept in (["1", "2"], ["2"])
    assert told == [key for key in kept if key == "1"]


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_writes_and_failures_keeps_what_did_not_fail(
    database: Database, other: sqlite3.Connection, seed: int
) -> None:
    """RUN-8: what is committed is at any time a beginning of what was written."""
    choose = random.Random(seed)  # noqa: S311  # a test

    async def main() -> None:
        written: list[str] = []
        for number in range(100, 200):
            key = str(number)
            kind = choose.choice(("trail", "put", "fail", "fail trailing", "pause", "read"))
            if kind == "trail":
                trail(database, key)
                written.append(key)
            elif kind == "put":
                put(database, key)
                written.append(key)
            elif kind == "pause":
                await asyncio.sleep(0)
            elif kind == "read":
                assert [k for (k,) in database.rows("SELECT run FROM programs ORDER BY run")] == written
            else:
                with pytest.raises(RuntimeError):
                    fail(database, key, trails=kind == "fail trailing")
            seen = committed(other)
            assert seen == written[: len(seen)]
            assert kind != "put" or seen == written
        await database.durable()
        assert committed(other) == written

    asyncio.run(main())
