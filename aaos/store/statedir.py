"""The state directory: one owner, one daemon, nobody else's eyes, and a marker that remembers that a database exists.

Invariant: while a `StateDir` is open no other agentd has it (flock), the directory is 0700 and every file made here is
0600 whatever the umask. It must not open the database file itself: closing a second descriptor on it would drop the
POSIX locks that SQLite holds (sqlite.org/howtocorrupt.html, section 2.2).
"""

import fcntl
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from aaos.core.errors import ConflictError, StorageError
from aaos.store.faults import storage_error

DATABASE = "aaos.db"
LOCK = "lock"
MARKER = "database.json"
_MARKER_BYTES = 4096
_LOCK_TRIES = 8


@dataclass(frozen=True, slots=True)
class Marker:
    """What the last daemon left outside the database: which one it was, how often it was opened, and a clean end."""

    database: str
    epoch: int
    is_clean: bool


class StateDir:
    """A locked state directory."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd
        self._marker_fd = -1

    @classmethod
    def open(cls, path: Path) -> "StateDir":
        """Make the directory when it is missing, check who may enter it, and lock it.

        Raises ConflictError when another agentd has it, StorageError when it cannot be used or is not safe.
        """
        try:
            _make_directory(path)
            _check_directory(path)
            return cls(path, _lock(path / LOCK))
        except OSError as error:
            raise storage_error(error, path / LOCK) from error

    @property
    def database(self) -> Path:
        """Where the database is."""
        return self.path / DATABASE

    @property
    def wal(self) -> Path:
        """Where SQLite keeps the write-ahead log."""
        return self.path / f"{DATABASE}-wal"

    def prepare(self, name: str) -> int:
        """The size in bytes of a file that is now there, private and ours. Raises StorageError."""
        path = self.path / name
        try:
            _make_file(path)
            return _check_file(path)
        except OSError as error:
            raise storage_error(error, path) from error

    def check(self, name: str) -> int | None:
        """The size of a file that must be private and ours, or None when there is none. Raises StorageError."""
        path = self.path / name
        try:
            return _check_file(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, path) from error

    def marker(self) -> Marker | None:
        """The marker, or None when there is none. Raises StorageError when it is damaged."""
        path = self.path / MARKER
        if self.check(MARKER) is None:
            return None
        try:
            document = json.loads(_read(path))
            marker = Marker(document["database"], document["epoch"], document["is_clean"])
        except OSError as error:
            raise storage_error(error, path) from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _damaged_marker(path) from error
        if (type(marker.database), type(marker.epoch), type(marker.is_clean)) != (str, int, bool):
            raise _damaged_marker(path)
        return marker

    def write_marker(self, marker: Marker) -> None:
        """Replace the marker; it is on the disk when this returns. Raises StorageError."""
        path, fresh = self.path / MARKER, self.path / f"{MARKER}.new"
        try:
            fresh.unlink(missing_ok=True)
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(json.dumps(asdict(marker)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                held, self._marker_fd = self._marker_fd, os.dup(file.fileno())
                _close(held)
            fresh.replace(path)
            self.sync()
        except OSError as error:
            raise storage_error(error, path) from error

    def is_ours(self) -> bool:
        """Whether lock and marker are still those that were made here: a successor replaces the marker at its start.

        For any thread, also one that acts as another user: it looks at open files only, whose names are gone then.
        """
        try:
            return all(os.fstat(fd).st_nlink for fd in (self._lock_fd, self._marker_fd))
        except OSError:
            return False

    def sync(self) -> None:
        """Put the names in the directory on the disk. Raises OSError."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let another daemon in; idempotent."""
        _close(self._marker_fd)
        _close(self._lock_fd)
        self._marker_fd = self._lock_fd = -1


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    except FileNotFoundError as error:
        raise StorageError(f"{path.parent}: no such directory", f"make it: mkdir -p {path.parent}") from error


def _check_directory(path: Path) -> None:
    info = path.stat()
    if not stat.S_ISDIR(info.st_mode):
        raise StorageError(f"{path}: not a directory", f"move it away: mv {path} {path}.old")
    _check_access(path, info)
    if info.st_mode & 0o077:
        path.chmod(0o700)


def _check_access(path: Path, info: os.stat_result) -> None:
    """What others may only read is closed later; what they could have written cannot be trusted."""
    if info.st_uid != os.geteuid():
        remedy = f"look at what is in it, then: chown {os.geteuid()} {path}"
        raise StorageError(f"{path}: belongs to uid {info.st_uid}, not to agentd", remedy)
    if info.st_mode & 0o022:
        mode = stat.S_IMODE(info.st_mode)
        remedy = f"look at what is in it, then: chmod go-rwx {path}"
        raise StorageError(f"{path}: others may write to it (mode {mode:04o})", remedy)


def _make_file(path: Path) -> None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    os.close(fd)


def _check_file(path: Path) -> int:
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
        raise StorageError(f"{path}: not a plain file with one name", f"move it away: mv {path} {path}.old")
    _check_access(path, info)
    if stat.S_IMODE(info.st_mode) != 0o600:
        path.chmod(0o600)
    return info.st_size


def _lock(path: Path) -> int:
    for _ in range(_LOCK_TRIES):
        _make_file(path)
        _check_file(path)
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if _took(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # the name was given to another file between open and flock
    raise ConflictError(f"{path}: is replaced again and again", f"see who does it: fuser -v {path.parent}")


def _took(fd: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        pid = holder if holder.isdigit() else "?"
        remedy = f"stop it: kill {pid}, or set another daemon.state_dir in agentd.toml"
        raise ConflictError(f"{path.parent}: another agentd (pid {pid}) uses it", remedy) from error
    ours = os.fstat(fd)
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    if (ours.st_dev, ours.st_ino) != (named.st_dev, named.st_ino):
        return False
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return True


def _read(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.read(fd, _MARKER_BYTES)
    finally:
        os.close(fd)


def _damaged_marker(path: Path) -> StorageError:
    remedy = f"when the database beside it is the right one, accept it as it is: rm {path}"
    return StorageError(f"{path}: it is damaged", remedy)
