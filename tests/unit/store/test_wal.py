import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aaos.store.wal import HEADER_BYTES, close_keeping_log, drop_kept_log, scan


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of three commits of one frame each, its database gone."""
    with closing(_connect(tmp_path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
        for number in range(3):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        copy = tmp_path / "copy-wal"
        copy.write_bytes((tmp_path / "x.db-wal").read_bytes())
    return copy


def _connect(directory: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(directory / "x.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def test_commits_are_counted_and_frames_of_an_older_log_are_not(log: Path) -> None:
    found = scan(log)
    assert found is not None
    assert (found.is_header_valid, found.commits_end) == (True, 3)


def test_no_file_is_none(tmp_path: Path) -> None:
    assert scan(tmp_path / "none") is None


@pytest.mark.parametrize("offset", range(HEADER_BYTES))
def test_any_changed_byte_of_the_header_is_seen(log: Path, offset: int) -> None:
    """H-DUR-06"""
    data = bytearray(log.read_bytes())
    data[offset] ^= 1
    log.write_bytes(data)
    found = scan(log)
    assert found is not None
    assert not found.is_header_valid


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES - 1])
def test_a_header_that_is_cut_is_not_valid(log: Path, size: int) -> None:
    """H-DUR-06"""
    log.write_bytes(log.read_bytes()[:size])
    found = scan(log)
    assert found is not None
    assert (found.size_bytes, found.is_header_valid, found.commits_end) == (size, False, 0)


def test_a_torn_last_frame_is_not_a_commit(log: Path) -> None:
    end = HEADER_BYTES + 3 * (24 + 4096)
    log.write_bytes(log.read_bytes()[: end - 1])
    found = scan(log)
    assert found is not None
    assert found.commits_end == 2


def test_the_log_outlives_the_last_connection_and_still_fits(tmp_path: Path) -> None:
    connection = _connect(tmp_path)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (7)")
    close_keeping_log(connection, tmp_path / "x.db-wal")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.db", "x.db-wal"]
    with closing(_connect(tmp_path)) as again:
        assert again.execute("SELECT x FROM t").fetchall() == [(7,)]
        assert again.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_second_name_left_by_a_crash_is_dropped_only_beside_the_log(tmp_path: Path) -> None:
    log, kept = tmp_path / "x.db-wal", tmp_path / "x.db-wal.kept"
    kept.write_text("evidence")
    drop_kept_log(log)
    assert kept.exists()
    log.write_text("evidence")
    drop_kept_log(log)
    assert not kept.exists()
