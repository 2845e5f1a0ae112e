"""Steps: acted on before their commit, and never lost by a kill; not doubled, not taken along by what fails."""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.errors import StorageError
from aaos.store.database import TRAIL_S, Database
from aaos.store.redo import Value
from aaos.store.schema import MIGRATIONS

INSERT = "INSERT INTO programs VALUES (?, x'00')"
KEYS = "SELECT run FROM programs ORDER BY run"
Killed = Callable[[Path], Path]


def put(database: Database, key: str) -> None:
    database.insert(INSERT, (key,))


def step(database: Database, *keys: str) -> None:
    with database.step():
        for key in keys:
            put(database, key)


def trail(database: Database, key: str) -> None:
    with database.trailing():
        put(database, key)


ACTS: Mapping[str, Callable[[Database, str], None]] = {"step": step, "trail": trail, "put": put}


def fail(database: Database, key: str) -> None:
    with database.step():
        put(database, key)
        raise RuntimeError


def overflow(database: Database) -> None:
    with database.transaction():
        put(database, "4")
        put(database, "x" * 100_000)


def committed(state_dir: Path) -> list[str]:
    with closing(sqlite3.connect(state_dir / "aaos.db")) as other:
        return [key for (key,) in other.execute(KEYS)]


def found(state_dir: Path) -> list[str]:
    """What the next daemon has, and the one after that."""
    for _ in range(2):
        database = Database.open(state_dir)
        keys = [key for (key,) in database.rows(KEYS)]
        assert database.findings == ()
        database.close()
    return keys


def test_a_step_survives_a_kill_before_its_commit(database: Database, state_dir: Path, killed: Killed) -> None:
    """RUN-8: with all that was written before it, and nothing that was written after it."""

    async def main() -> None:
        trail(database, "1")
        step(database, "2", "3")
        step(database, "4")
        trail(database, "5")
        assert committed(state_dir) == []
        assert found(killed(state_dir)) == ["1", "2", "3", "4"]

    asyncio.run(main())


def test_what_was_committed_is_not_carried_out_again(database: Database, state_dir: Path, killed: Killed) -> None:
    async def main() -> None:
        step(database, "1")
        assert [key for (key,) in database.rows(KEYS)] == ["1"]
        assert committed(state_dir) == ["1"]
        assert found(killed(state_dir)) == ["1"]

    asyncio.run(main())


def test_a_step_is_committed_soon_and_told_at_once(database: Database, state_dir: Path) -> None:
    told: list[str] = []

    async def main() -> None:
        with database.step():
            put(database, "1")
            database.after_commit(lambda: told.append("1"))
        assert told == ["1"]
        for _ in range(1_000):
            await asyncio.sleep(TRAIL_S)
            if committed(state_dir):
                break
        assert (told, committed(state_dir)) == (["1"], ["1"])

    asyncio.run(asyncio.wait_for(main(), 10))


def test_where_no_loop_runs_a_step_is_committed_at_once(database: Database, state_dir: Path) -> None:
    step(database, "1")
    assert committed(state_dir) == ["1"]


def test_a_step_that_fails_leaves_nothing(database: Database, state_dir: Path, killed: Killed) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError):
            fail(database, "1")
        step(database, "2")
        with pytest.raises(RuntimeError):
            fail(database, "3")
        step(database, "4")
        assert found(killed(state_dir)) == ["2", "4"]

    asyncio.run(main())


def test_what_is_begun_ahead_is_not_seen_and_costs_no_sync(database: Database, state_dir: Path) -> None:
    syncs = 0

    async def main() -> None:
        nonlocal syncs
        put(database, "1")
        await database.durable()
        before = database._commits
        with database.trailing():
            pass
        with pytest.raises(RuntimeError):
            fail(database, "2")
        with database.trailing():
            pass
        await database.durable()
        syncs = database._commits - before

    asyncio.run(main())
    assert (syncs, committed(state_dir)) == (0, ["1"])


def test_a_step_whose_commit_fails_comes_before_what_is_written_next(
    database: Database, state_dir: Path, killed: Killed
) -> None:
    """H-DUR-04: a disk that is full when the commit comes; it was acted on, so it is not given up."""

    async def main() -> None:
        step(database, "1")
        (pages,) = database.row("PRAGMA page_count") or (0,)
        step(database, "2")
        database.rows(f"PRAGMA max_page_count = {pages}")
        step(database, "3")
        with pytest.raises(StorageError):
            put(database, "x" * 100_000)
        with pytest.raises(StorageError):
            overflow(database)
        database.rows("PRAGMA max_page_count = 1000000")
        assert found(killed(state_dir)) == ["1", "2", "3"]
        put(database, "5")
        assert committed(state_dir) == ["1", "2", "3", "5"]

    asyncio.run(main())


def refuse_commits(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = database._levels._execute

    def refuse(cursor: sqlite3.Cursor, sql: str, values: tuple[Value, ...] = ()) -> None:
        if sql == "COMMIT":
            raise StorageError("the disk is full", "make room")
        execute(cursor, sql, values)

    monkeypatch.setattr(database._levels, "_execute", refuse)


def test_nothing_is_durable_before_a_step_whose_commit_failed(
    database: Database, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RUN-8: what waits for the disk must not overtake what was acted on before it."""

    async def main() -> None:
        step(database, "1")
        with monkeypatch.context() as patch:
            refuse_commits(database, patch)
            with pytest.raises(StorageError):
                await database.durable()
            assert database.rows(KEYS) == []
            with pytest.raises(StorageError):
                await database.durable()
        assert committed(state_dir) == []
        await database.durable()
        assert committed(state_dir) == ["1"]

    asyncio.run(main())


def test_the_log_of_steps_outlives_a_close_that_could_not_commit_them(
    database: Database, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        step(database, "1")
        refuse_commits(database, monkeypatch)
        for _ in range(2):
            with pytest.raises(StorageError):
                await database.durable()
        with pytest.raises(StorageError):
            database.close()

    asyncio.run(main())
    assert found(state_dir) == ["1"]


def test_a_step_too_large_for_the_log_is_committed_at_once(database: Database, state_dir: Path) -> None:
    async def main() -> None:
        step(database, "1")
        step(database, "x" * 2_000_000)
        assert len(committed(state_dir)) == 2
        step(database, "2")
        assert len(committed(state_dir)) == 2
        await database.durable()
        assert len(committed(state_dir)) == 3

    asyncio.run(main())


def test_steps_are_carried_out_in_the_layout_that_they_were_made_for(
    database: Database, state_dir: Path, killed: Killed
) -> None:
    newer = (*MIGRATIONS, ("ALTER TABLE programs RENAME COLUMN run TO of",))

    async def main() -> None:
        step(database, "1")
        later = Database.open(killed(state_dir), steps=newer)
        assert later.rows("SELECT of FROM programs") == [("1",)]
        later.close()

    asyncio.run(main())


def test_steps_that_do_not_fit_are_kept_aside_and_told(database: Database, state_dir: Path, killed: Killed) -> None:
    async def main() -> None:
        step(database, "1")
        copy = killed(state_dir)
        with closing(sqlite3.connect(copy / "aaos.db", isolation_level=None)) as other:
            other.execute(INSERT, ("1",))
            again = Database.open(copy)
        assert "do not fit" in again.findings[0]
        assert list(copy.glob("redo.damaged-*"))
        step(again, "2")
        again.close()
        assert found(copy) == ["1", "2"]

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(12))
def test_killed_anywhere_every_step_is_there_and_nothing_stands_without_what_came_before(
    database: Database, state_dir: Path, tmp_path: Path, seed: int
) -> None:
    """RUN-8"""
    choose = random.Random(seed)  # noqa: S311  # a test

    async def main() -> None:
        written: list[str] = []
        promised = 0
        for number in range(100, 150):
            kind = choose.choice(("step", "step", "trail", "put", "fail", "pause", "read", "kill"))
            if kind in ("step", "trail", "put"):
                ACTS[kind](database, str(number))
                written.append(str(number))
                promised = promised if kind == "trail" else len(written)
            elif kind == "fail":
                with pytest.raises(RuntimeError):
                    fail(database, str(number))
            elif kind == "pause":
                await asyncio.sleep(choose.choice((0, TRAIL_S)))
            elif kind == "read":
                assert [key for (key,) in database.rows(KEYS)] == written
            else:
                shutil.copytree(state_dir, tmp_path / str(number))
                seen = found(tmp_path / str(number))
                assert seen == written[: len(seen)]
                assert len(seen) >= promised
        await database.durable()
        assert committed(state_dir) == written

    asyncio.run(main())
