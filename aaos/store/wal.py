"""Looks into SQLite's write-ahead log before SQLite does, since SQLite ignores a damaged log without a word.

Invariant: never writes into it. It does not verify the checksums of frames: SQLite does, and how far it got is compared
with `commits_end`. A daemon that was killed while it wrote a commit leaves the mark of its end, which is written before
its page, in a log that is used again; nobody was told of that commit, and SQLite's index of the log, which notes each
commit before its writer goes on, has it not. Source: sqlite.org/fileformat2.html, section 4.1 and 4.2, and
sqlite.org/walformat.html, section 2.1.
"""

import os
import sqlite3
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_MAGIC = (0x377F0682, 0x377F0683)
_HEADER = struct.Struct(">IIII8sII")  # magic, version, page size, sequence, salts, checksum 1 and 2
_FRAME = struct.Struct(">II8s")  # page number, size of the database after a commit or 0, salts
_INDEX = struct.Struct("=I8xB3xI12x8sII")  # version, is complete, frames, salts, checksum 1 and 2
_INDEX_VERSION = 3007000


@dataclass(frozen=True, slots=True)
class WalScan:
    """What the file holds. `commits_end` is the number of frames up to and with the last one that ends a commit that
    anybody can have been told of."""

    size_bytes: int
    is_header_valid: bool
    commits_end: int


def scan(path: Path) -> WalScan | None:
    """What is in the log, or None when there is no file; SQLite must not have it open here. Raises OSError."""
    fd = _open(path)
    if fd is None:
        return None
    try:
        return _scan(fd, os.fstat(fd).st_size, _index(path.with_name(f"{path.name.removesuffix('-wal')}-shm")))
    finally:
        os.close(fd)


def close_keeping_log(connection: sqlite3.Connection, wal: Path) -> None:
    """Close the last connection without the deletion of the log that SQLite does then: it is still evidence.

    Replaying it over a database that has its pages already changes nothing.
    """
    kept = _kept(wal)
    with suppress(OSError):
        kept.unlink(missing_ok=True)
        kept.hardlink_to(wal)
    connection.close()
    with suppress(OSError):
        if wal.exists():
            kept.unlink(missing_ok=True)
        else:
            kept.rename(wal)


def drop_kept_log(wal: Path) -> None:
    """Remove the second name that a `close_keeping_log` cut short has left. Raises OSError."""
    if wal.exists():
        _kept(wal).unlink(missing_ok=True)


def _kept(wal: Path) -> Path:
    return wal.with_name(f"{wal.name}.kept")


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _index(path: Path) -> bytes:
    """The beginning of SQLite's index of the log, as much of it as is there."""
    fd = _open(path)
    if fd is None:
        return b""
    try:
        return os.pread(fd, _INDEX.size, 0)
    finally:
        os.close(fd)


def _scan(fd: int, size_bytes: int, index: bytes) -> WalScan:
    head = os.pread(fd, HEADER_BYTES, 0)
    if len(head) < HEADER_BYTES:
        return WalScan(size_bytes, False, 0)
    magic, _, page_bytes, _, salts, sum1, sum2 = _HEADER.unpack(head)
    if magic not in _MAGIC or _checksum(head[:24], magic & 1) != (sum1, sum2):
        return WalScan(size_bytes, False, 0)
    before, last = _commit_ends(fd, size_bytes, page_bytes, salts)
    return WalScan(size_bytes, True, before if _noted(index, salts) == before else last)


def _commit_ends(fd: int, size_bytes: int, page_bytes: int, salts: bytes) -> tuple[int, int]:
    """The frames that end the last commit but one and the last one."""
    step, before, last = _FRAME_HEADER_BYTES + page_bytes, 0, 0
    for number, offset in enumerate(range(HEADER_BYTES, size_bytes - step + 1, step), start=1):
        _, commit_pages, frame_salts = _FRAME.unpack(os.pread(fd, _FRAME.size, offset))
        if frame_salts == salts and commit_pages:
            before, last = last, number
    return before, last


def _noted(index: bytes, salts: bytes) -> int | None:
    """How many frames of this log the index knows, or None when it is damaged or of another log.

    It is never synced, so after a power cut it can be older than the log, by any number of commits; a kill leaves one.
    """
    if len(index) < _INDEX.size:
        return None
    version, is_complete, frames, index_salts, *sums = _INDEX.unpack(index)
    checksum = _checksum(index[: _INDEX.size - 8], int(sys.byteorder == "big"))
    if (version, is_complete, index_salts, tuple(sums)) != (_INDEX_VERSION, 1, salts, checksum):
        return None
    return int(frames)


def _checksum(data: bytes, is_big_endian: int) -> tuple[int, int]:
    words = struct.unpack(f"{'>' if is_big_endian else '<'}{len(data) // 4}I", data)
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
