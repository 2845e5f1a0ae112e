"""What nobody reported: files that changed in a worker's own mounts beside the tool calls on record (BRK-7).

Invariant: the walk never follows a link, never leaves the root it was given, and ends at a bound of entries, depth and
time. It reads names and times only; it must not open a file.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aaos.core.ports import Root

MAX_ENTRIES = 20_000
MAX_DEPTH = 32
MAX_REPORTED = 100
_CLOCK_REALTIME_COARSE = 5  # linux/time.h; the clock that stamps ctime on kernels without multigrain timestamps


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths whose inode changed; `is_complete` is False when a bound cut the walk."""

    paths: tuple[str, ...]
    is_complete: bool


@dataclass(slots=True)
class _Walk:
    since_ns: int
    until_s: float
    left: int = MAX_ENTRIES
    is_complete: bool = True

    def may_go_on(self) -> bool:
        self.left -= 1
        if self.left < 0 or time.monotonic() > self.until_s:
            self.is_complete = False
        return self.is_complete


def now_ns() -> int:
    """The clock of inode times, so that a later change is never stamped earlier than this."""
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)


def changed_files(roots: Iterable[Root], *, since_ns: int, known: frozenset[str], time_s: float = 2.0) -> Changes:
    """Regular files below writable `roots` with a status change at or after `since_ns`, without those in `known`.

    The status-change time can't be set by a process. Bounded; blocking: call it in a thread.
    """
    walk = _Walk(since_ns=since_ns, until_s=time.monotonic() + time_s)
    paths: list[str] = []
    for root in roots:
        for path in _changed_below(root, walk):
            if path not in known:
                paths.append(path)
            if len(paths) >= MAX_REPORTED:
                return Changes(paths=tuple(paths), is_complete=False)
    return Changes(paths=tuple(paths), is_complete=walk.is_complete)


def _changed_below(root: Root, walk: _Walk) -> Iterator[str]:
    if not root.is_dir:
        if _is_changed(os.fstat(root.fd), walk):
            yield root.path
        return
    yield from _walk_directory(root.fd, ".", prefix=root.path, depth=0, walk=walk)


def _walk_directory(parent_fd: int, name: str, *, prefix: str, depth: int, walk: _Walk) -> Iterator[str]:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    except OSError:
        walk.is_complete = False
        return
    try:
        with os.scandir(fd) as entries:
            yield from _walk_entries(fd, entries, prefix=prefix, depth=depth, walk=walk)
    finally:
        os.close(fd)


def _walk_entries(
    fd: int, entries: Iterable[os.DirEntry[str]], *, prefix: str, depth: int, walk: _Walk
) -> Iterator[str]:
    for entry in entries:
        if not walk.may_go_on():
            return
        path = f"{prefix}/{entry.name}"
        if not entry.is_dir(follow_symlinks=False):
            if _is_changed_entry(entry, walk):
                yield path
        elif depth < MAX_DEPTH:
            yield from _walk_directory(fd, entry.name, prefix=path, depth=depth + 1, walk=walk)
        else:
            walk.is_complete = False


def _is_changed_entry(entry: os.DirEntry[str], walk: _Walk) -> bool:
    try:
        return _is_changed(entry.stat(follow_symlinks=False), walk)
    except OSError:  # it vanished in between
        return False


def _is_changed(status: os.stat_result, walk: _Walk) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_ctime_ns >= walk.since_ns
