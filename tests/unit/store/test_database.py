import asyncio
import errno
import gc
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.errors import ConflictError, InputError, StorageError
from aaos.store.checkpoint import HARD_BYTES
from aaos.store.database import Database

INSERT = "INSERT INTO programs VALUES (?, x'00')"


def _put(database: Database, key: str) -> None:
    database.insert(INSERT, (key,))


def _put_and_fail(database: Database, *keys: str) -> None:
    with database.transaction():
        for key in keys:
            with database.transaction():
                _put(database, key)
        raise RuntimeError


def _promise_and_fail(database: Database, told: list[str]) -> None:
    with database.transaction():
        database.after_commit(lambda: told.append("never"))
        raise RuntimeError


def _put_all(database: Database, *keys: str) -> None:
    with database.transaction():
        for key in keys:
            _put(database, key)


def _put_and_swallow(database: Database, *keys: str) -> list[type[Exception]]:
    """The errors met, each of which somebody took for harmless."""
    errors: list[type[Exception]] = []
    with database.transaction():
        for key in keys:
            try:
                _put(database, key)
            except StorageError as error:
                errors.append(type(error))
        assert errors == [StorageError, StorageError]
    return errors


def _keys(database: Database) -> list[str]:
    return [key for (key,) in database.rows("SELECT run FROM programs ORDER BY run")]


class Disk:
    """Counts what is synced to it, and fails when told to."""

    def __init__(self) -> None:
        self.syncs: list[str] = []
        self.fails = False

    def sync(self, fd: int) -> None:
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")
        self.syncs.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    with database.transaction():
        _put(database, "1")
        _put(database, "2")
        assert database.is_in_transaction
    with pytest.raises(RuntimeError):
        _put_and_fail(database, "3")
    assert _keys(database) == ["1", "2"]
    assert not database.is_in_transaction


def test_an_inner_transaction_can_fail_alone(database: Database) -> None:
    with database.transaction():
        _put(database, "1")
        with pytest.raises(RuntimeError):
            _put_and_fail(database, "2", "3")
        with database.transaction():
            _put(database, "4")
    assert _keys(database) == ["1", "4"]


def test_an_inner_transaction_is_not_committed_without_the_outer(database: Database, state_dir: Path) -> None:
    with closing(sqlite3.connect(state_dir / "aaos.db")) as other:
        with database.transaction():
            with database.transaction():
                _put(database, "1")
            assert other.execute("SELECT count(*) FROM programs").fetchone() == (0,)
        assert other.execute("SELECT count(*) FROM programs").fetchone() == (1,)


def test_an_inner_transaction_that_ended_leaves_nothing_behind(database: Database) -> None:
    """Thousands of them in one outer transaction cost what one costs."""
    with database.transaction():
        with database.transaction():
            _put(database, "1")
        with pytest.raises(StorageError, match="no such savepoint"):
            database.rows("RELEASE level1")


def test_what_follows_a_commit_follows_only_a_commit(database: Database) -> None:
    told: list[str] = []
    with database.transaction():
        database.after_commit(lambda: told.append("outer"))
        with pytest.raises(RuntimeError):
            _promise_and_fail(database, told)
        with database.transaction():
            database.after_commit(lambda: told.append("inner"))
        assert told == []
    assert told == ["outer", "inner"]
    with pytest.raises(RuntimeError):
        _promise_and_fail(database, told)
    with database.transaction():
        _put(database, "1")
    assert told == ["outer", "inner"]


def test_a_key_that_exists_is_a_conflict_and_the_rest_of_the_transaction_stands(database: Database) -> None:
    _put(database, "1")
    with database.transaction():
        _put(database, "2")
        with pytest.raises(ConflictError):
            _put(database, "1")
    assert _keys(database) == ["1", "2"]


@pytest.mark.parametrize("value", ["\ud800", 2**63, -(2**63) - 1])
def test_a_value_that_cannot_be_stored_is_refused(database: Database, value: str | int) -> None:
    """H-FUZZ-02, H-FUZZ-03"""
    with pytest.raises(InputError, match="cannot be stored"):
        database.insert(INSERT, (value,))
    assert _keys(database) == []


@pytest.fixture
def full(database: Database) -> Iterator[Database]:
    """A database that may not grow by another page."""
    (pages,) = database.rows("PRAGMA page_count")[0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    yield database
    database.rows("PRAGMA max_page_count = 1000000")


def test_a_full_disk_is_told_and_nothing_of_the_transaction_stays(full: Database) -> None:
    """H-DUR-04"""
    _put(full, "before")
    with pytest.raises(StorageError, match="the disk is full") as caught:
        _put_all(full, "small", "x" * 100_000)
    assert "df -h" in caught.value.remedy
    assert _keys(full) == ["before"]


def test_a_swallowed_error_of_the_disk_does_not_let_half_a_transaction_through(full: Database) -> None:
    """H-DUR-04: SQLite has rolled back by itself; what follows would be a transaction of its own."""
    with pytest.raises(StorageError, match="the disk is full"):
        _put_and_swallow(full, "1", "x" * 100_000, "2")
    assert _keys(full) == []


def test_it_recovers_when_space_returns(full: Database) -> None:
    """H-DUR-04"""
    with pytest.raises(StorageError):
        _put(full, "x" * 100_000)
    full.rows("PRAGMA max_page_count = 1000000")
    _put(full, "x" * 100_000)
    assert len(_keys(full)) == 1


def test_durable_syncs_the_log_once_for_all_who_wait(state_dir: Path) -> None:
    """RUN-8"""
    disk = Disk()
    database = Database.open(state_dir, sync=disk.sync)
    assert disk.syncs == ["aaos.db-wal"]  # the new epoch is on the disk before anything is done in it

    async def main() -> None:
        await database.durable()
        assert len(disk.syncs) == 1
        _put(database, "1")
        await asyncio.gather(*(database.durable() for _ in range(20)))
        assert len(disk.syncs) == 2

    asyncio.run(main())
    database.close()
    assert disk.syncs == ["aaos.db-wal"] * 2


def test_a_commit_alone_syncs_nothing(state_dir: Path) -> None:
    """RUN-8: reads cost microseconds."""
    disk = Disk()
    database = Database.open(state_dir, sync=disk.sync)
    for number in range(100):
        _put(database, str(number))
    assert len(disk.syncs) == 1
    database.close()


def test_a_failed_sync_ends_all_promises_and_the_state_is_not_called_clean(state_dir: Path) -> None:
    """H-DUR-04"""
    disk = Disk()
    database = Database.open(state_dir, sync=disk.sync)
    disk.fails = True
    _put(database, "1")
    with pytest.raises(StorageError, match="the disk gave an error"):
        asyncio.run(database.durable())
    assert isinstance(database.failure, StorageError)
    with pytest.raises(StorageError, match="the disk gave an error"):
        _put(database, "2")
    with pytest.raises(StorageError):
        database.close()
    again = Database.open(state_dir)
    assert _keys(again) == ["1"]
    again.close()


def test_a_failed_sync_at_the_start_is_an_error_and_frees_the_place(state_dir: Path) -> None:
    disk = Disk()
    disk.fails = True
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StorageError, match="the disk gave an error"):
        Database.open(state_dir, sync=disk.sync)
    assert len(os.listdir("/proc/self/fd")) == before
    Database.open(state_dir).close()


def test_the_old_daemon_can_write_nothing_after_a_new_one_took_over(database: Database, state_dir: Path) -> None:
    """H-DUR-12, H-BRK-07: the epoch fences an old session."""
    _put(database, "1")
    with closing(sqlite3.connect(state_dir / "aaos.db", isolation_level=None)) as newer:
        newer.execute("UPDATE daemon SET epoch = epoch + 1")
        for _ in range(2):
            with pytest.raises(ConflictError, match=r"another agentd took over \(start 2; this one is start 1\)"):
                _put(database, "2")
        assert newer.execute("SELECT count(*) FROM programs").fetchone() == (1,)
    assert isinstance(database.failure, ConflictError)


def test_a_second_daemon_is_refused(database: Database, state_dir: Path) -> None:
    """H-DUR-12"""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConflictError, match="another agentd"):
        Database.open(state_dir)
    assert len(os.listdir("/proc/self/fd")) == before
    _put(database, "1")


def test_each_start_has_its_own_epoch(state_dir: Path) -> None:
    epochs = []
    for _ in range(3):
        database = Database.open(state_dir)
        epochs.append(database.epoch)
        database.close()
        database.close()
    assert epochs == [1, 2, 3]


def test_all_files_are_private_whatever_the_umask(state_dir: Path) -> None:
    """H-SEC-10"""
    before = os.umask(0)
    try:
        database = Database.open(state_dir)
        _put(database, "1")
        modes = {path.name: path.stat().st_mode & 0o777 for path in state_dir.iterdir()}
        database.close()
    finally:
        os.umask(before)
    names = ["aaos.db", "aaos.db-shm", "aaos.db-wal", "database.json", "lock", "redo"]
    assert modes == dict.fromkeys(names, 0o600)
    assert state_dir.stat().st_mode & 0o777 == 0o700


def test_opening_and_closing_leaves_no_descriptor(state_dir: Path) -> None:
    gc.collect()  # what other tests have left
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        database = Database.open(state_dir)
        _put(database, str(database.epoch))
        database.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_log_stays_bounded_under_a_writer_that_does_not_pause(database: Database, state_dir: Path) -> None:
    """H-DUR-14, H-RES-11"""
    log = state_dir / "aaos.db-wal"
    largest = 0
    for _ in range(1500):
        database.change("DELETE FROM programs", ())
        _put(database, "x" * 60_000)
        largest = max(largest, log.stat().st_size)
    database.close()
    assert database.failure is None
    assert largest < 2 * HARD_BYTES  # of 210 MB in all


def test_a_log_that_is_too_long_is_copied_by_its_writer_when_the_thread_has_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-DUR-14"""
    acts: list[str] = []
    answers = iter((False, True))

    def copied(connection: sqlite3.Connection) -> bool:
        acts.append("copy")
        return next(answers)

    monkeypatch.setattr("aaos.store.database.checkpoint", copied)
    monkeypatch.setattr(database._checkpointer, "wait", lambda: acts.append("wait"))
    monkeypatch.setattr(database._barrier, "size_bytes", lambda: HARD_BYTES + 1)
    database._bound_log()
    monkeypatch.undo()
    assert acts == ["copy", "wait", "copy"]
