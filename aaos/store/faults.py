"""Turns what SQLite and the file system say into a `StorageError` whose remedy the operator can type.

Invariant: every fault of the disk or the database reaches the caller as one of these, never as a bare OSError.
"""

import errno
import shlex
import sqlite3
from enum import StrEnum
from pathlib import Path

from aaos.core.errors import StorageError


class Fault(StrEnum):
    """The kinds of fault that have different remedies; the value is the words for it."""

    FULL = "the disk is full"
    READ_ONLY = "it is read-only"
    DAMAGED = "it is damaged"
    DISK = "the disk gave an error"
    NO_ACCESS = "access was refused"
    BUSY = "another process holds it locked"
    OTHER = "it cannot be used"


_SQLITE: dict[int, Fault] = {
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_CORRUPT: Fault.DAMAGED,
    sqlite3.SQLITE_NOTADB: Fault.DAMAGED,
    sqlite3.SQLITE_IOERR: Fault.DISK,
    sqlite3.SQLITE_CANTOPEN: Fault.NO_ACCESS,
    sqlite3.SQLITE_PERM: Fault.NO_ACCESS,
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
}
_ERRNO: dict[int, Fault] = {
    errno.ENOSPC: Fault.FULL,
    errno.EDQUOT: Fault.FULL,
    errno.EROFS: Fault.READ_ONLY,
    errno.EIO: Fault.DISK,
    errno.EACCES: Fault.NO_ACCESS,
    errno.EPERM: Fault.NO_ACCESS,
}
_REMEDIES: dict[Fault, str] = {
    Fault.FULL: "free space, see: df -h {directory}",
    Fault.READ_ONLY: 'make it writable: mount -o remount,rw "$(findmnt -no TARGET -T {directory})"',
    Fault.DAMAGED: "restore it from a backup, or save what can be read: sqlite3 {path} .recover",
    Fault.DISK: "look for errors of the disk: dmesg --level=err,warn",
    Fault.NO_ACCESS: "give it to agentd: chown -R root:root {directory} && chmod 700 {directory}",
    Fault.BUSY: "end the process that uses it, see: fuser -v {path}",
    Fault.OTHER: "look at it: ls -la {directory}",
}


def storage_error(error: sqlite3.Error | OSError, path: Path) -> StorageError:
    """The error for a fault that met `path`: the state directory's database or one of its files."""
    fault = _fault(error)
    return StorageError(f"{path}: {fault} ({error})", _remedy(fault, path))


def damaged(path: Path, detail: str) -> StorageError:
    """The error for a file that is not what this program wrote."""
    return StorageError(f"{path}: {Fault.DAMAGED}: {detail}", _remedy(Fault.DAMAGED, path))


def _fault(error: sqlite3.Error | OSError) -> Fault:
    if isinstance(error, OSError):
        return _ERRNO.get(error.errno or 0, Fault.OTHER)
    code: int = getattr(error, "sqlite_errorcode", 0)  # absent on errors that the Python module raises itself
    return _SQLITE.get(code & 0xFF, Fault.OTHER)  # the low byte is the primary code; source: sqlite.org/rescode.html


def _remedy(fault: Fault, path: Path) -> str:
    return _REMEDIES[fault].format(path=shlex.quote(str(path)), directory=shlex.quote(str(path.parent)))
