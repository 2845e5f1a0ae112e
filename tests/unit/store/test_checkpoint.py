import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aaos.store.checkpoint import Checkpointer, checkpoint


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE t (x)")
        yield connection


def _until(is_true: Callable[[], bool], checkpointer: Checkpointer) -> bool:
    """Waits on the thread's own pauses: a request is taken within one of them."""
    for _ in range(200):
        if is_true():
            return True
        checkpointer.request()
        checkpointer._stopping.wait(0.02)
    return False


def _log_is_copied(path: Path) -> bool:
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as only_the_file:
        try:
            return bool(only_the_file.execute("SELECT count(*) FROM t").fetchone()[0] >= 1)
        except sqlite3.Error:
            return False


def test_the_log_is_copied_beside_the_writer(tmp_path: Path, writer: sqlite3.Connection) -> None:
    """H-DUR-14"""
    writer.execute("INSERT INTO t VALUES (1)")
    checkpointer = Checkpointer(tmp_path / "x.db")
    checkpointer.start()
    assert _until(lambda: _log_is_copied(tmp_path / "x.db"), checkpointer)
    checkpointer.close()
    checkpointer.close()
    assert checkpointer.failure is None


def test_after_a_whole_copy_the_writer_begins_at_the_front_again(tmp_path: Path, writer: sqlite3.Connection) -> None:
    """H-DUR-14"""
    wal = tmp_path / "x.db-wal"
    for _ in range(50):
        writer.execute("INSERT INTO t VALUES (1)")
    size, salts = wal.stat().st_size, wal.read_bytes()[16:24]
    assert checkpoint(writer)
    for _ in range(40):
        writer.execute("INSERT INTO t VALUES (2)")
    assert wal.stat().st_size == size
    assert wal.read_bytes()[16:24] != salts


def test_a_reader_with_an_old_snapshot_is_told_not_waited_for(tmp_path: Path, writer: sqlite3.Connection) -> None:
    """H-DUR-14"""
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t").fetchall()
        writer.execute("INSERT INTO t VALUES (1)")
        assert not checkpoint(writer)
        reader.execute("COMMIT")
    assert checkpoint(writer)


def test_a_failure_is_kept_and_told(tmp_path: Path) -> None:
    """H-DUR-14"""
    (tmp_path / "y.db").write_bytes(b"not a database" * 100)
    checkpointer = Checkpointer(tmp_path / "y.db")
    checkpointer.start()
    assert _until(lambda: checkpointer.failure is not None, checkpointer)
    checkpointer.close()
    assert "it is damaged" in str(checkpointer.failure)


def test_a_writer_can_wait_for_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-DUR-14: while it copies the writer cannot, and the log would grow."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> bool:
        begun.set()
        return go_on.wait(10)

    monkeypatch.setattr("aaos.store.checkpoint.checkpoint", slow)
    checkpointer = Checkpointer(tmp_path / "x.db")
    checkpointer.wait()
    checkpointer.start()
    checkpointer.request()
    assert begun.wait(10)
    waiting = threading.Thread(target=checkpointer.wait)
    waiting.start()
    assert waiting.is_alive()
    go_on.set()
    waiting.join(10)
    assert not checkpointer._wanted.is_set()
    checkpointer.close()
