import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aaos.core.errors import StorageError
from aaos.core.events import Event, EventKind
from aaos.store.audit import Audit
from aaos.store.checkpoint import checkpoint
from aaos.store.database import Database
from aaos.store.schema import MIGRATIONS
from aaos.store.statedir import DATABASE, MARKER
from aaos.store.wal import HEADER_BYTES, scan

Killed = Callable[[Path], Path]
FRAME_BYTES = 24 + 4096


def _record(database: Database, count: int) -> None:
    audit = Audit(database)
    for number in range(count):
        audit.record(Event(EventKind.DAEMON_STARTED, fields={"n": number}))


def _events(database: Database) -> int:
    return len(Audit(database).query())


def _after_clean_end(state_dir: Path, count: int = 50) -> Path:
    database = Database.open(state_dir)
    _record(database, count)
    database.close()
    return state_dir


def _after_kill(database: Database, killed: Killed, count: int = 50) -> Path:
    _record(database, count)
    return killed(database.directory)


def _refusal(state_dir: Path) -> StorageError:
    """The refusal, given twice: the first must not have changed what the second sees."""
    with pytest.raises(StorageError) as first:
        Database.open(state_dir)
    with pytest.raises(StorageError) as second:
        Database.open(state_dir)
    assert str(first.value) == str(second.value)
    return first.value


def test_a_clean_end_leaves_one_file_and_the_next_start_has_all(state_dir: Path) -> None:
    _after_clean_end(state_dir)
    assert sorted(path.name for path in state_dir.iterdir()) == [DATABASE, MARKER, "lock"]
    database = Database.open(state_dir)
    assert (_events(database), database.epoch, database.findings) == (50, 2, ())
    database.close()


def test_all_that_was_committed_is_there_after_a_kill(database: Database, killed: Killed) -> None:
    """H-DUR-01, RUN-8"""
    again = Database.open(_after_kill(database, killed))
    assert (_events(again), again.epoch, again.findings) == (50, 2, ())
    again.close()


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_database_that_is_gone_is_not_begun_anew(
    database: Database, killed: Killed, tmp_path: Path, is_clean: bool
) -> None:
    """H-DUR-06"""
    directory = _after_clean_end(tmp_path / "clean") if is_clean else _after_kill(database, killed)
    (directory / DATABASE).unlink()
    error = _refusal(directory)
    assert "it is gone or empty" in error.message
    assert f"mv {directory}/{DATABASE}*" in error.remedy
    assert not (directory / DATABASE).exists()


@pytest.mark.parametrize("is_clean", [True, False])
def test_an_emptied_database_is_not_begun_anew(
    database: Database, killed: Killed, tmp_path: Path, is_clean: bool
) -> None:
    """H-DUR-06: SQLite takes a file of no bytes for a new database."""
    directory = _after_clean_end(tmp_path / "clean") if is_clean else _after_kill(database, killed)
    (directory / DATABASE).write_bytes(b"")
    assert "it is gone or empty" in _refusal(directory).message


def test_a_database_that_was_dropped_table_by_table_is_refused(state_dir: Path) -> None:
    """H-DUR-06"""
    _after_clean_end(state_dir)
    fresh = state_dir.with_name("fresh.db")
    shutil.copy(state_dir / DATABASE, fresh)
    data = bytearray(4096)
    data[:100] = fresh.read_bytes()[:100]
    data[28:32] = (1).to_bytes(4, "big")
    data[60:64] = bytes(4)
    data[100:108] = bytes([13, 0, 0, 0, 0, 16, 0, 0])
    data[68:72] = bytes(4)
    (state_dir / DATABASE).write_bytes(data)
    assert "it has no tables" in _refusal(state_dir).message


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: bytes(len(data)),
        lambda data: data[: len(data) // 2],
        lambda data: data[:100],
        lambda data: b"\xff" + data[1:],
        lambda data: data[:4096] + bytes(len(data) - 4096),
        lambda data: data[:100] + bytes([data[100] ^ 2]) + data[101:],
        lambda data: data[:-4096] + bytes(4096),
        lambda data: data[: 17 * 4096 + 4] + b"\xff" + data[17 * 4096 + 5 :],  # how many cells it has
        lambda data: b"not a database\n" * 1000,
    ],
    ids=[
        "zeroed",
        "halved",
        "cut in the header",
        "first bit",
        "zeroed but for page 1",
        "bit of page 1",
        "last page",
        "count of page 18",
        "text",
    ],
)
def test_a_damaged_database_is_told(state_dir: Path, damage: Callable[[bytes], bytes]) -> None:
    """H-DUR-06"""
    _after_clean_end(state_dir, 500)
    path = state_dir / DATABASE
    path.write_bytes(damage(path.read_bytes()))
    error = _refusal(state_dir)
    assert "it is damaged" in error.message
    assert f"sqlite3 {path} .recover" in error.remedy


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["deleted", "emptied"])
def test_a_log_that_is_gone_after_a_kill_is_told(
    database: Database, killed: Killed, damage: Callable[[Path], object]
) -> None:
    """H-DUR-06: SQLite would start with what was in the database before."""
    directory = _after_kill(database, killed)
    damage(directory / f"{DATABASE}-wal")
    error = _refusal(directory)
    assert "the commits in it" in error.message
    accept = f"rm -f {directory / MARKER} {directory / DATABASE}-wal"
    assert error.remedy.endswith(accept)


def test_the_loss_of_the_log_can_be_accepted_and_is_told_then(tmp_path: Path, killed: Killed) -> None:
    """H-DUR-06: the remedy works."""
    database = Database.open(_after_clean_end(tmp_path / "first"))
    directory = _after_kill(database, killed)
    database.close()
    (directory / MARKER).unlink()
    (directory / f"{DATABASE}-wal").unlink()
    again = Database.open(directory)
    assert _events(again) == 50
    assert "whether commits were lost is not known" in again.findings[0]
    again.close()


def test_a_log_with_a_damaged_header_is_told(database: Database, killed: Killed) -> None:
    """H-DUR-06"""
    directory = _after_kill(database, killed)
    log = directory / f"{DATABASE}-wal"
    log.write_bytes(bytes(HEADER_BYTES) + log.read_bytes()[HEADER_BYTES:])
    assert "its header is damaged" in _refusal(directory).message


def test_a_zeroed_log_is_told(database: Database, killed: Killed) -> None:
    """H-DUR-06"""
    directory = _after_kill(database, killed)
    log = directory / f"{DATABASE}-wal"
    log.write_bytes(bytes(log.stat().st_size))
    assert "its header is damaged" in _refusal(directory).message


def test_a_bit_in_the_middle_of_the_log_is_told_and_the_log_is_kept(database: Database, killed: Killed) -> None:
    """H-DUR-06: SQLite stops at it without a word, and overwrites what stands behind."""
    directory = _after_kill(database, killed)
    log = directory / f"{DATABASE}-wal"
    data = bytearray(log.read_bytes())
    data[HEADER_BYTES + FRAME_BYTES * (len(data) // FRAME_BYTES // 2) + 2000] ^= 16
    log.write_bytes(data)
    again = Database.open(directory)
    kept = directory / f"{DATABASE}-wal.damaged-1"
    assert 0 < _events(again) < 50
    assert "commits are lost" in again.findings[0]
    assert str(kept) in again.findings[0]
    assert kept.read_bytes() == bytes(data)
    assert kept.stat().st_mode & 0o777 == 0o600
    again.close()


def _after_kill_in_commit(database: Database, killed: Killed) -> tuple[Path, int]:
    """A directory as a kill leaves it that came when the mark of a commit's end was written and its page was not, in a
    log that is used again; and the number of events that anybody was told of."""
    _record(database, 50)
    checkpoint(database._connection)
    _record(database, 3)
    before, after = database.directory.parent / "before", database.directory.parent / "after"
    shutil.copytree(database.directory, before)
    _record(database, 1)
    shutil.copytree(database.directory, after)
    old, new = ((at / f"{DATABASE}-wal").read_bytes() for at in (before, after))
    assert len(old) == len(new)
    changed = [n for n in range(HEADER_BYTES, len(new), FRAME_BYTES) if old[n : n + 24] != new[n : n + 24]]
    assert changed
    at = changed[-1] + 24
    directory = killed(before)
    (directory / f"{DATABASE}-wal").write_bytes(new[:at] + old[at : at + 4096] + new[at + 4096 :])
    return directory, 53


def test_a_commit_in_the_middle_of_which_the_daemon_was_killed_is_no_loss(database: Database, killed: Killed) -> None:
    """H-DUR-01, H-DUR-06: nobody was told of it."""
    directory, acknowledged = _after_kill_in_commit(database, killed)
    again = Database.open(directory)
    assert (_events(again), again.findings) == (acknowledged, ())
    assert not list(directory.glob("*.damaged-*"))
    again.close()


@pytest.mark.parametrize(
    "damage",
    [Path.unlink, lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"\0" + p.read_bytes()[1:])],
    ids=["deleted", "emptied", "damaged"],
)
def test_without_the_index_such_a_commit_is_told(
    database: Database, killed: Killed, damage: Callable[[Path], object]
) -> None:
    """H-DUR-06: nothing says then that it was not acknowledged."""
    directory, _ = _after_kill_in_commit(database, killed)
    damage(directory / f"{DATABASE}-shm")
    again = Database.open(directory)
    assert "commits are lost" in again.findings[0]
    again.close()


@pytest.mark.parametrize("is_used_again", [True, False])
def test_a_bit_in_the_last_commit_is_told(database: Database, killed: Killed, is_used_again: bool) -> None:
    """H-DUR-06: it was acknowledged."""
    _record(database, 50)
    if is_used_again:
        checkpoint(database._connection)
        _record(database, 3)
    directory = killed(database.directory)
    log, found = directory / f"{DATABASE}-wal", scan(directory / f"{DATABASE}-wal")
    assert found is not None
    data = bytearray(log.read_bytes())
    data[HEADER_BYTES + FRAME_BYTES * (found.commits_end - 1) + 2000] ^= 16
    log.write_bytes(data)
    again = Database.open(directory)
    assert _events(again) == (52 if is_used_again else 49)
    assert "commits are lost" in again.findings[0]
    again.close()


def test_a_log_cut_before_this_start_of_the_daemon_is_told(tmp_path: Path, killed: Killed) -> None:
    """H-DUR-06: the marker knows how often the database was opened."""
    database = Database.open(_after_clean_end(tmp_path / "first"))
    directory = _after_kill(database, killed)
    database.close()
    log = directory / f"{DATABASE}-wal"
    log.write_bytes(log.read_bytes()[:HEADER_BYTES])
    error = _refusal(directory)
    assert "is older than agentd left it (start 1 of 2)" in error.message


def test_an_older_database_put_in_its_place_is_told(state_dir: Path, tmp_path: Path) -> None:
    """H-DUR-06"""
    _after_clean_end(state_dir)
    shutil.copy(state_dir / DATABASE, tmp_path / "old")
    _after_clean_end(state_dir)
    shutil.copy(tmp_path / "old", state_dir / DATABASE)
    error = _refusal(state_dir)
    assert "commits are lost" in error.message
    assert error.remedy.endswith(f"rm {state_dir / MARKER}")


def test_another_database_put_in_its_place_is_told(state_dir: Path, tmp_path: Path) -> None:
    """H-DUR-06"""
    other = _after_clean_end(tmp_path / "other")
    _after_clean_end(state_dir)
    shutil.copy(other / DATABASE, state_dir / DATABASE)
    assert "is not the database that agentd used last" in _refusal(state_dir).message


@pytest.mark.parametrize("name", [f"{DATABASE}-shm", "lock"])
@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda p: p.write_bytes(b"\xff" * 40_000), lambda p: p.write_bytes(b"")]
)
def test_the_index_and_the_lock_hold_nothing_that_could_be_lost(
    database: Database, killed: Killed, name: str, damage: Callable[[Path], object]
) -> None:
    """H-DUR-06"""
    directory = _after_kill(database, killed)
    damage(directory / name)
    again = Database.open(directory)
    assert (_events(again), again.findings) == (50, ())
    again.close()


def test_a_start_that_fails_after_a_kill_loses_nothing(database: Database, killed: Killed) -> None:
    """H-DUR-13: closing the last connection deletes SQLite's log; the next start must not take that for a loss."""
    directory = _after_kill(database, killed)
    broken = (*MIGRATIONS, ("INSERT INTO nowhere VALUES (1)",))
    for _ in range(2):
        with pytest.raises(StorageError, match="nowhere"):
            Database.open(directory, steps=broken)
    again = Database.open(directory)
    assert _events(again) == 50
    again.close()


def test_a_migration_is_told_with_its_backup(state_dir: Path) -> None:
    """H-DUR-13"""
    _after_clean_end(state_dir)
    newer = (*MIGRATIONS, ("CREATE TABLE extra (x INTEGER) STRICT",))
    database = Database.open(state_dir, steps=newer)
    assert str(state_dir / f"aaos.db.v{len(MIGRATIONS)}.backup") in database.findings[0]
    database.close()
    assert f"aaos.db.v{len(MIGRATIONS)}.backup" in _refusal(state_dir).remedy


def test_the_marker_says_that_the_daemon_lives(state_dir: Path) -> None:
    database = Database.open(state_dir)
    assert json.loads((state_dir / MARKER).read_text())["is_clean"] is False
    database.close()
    assert json.loads((state_dir / MARKER).read_text())["is_clean"] is True
