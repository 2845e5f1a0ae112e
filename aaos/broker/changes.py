"""What changed in granted trees, as agentd sees it: beside the calls on record (BRK-7), and while a program ran.

Invariant: the walk never follows a link, never leaves the root it was given, and ends at a bound of entries, depth and
time. It reads names and times only; it must not open a file.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from aaos.core.paths import is_control_path
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


@dataclass(frozen=True, slots=True)
class Window:
    """Changes below `path` from one time to another, in nanoseconds since the epoch, that are on record."""

    path: str
    from_ns: int
    until_ns: int

    def holds(self, path: str, changed_ns: int) -> bool:
        """Whether a change of this time at `path` is one of them."""
        return self.from_ns <= changed_ns <= self.until_ns and path.startswith(f"{self.path.rstrip('/')}/")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every file below some trees with its inode and the time of its last change."""

    files: Mapping[str, tuple[int, int]]
    is_complete: bool
    sizes: Mapping[str, int] = field(default_factory=dict)  # of regular files
    control: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # the outermost control files: device, inode


@dataclass(frozen=True, slots=True)
class Difference:
    """What is new, other and gone between two snapshots."""

    made: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    is_complete: bool

    @property
    def count(self) -> int:
        """How many files it is about."""
        return len(self.made) + len(self.changed) + len(self.removed)


@dataclass(slots=True)
class _Walk:
    until_s: float
    left: int = MAX_ENTRIES
    is_complete: bool = True
    control: dict[str, tuple[int, int]] = field(default_factory=dict)

    def may_go_on(self) -> bool:
        self.left -= 1
        if self.left < 0 or time.monotonic() > self.until_s:
            self.is_complete = False
        return self.is_complete


def now_ns() -> int:
    """The clock of inode times, so that a later change is never stamped earlier than this."""
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)


def changed_files(
    roots: Iterable[Root],
    *,
    since_ns: int,
    known: Mapping[str, int],
    windows: Iterable[Window] = (),
    time_s: float = 2.0,
) -> Changes:
    """Regular files below writable `roots` with a status change at or after `since_ns`, without those on record:
    `known` has the time of a path's last one, in nanoseconds since the epoch; and those in `windows`.

    The status-change time can't be set by a process. Bounded; blocking: call it in a thread.
    """
    walk = _Walk(until_s=time.monotonic() + time_s)
    windows = tuple(windows)
    paths: list[str] = []
    for root in roots:
        for path, status in _files_below(root, walk):
            changed_ns = status.st_ctime_ns
            is_new = stat.S_ISREG(status.st_mode) and changed_ns >= since_ns and changed_ns > known.get(path, 0)
            if is_new and not any(window.holds(path, changed_ns) for window in windows):
                paths.append(path)
            if len(paths) >= MAX_REPORTED:
                return Changes(paths=tuple(paths), is_complete=False)
    return Changes(paths=tuple(paths), is_complete=walk.is_complete)


def snapshot(roots: Iterable[Root], *, time_s: float = 2.0) -> Snapshot:
    """The files below `roots` as they are now. Bounded; blocking: call it in a thread."""
    walk = _Walk(until_s=time.monotonic() + time_s)
    files, sizes = {}, {}
    for root in roots:
        for path, status in _files_below(root, walk):
            files[path] = (status.st_ino, status.st_ctime_ns)
            if stat.S_ISREG(status.st_mode):
                sizes[path] = status.st_size
    return Snapshot(files, walk.is_complete, sizes, walk.control)


def difference(before: Snapshot, after: Snapshot) -> Difference:
    """What happened between two snapshots of the same trees; of incomplete ones, what both have seen."""
    is_whole = before.is_complete and after.is_complete
    old, new = before.files, after.files
    return Difference(
        made=tuple(sorted(path for path in new if path not in old)) if before.is_complete else (),
        changed=tuple(sorted(path for path in new if path in old and old[path] != new[path])),
        removed=tuple(sorted(path for path in old if path not in new)) if after.is_complete else (),
        is_complete=is_whole,
    )


def _files_below(root: Root, walk: _Walk) -> Iterator[tuple[str, os.stat_result]]:
    if not root.is_dir:
        yield root.path, os.fstat(root.fd)
        return
    yield from _walk_directory(root.fd, ".", prefix=root.path, depth=0, walk=walk)


def _walk_directory(
    parent_fd: int, name: str, *, prefix: str, depth: int, walk: _Walk
) -> Iterator[tuple[str, os.stat_result]]:
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
) -> Iterator[tuple[str, os.stat_result]]:
    """What is in the directory itself first, so that a bound is met below and not before it was all seen."""
    below: list[str] = []
    for entry in entries:
        if not walk.may_go_on():
            return
        path = f"{prefix}/{entry.name}"
        if is_control_path(entry.name) and not is_control_path(prefix) and (status := _status(entry)) is not None:
            walk.control[path] = (status.st_dev, status.st_ino)
        if not entry.is_dir(follow_symlinks=False):
            status = _status(entry)
            if status is not None:
                yield path, status
        elif depth < MAX_DEPTH:
            below.append(entry.name)
        else:
            walk.is_complete = False
    for name in below:
        yield from _walk_directory(fd, name, prefix=f"{prefix}/{name}", depth=depth + 1, walk=walk)


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:  # it vanished in between
        return None
