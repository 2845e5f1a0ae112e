"""Makes written content a file, in one step, from bytes that can no longer change.

Invariant: at every moment, also if the machine stops, the path holds the old content whole or the new content whole.
The content comes from a memory file that was sealed first: a worker that still holds its fd, or has it mapped, cannot
change one byte afterwards. The step is an exchange (or a rename that must not replace), after which it is checked that
what came out is what was there before; if not it is exchanged back, so that no change of anybody else is lost.
"""

import contextlib
import fcntl
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aaos.broker import opening
from aaos.broker.faults import fault
from aaos.broker.opening import Acting, acting
from aaos.core.envelope import Submitter
from aaos.core.errors import AaosError, ConflictError, ToolError
from aaos.core.ports import Root
from aaos.core.text import quoted
from worker.wall import syscalls

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
CONTENT_BYTES = 67_108_864
NEW_MODE = 0o644
_CHUNK = 1_048_576


@dataclass(frozen=True, slots=True)
class PreImage:
    """What a path held. `text` names it in records: its SHA-256, or for a long file inode, size and change time."""

    text: str
    inode: int
    size: int
    modified_ns: int
    mode: int
    gid: int

    @property
    def is_hashed(self) -> bool:
        """Whether `text` is the hash of the content."""
        return not self.text.startswith("inode ")

    @classmethod
    def of(cls, fd: int, *, hash_up_to: int) -> "PreImage":
        """The pre-image of an open regular file; a longer one than `hash_up_to` bytes is not read. Raises OSError."""
        status = os.fstat(fd)
        text = f"inode {status.st_ino}, {status.st_size} bytes, changed {status.st_ctime_ns}"
        if status.st_size <= hash_up_to:
            text = hash_of(fd, status.st_size)
        return cls(text, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode, status.st_gid)


@dataclass(slots=True)
class PendingWrite:
    """A write that a worker may fill in. `content` is its buffer, `source` the file to edit or -1."""

    root: Root
    relative: str
    path: str
    parent: tuple[int, int]
    pre: PreImage | None
    content: int
    source: int = -1
    is_closed: bool = False

    def close(self) -> None:
        """Close the fds; idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        os.close(self.content)
        if self.source >= 0:
            os.close(self.source)


@dataclass(frozen=True, slots=True)
class Observed:
    """A file as the daemon itself published it. `mode` are its permission bits; `was_there`: it replaced another."""

    path: str
    sha256: str
    size_bytes: int
    mode: int
    was_there: bool


@dataclass(frozen=True, slots=True)
class _Job:
    """What one publication works with; the directory fd is O_PATH."""

    pending: PendingWrite
    temporary: str
    directory: int
    lock: threading.Lock
    may_commit: Callable[[], bool]


def publish(
    pending: PendingWrite,
    temporary: str,
    *,
    who: Submitter,
    act: Acting,
    lock: threading.Lock,
    check: Callable[[int, int], None],
    may_commit: Callable[[], bool],
) -> Observed:
    """See `FileBroker.publish`, which closes `pending`."""
    try:
        size = _seal(pending.content)
        with _pre_copy(pending) as before:
            check(pending.content, before)
        digest = hash_of(pending.content, size)
        with acting(act, who):
            directory = _same_directory(pending)
        try:
            with acting(act, who):
                mode = _write_and_replace(_Job(pending, temporary, directory, lock, may_commit), size)
            _sync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise fault(error, pending.path) from error
    return Observed(pending.path, digest, size, mode, was_there=pending.pre is not None)


def hash_of(fd: int, size: int) -> str:
    """SHA-256 of the first `size` bytes, hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    position = 0
    while position < size and (data := os.pread(fd, min(_CHUNK, size - position), position)):
        digest.update(data)
        position += len(data)
    return digest.hexdigest()


def write_all(fd: int, data: bytes) -> None:
    """All of `data` at the fd's position. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _seal(content: int) -> int:
    """After this nobody can change the content; its size in bytes."""
    size = os.fstat(content).st_size
    if size > CONTENT_BYTES:
        raise ToolError(f"{size} bytes were written", f"write at most {CONTENT_BYTES} bytes at once")
    try:
        if fcntl.fcntl(content, fcntl.F_GET_SEALS) & SEALS != SEALS:
            fcntl.fcntl(content, fcntl.F_ADD_SEALS, SEALS)
    except OSError as error:  # EBUSY: mapped for writing; EPERM: the worker sealed it in its own way
        raise ToolError(
            "the worker holds the content so that it cannot be sealed", "unmap it before tool.done"
        ) from error
    size = os.fstat(content).st_size
    if size > CONTENT_BYTES:
        raise ToolError(f"{size} bytes were written", f"write at most {CONTENT_BYTES} bytes at once")
    return size


@contextlib.contextmanager
def _pre_copy(pending: PendingWrite) -> Iterator[int]:
    """A sealed copy of the file that is edited, proven to be its pre-image; -1 when nothing is edited."""
    if pending.source < 0 or pending.pre is None:
        yield -1
        return
    copy = os.memfd_create("aaos-before", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        _copy(pending.source, copy, pending.pre.size)
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, SEALS)
        hashed = hash_of(copy, pending.pre.size) if pending.pre.is_hashed else ""
        if pending.pre.text not in (hashed, PreImage.of(pending.source, hash_up_to=-1).text):
            raise _changed(pending)
        yield copy
    finally:
        os.close(copy)


def _same_directory(pending: PendingWrite) -> int:
    """The directory, found anew beneath the root and proven to be the one of before; the caller closes it."""
    fd = opening.look(pending.root, os.path.dirname(pending.relative) or ".")
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) == pending.parent:
        return fd
    os.close(fd)
    raise ConflictError(f"the directory of {quoted(pending.path)} was replaced meanwhile", "read again, then write")


def _write_and_replace(job: _Job, size: int) -> int:
    """The temporary file is gone in the end, whatever happens. The new file's permission bits."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(job.temporary, flags, 0o600, dir_fd=job.directory)
    try:
        _copy(job.pending.content, fd, size)
        mode = _set_mode(fd, job.pending.pre)
        os.fsync(fd)
        if job.pending.pre is None:
            _create(job)
        else:
            _exchange(job, job.pending.pre)
        return mode
    finally:
        _remove(job, fd)
        os.close(fd)


def _remove(job: _Job, fd: int) -> None:
    """Remove what has the temporary name, if it is the open file `fd`: what a third party put there is not ours."""
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(job.temporary, dir_fd=job.directory, follow_symlinks=False)
        if os.path.samestat(found, os.fstat(fd)):
            os.unlink(job.temporary, dir_fd=job.directory)


def _set_mode(fd: int, pre: PreImage | None) -> int:
    """The old permission bits without setuid, setgid and sticky; the group's only if the group is the same."""
    mode = NEW_MODE if pre is None else stat.S_IMODE(pre.mode) & 0o777
    if pre is not None and os.fstat(fd).st_gid != pre.gid:
        try:
            os.fchown(fd, -1, pre.gid)
        except PermissionError:
            mode &= 0o707
    os.fchmod(fd, mode)
    return mode


def _create(job: _Job) -> None:
    with job.lock:
        _require_allowed(job)
        try:
            syscalls.renameat2(job.directory, job.temporary, job.directory, _name(job), flags=syscalls.RENAME_NOREPLACE)
        except FileExistsError as error:
            raise _changed(job.pending) from error


def _exchange(job: _Job, pre: PreImage) -> None:
    """While the old file is held open no other file can get its inode number, so that its identity is certain."""
    old = _open_pre_image(job, pre)
    try:
        with job.lock:
            _require_allowed(job)
            try:
                _swap(job)
            except FileNotFoundError as error:
                raise _changed(job.pending) from error
            if not _is_stat_of(job, pre):
                _swap(job)
                raise _changed(job.pending)
        _remove(job, old)
    finally:
        os.close(old)


def _swap(job: _Job) -> None:
    syscalls.renameat2(job.directory, job.temporary, job.directory, _name(job), flags=syscalls.RENAME_EXCHANGE)


def _open_pre_image(job: _Job, pre: PreImage) -> int:
    """The file of the pre-image with its content, open; the caller closes it. Raises ConflictError."""
    try:
        fd = opening.open_regular(job.pending.root, job.pending.relative)
    except AaosError as error:
        raise _changed(job.pending) from error
    now = PreImage.of(fd, hash_up_to=pre.size if pre.is_hashed else -1)
    if (now.text, now.inode, now.size) == (pre.text, pre.inode, pre.size):
        return fd
    os.close(fd)
    raise _changed(job.pending)


def _is_stat_of(job: _Job, pre: PreImage) -> bool:
    """Whether what the exchange brought out is the file of the pre-image, unchanged."""
    status = os.stat(job.temporary, dir_fd=job.directory, follow_symlinks=False)
    return (status.st_ino, status.st_size, status.st_mtime_ns) == (pre.inode, pre.size, pre.modified_ns)


def _require_allowed(job: _Job) -> None:
    if not job.may_commit():
        raise ConflictError(
            f"{quoted(job.pending.path)} was not written: the grant was revoked, or the call ended", "submit again"
        )


def _changed(pending: PendingWrite) -> ConflictError:
    return ConflictError(f"{quoted(pending.path)} was changed by somebody else meanwhile", "read it again, then write")


def _name(job: _Job) -> str:
    return os.path.basename(job.pending.relative)


def _copy(source: int, target: int, size: int) -> None:
    position = 0
    while position < size:
        data = os.pread(source, min(_CHUNK, size - position), position)
        if not data:
            return
        write_all(target, data)
        position += len(data)


def _sync(directory: int) -> None:
    """The new name is on disk; with agentd's own rights, since a directory may be writable and not readable."""
    fd = opening.reopen(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
