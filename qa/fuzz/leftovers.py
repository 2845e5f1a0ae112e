"""Fuzzing of what is found on the disk: the log of steps and SQLite's log of a killed daemon, and the audit's copy.

Invariant: each input becomes a file in a directory of this process alone; what is read of it is compared with what was
written, or with what SQLite reads.
"""

import atexit
import json
import os
import random
import shutil
import sqlite3
import struct
import tempfile
import zlib
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

from aaos.core.events import Event, EventKind, Recorded
from aaos.core.ids import RunId
from aaos.store.copies import Copied
from aaos.store.jsonl import JsonlCopy, line
from aaos.store.redo import Redo, Statement, _origin, left_over
from aaos.store.wal import _INDEX, HEADER_BYTES, _checksum, scan

_DATABASE = "0123456789abcdef" * 2
_BATCH = 7
_STEPS: tuple[list[Statement], ...] = (
    [("INSERT a", ("text", 1, 2.5, None))],
    [("INSERT b", (b"\0\xff", "\u00e9\0")), ("UPDATE c", ())],
    [("INSERT d", ("x" * 300, -(2**63)))],
    [("INSERT e", (True, b""))],
)
_READ = tuple([one for step in _STEPS[:count] for one in step] for count in range(len(_STEPS) + 1))
_RECORD_HEAD = struct.Struct("<4sI32sQII")
_FEW_BYTES = 40


def scene() -> Path:
    """The directory of this process."""
    return _place(os.getpid())


@cache
def _place(process: int) -> Path:
    place = _places() / str(process)
    place.mkdir()
    return place


@cache
def _places() -> Path:
    """Where this process and those that it forks have theirs, in memory if that can be; it goes when this one ends."""
    memory = Path("/dev/shm")  # noqa: S108  # what mkdtemp makes below it is ours alone
    place = Path(tempfile.mkdtemp(prefix="aaos-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


@cache
def _records() -> tuple[bytes, ...]:
    """The records of the steps, and some that are of another batch, number or database."""
    path = scene() / "records"
    made: list[bytes] = []
    for database, batch in ((_DATABASE, _BATCH), (_DATABASE, _BATCH - 1), ("f" * 32, _BATCH)):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with closing(Redo(path, fd, _origin(database), batch)) as log:
            for step in _STEPS:
                before = path.stat().st_size
                log.append(step)
                made.append(path.read_bytes()[before:])
    return tuple(made)


def step_logs(chance: random.Random) -> bytes:
    """A log of records, torn, damaged, mixed, or with a length that is no length."""
    known = _records()
    parts = list(known[: len(_STEPS)])
    match chance.randrange(6):
        case 0:
            parts[chance.randrange(len(parts))] = chance.choice(known)
        case 1:
            parts.insert(chance.randrange(len(parts)), chance.choice(known))
        case 2:
            parts = chance.choices(known, k=3)
        case 3:
            at = chance.randrange(len(parts))
            parts[at] = _relabelled(parts[at], chance)
    return _damaged(b"".join(parts), chance)


def _relabelled(record: bytes, chance: random.Random) -> bytes:
    """A record with another length, its checksum right, as far as there are bytes to sum."""
    magic, _, origin, batch, number, length = _RECORD_HEAD.unpack_from(record)
    odd = chance.choice((0, 1, length - 1, length + 1, 2**31, 2**32 - 1))
    rest = record[_RECORD_HEAD.size :]
    body = struct.pack("<32sQII", origin, batch, number, odd) + rest
    return struct.pack("<4sI", magic, zlib.crc32(body)) + body


def _damaged(data: bytes, chance: random.Random) -> bytes:
    """Torn at the end, a bit or a piece changed, or as it is."""
    changed = bytearray(data)
    match chance.randrange(5):
        case 0:
            del changed[chance.randrange(len(changed) + 1) :]
        case 1 if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        case 2:
            at = chance.randrange(len(changed) + 1)
            changed[at : at + chance.randrange(_FEW_BYTES)] = chance.randbytes(chance.randrange(_FEW_BYTES))
        case 3:
            changed += chance.randbytes(chance.randrange(_FEW_BYTES))
    return bytes(changed)


def step_logs_as_written() -> tuple[bytes, ...]:
    """A log as a daemon leaves it."""
    return (b"".join(_records()[: len(_STEPS)]),)


def step_log(data: bytes) -> bool:
    """The log of steps of a killed daemon: its first steps, whole and in order, or nothing."""
    path = scene() / "redo"
    path.write_bytes(data)
    found = left_over(path, _DATABASE, _BATCH)
    assert found in _READ, found
    return bool(found)


@cache
def sqlite_log() -> tuple[bytes, bytes, bytes]:
    """A database, its log with five commits (after frames of an older one), and the index of the log."""
    path = scene() / "made.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        for text in ("PRAGMA page_size = 512", "PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0"):
            made.execute(text)
        made.execute("CREATE TABLE t (x)")
        for number in range(9):
            made.execute("INSERT INTO t VALUES (?)", (f"{number}" * 100,))
        made.execute("PRAGMA wal_checkpoint(RESTART)")
        for number in range(5):
            made.execute("INSERT INTO t VALUES (?)", (f"{number}" * 300,))
        database, log, index = (path.with_name(f"made.db{end}").read_bytes() for end in ("", "-wal", "-shm"))
    return database, log, index[: _INDEX.size]


def sqlite_logs(chance: random.Random) -> bytes:
    """An index, as long as one or none, and a log; damaged, or with another header whose checksum is right."""
    _, log, index = sqlite_log()
    if chance.random() < 0.2:
        head = bytearray(log[:24])
        at = 4 * chance.randrange(6)
        head[at : at + 4] = chance.choice((0, 1, 24, 512, 1_024, 65_536, 2**31, 2**32 - 1)).to_bytes(4, "big")
        log = bytes(head) + struct.pack(">II", *_checksum(bytes(head), head[3] & 1)) + log[HEADER_BYTES:]
    if chance.random() < 0.5:
        index = bytes(len(index))
    return (_damaged(index, chance) + bytes(len(index)))[: len(index)] + _damaged(log, chance)


def sqlite_logs_as_written() -> tuple[bytes, ...]:
    """A log as SQLite leaves it, with its index and without."""
    _, log, index = sqlite_log()
    return index + log, bytes(len(index)) + log


def wal_scan(data: bytes) -> bool:
    """SQLite's log: what SQLite reads of it is never more than what was counted."""
    database, _, index = sqlite_log()
    path = scene() / "x.db"
    log = path.with_name("x.db-wal")
    log.write_bytes(data[len(index) :])
    path.with_name("x.db-shm").write_bytes(data[: len(index)])
    found = scan(log)
    assert found is not None
    assert 0 <= found.commits_end * 24 <= found.size_bytes == len(data) - len(index)
    if not any(data[: len(index)]) and zlib.crc32(data) % 4 == 0:
        path.with_name("x.db-shm").unlink()
        path.write_bytes(database)
        assert _frames_read(path) <= found.commits_end
    return found.commits_end > 0


def _frames_read(path: Path) -> int:
    """How many frames SQLite takes from the log; none of one that it does not open."""
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path, isolation_level=None)) as opened:
        return max(0, int(opened.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]))
    return 0


_EVENT = Event(EventKind.TOOL_DONE, RunId("r-1"), None, None, {"text": "x"})
_COPIED = Copied(Recorded(5, 1.5, _EVENT), '{"text":"x"}')
_LINE = line(_COPIED)
LINES = (b"", _LINE, _LINE * 3, _LINE[:-1], _LINE + b"{", b"\n\n", b"\0" * 100, b"x" * 200)


def copies(chance: random.Random) -> bytes:
    """Lines, torn and damaged; now and then a tail of a length near the bounds of what is looked through."""
    data = _damaged(b"".join(chance.choices(LINES, k=3)), chance)
    if chance.random() < 0.002:
        data += b"y" * (65_536 * chance.choice((1, 2, 15, 16, 17)) + chance.randrange(-2, 3))
    return data


def audit_copy(data: bytes) -> bool:
    """The audit's copy with any end: whole lines stay, a torn one goes, the new one stands alone; taken are those
    that had nothing torn."""
    path = scene() / "audit.jsonl"
    path.write_bytes(data)
    path.chmod(0o600)
    copy = JsonlCopy(path)
    lost = copy.write([_COPIED])
    copy.close()
    kept, after = data[: data.rfind(b"\n") + 1], path.read_bytes()
    if lost is not None and after == data:
        assert len(data) - len(kept) >= 16 * 65_536 - 1
        return False
    assert after == kept + _LINE
    assert (lost is None) == (kept == data)
    assert json.loads(after[len(kept) :])["seq"] == _COPIED.recorded.seq
    return lost is None
