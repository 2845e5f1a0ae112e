"""The log of steps that are acted on before the database has committed them: what was let through survives a kill.

A commit of SQLite writes every page that a step touched, for a permitted read seven and more. Here the step is its few
statements, in one write; the database commits it with others some milliseconds later. When a daemon was killed in
between, the next one carries the statements out again, before anything else.

Invariant: a record is read whole or not at all, and it is carried out if and only if the transaction that it belongs to
was never committed: that transaction writes the number of its batch into the database. It is for a kill of the daemon,
not for a power cut, after which nothing says which pages came to the disk: records of another boot are passed over, as
are those of another database.
"""

import errno
import marshal
import os
import struct
import uuid
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from aaos.store.faults import storage_error
from aaos.store.statedir import StateDir

REDO: Final = "redo"
LOG_BYTES: Final = 1_048_576
NEXT_BATCH: Final = "UPDATE daemon SET batch = ?"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # random(4)
_FORMAT: Final = 2  # of marshal: without references, which take longer to find than to repeat
_MAGIC: Final = b"aaR1"
_HEAD: Final = struct.Struct("<4sI")  # magic, checksum of what follows
_BODY: Final = struct.Struct("<32sQII")  # boot and database, batch, number in the batch, length of the statements

Value = str | int | float | bytes | None
Statement = tuple[str, tuple[Value, ...]]


class Redo:
    """The log of one daemon. `batch` is the last one that the database has."""

    def __init__(self, path: Path, fd: int, origin: bytes, batch: int) -> None:
        self._path = path
        self._fd = fd
        self._origin = origin
        self._end = 0
        self._number = 0
        self.batch = batch

    @classmethod
    def open(cls, state: StateDir, database: str, batch: int) -> "Redo":
        """An empty log, when what was left over was carried out. Raises StorageError."""
        path = state.path / REDO
        state.prepare(REDO)
        try:
            origin = _origin(database)
            return cls(path, os.open(path, os.O_RDWR | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC), origin, batch)
        except OSError as error:
            raise storage_error(error, path) from error

    def append(self, statements: Sequence[Statement]) -> None:
        """Write one step. Raises OSError, also when the log is full: then it is not in it."""
        text = _packed(statements)
        body = _BODY.pack(self._origin, self.batch + 1, self._number, len(text)) + text
        data = _HEAD.pack(_MAGIC, zlib.crc32(body)) + body
        if self._end + len(data) > LOG_BYTES or os.pwrite(self._fd, data, self._end) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._end += len(data)
        self._number += 1

    def committed(self) -> None:
        """The database has them; the next batch is written over them."""
        self.batch += 1
        self._end = self._number = 0

    def discard(self) -> None:
        """After a clean end: what is in it was committed."""
        with suppress(OSError):
            self._path.unlink()

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def left_over(path: Path, database: str, batch: int) -> list[Statement]:
    """The statements of the batch after `batch`, as far as they are whole and of this boot. Raises OSError."""
    try:
        with path.open("rb") as file:
            data = file.read(LOG_BYTES)
    except FileNotFoundError:
        return []
    found: list[Statement] = []
    origin, number, at = _origin(database), 0, 0
    while (text := _record(data, at, (origin, batch + 1, number))) is not None:
        found += marshal.loads(text)  # noqa: S302  # a private file of root's, and its checksum is right
        at += _HEAD.size + _BODY.size + len(text)
        number += 1
    return found


def _origin(database: str) -> bytes:
    """What a record belongs to: this boot of the machine, and this database."""
    return uuid.UUID(BOOT_ID.read_text().strip()).bytes + bytes.fromhex(database)


def _record(data: bytes, at: int, expected: tuple[bytes, int, int]) -> bytes | None:
    """The statements of the record that begins there, or None when it is another one or not whole."""
    head = data[at : at + _HEAD.size + _BODY.size]
    if len(head) < _HEAD.size + _BODY.size:
        return None
    magic, checksum = _HEAD.unpack_from(head)
    *seen, length = _BODY.unpack_from(head, _HEAD.size)
    body = data[at + _HEAD.size : at + len(head) + length]
    if magic != _MAGIC or tuple(seen) != expected or len(body) != _BODY.size + length or zlib.crc32(body) != checksum:
        return None
    return body[_BODY.size :]


def _packed(statements: Sequence[Statement]) -> bytes:
    try:
        return marshal.dumps(statements, _FORMAT)  # type: ignore[arg-type]  # typeshed takes a list of wider items only
    except ValueError:  # a member of an enumeration: its text
        return marshal.dumps([(sql, tuple(map(_plain, values))) for sql, values in statements], _FORMAT)


def _plain(value: Value) -> Value:
    return str(value) if isinstance(value, str) else value
