"""What is in some trees, as one digest: what an approval of a program is bound to (BRK-6).

Invariant: the trees and every entry below them are in the digest, with the content of each file that these rights may
read; what cannot be looked at whole is refused, never passed over. No link is followed and no device is opened.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aaos.broker.opening import BENEATH
from aaos.core.errors import CancelledError, ToolError
from aaos.core.ports import Root
from aaos.core.text import quoted
from worker.wall import syscalls

MAX_DEPTH = 64
_PIECE = 2**20
_NARROWER = "name a smaller directory"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class BindLimits:
    """How much one approval can be bound to: entries, and bytes of files."""

    entries: int = 20_000
    total_bytes: int = 256 * 2**20


DEFAULTS = BindLimits()


@dataclass(frozen=True, slots=True)
class Bound:
    """What was found below the trees at `paths`. `text` names all of it; `inodes` are the trees' own."""

    paths: tuple[str, ...]
    sha256: str
    files: int
    size_bytes: int
    inodes: frozenset[tuple[int, int]] = frozenset()

    @property
    def text(self) -> str:
        """The same text means the same trees."""
        return f"trees {self.sha256}"


@dataclass(slots=True)
class _Look:
    limits: BindLimits
    may_go_on: Callable[[], bool]
    root: Root
    entries: int = 0
    files: int = 0
    size_bytes: int = 0
    seen: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    piece: bytearray = field(default_factory=lambda: bytearray(_PIECE))

    def enter(self, path: str) -> None:
        """One more entry. Raises ToolError past the bound, CancelledError when nobody waits any more."""
        self.entries += 1
        if self.entries > self.limits.entries:
            self.too_much(f"more than {self.limits.entries} entries", "limits.bound_entries")
        if not self.may_go_on():
            raise CancelledError(f"{quoted(path)}: nobody waits for it any more", "call it again")

    def read(self, size: int) -> None:
        """So many bytes more."""
        self.size_bytes += size
        if self.size_bytes > self.limits.total_bytes:
            self.too_much(f"more than {self.limits.total_bytes} bytes", "limits.bound_bytes")

    def too_much(self, what: str, setting: str) -> None:
        """Raises ToolError."""
        remedy = f"{_NARROWER}, or raise {setting} in /etc/aaos/agentd.toml"
        raise ToolError(f"{self.root.path} holds {what}: a call that waits cannot be bound to all of it", remedy)

    def add(self, *words: object) -> None:
        """One record; names hold no NUL, and a record ends with two."""
        self.seen.update(b"\0".join(os.fsencode(str(word)) for word in words) + b"\0\0")


def bind(trees: Sequence[Root], limits: BindLimits, *, may_go_on: Callable[[], bool] = lambda: True) -> Bound:
    """Look at all of the trees with the rights of this moment. Blocking, as long as the limits allow.

    Raises ToolError for what cannot be bound, CancelledError when it may not go on.
    """
    total = hashlib.sha256()
    files = size_bytes = entries = 0
    inodes = set()
    for tree in sorted(trees, key=lambda one: one.path):
        look = _Look(limits, may_go_on, tree, entries=entries, size_bytes=size_bytes)
        try:
            status = os.fstat(tree.fd)
            inodes.add((status.st_dev, status.st_ino))
            look.add(tree.path, tree.writable, oct(status.st_mode), status.st_uid, status.st_gid)
            _below(look, _open(tree.fd, ".", tree.path), "", 0)
        except OSError as error:
            raise ToolError(f"{tree.path} cannot be looked at: {error.strerror}", "try again") from error
        total.update(look.seen.digest())
        entries, size_bytes, files = look.entries, look.size_bytes, files + look.files
    paths = tuple(sorted(tree.path for tree in trees))
    return Bound(paths, total.hexdigest(), files, size_bytes, frozenset(inodes))


def _below(look: _Look, fd: int, above: str, depth: int) -> None:
    """Add what is in the directory `fd`, which is closed."""
    try:
        with os.scandir(fd) as found:
            names = sorted(entry.name for entry in found)
        for name in names:
            _add(look, fd, name, f"{above}{name}", depth)
    finally:
        os.close(fd)


def _add(look: _Look, fd: int, name: str, below: str, depth: int) -> None:
    look.enter(below)
    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    about = (below, oct(status.st_mode), status.st_uid, status.st_gid)
    if stat.S_ISDIR(status.st_mode):
        if depth >= MAX_DEPTH:
            raise ToolError(f"{look.root.path}/{below} lies too deep to be bound", _NARROWER)
        look.add(*about)
        _descend(look, fd, name, below, depth)
    elif stat.S_ISREG(status.st_mode):
        look.files += 1
        look.add(*about, status.st_mtime_ns, _content(look, fd, name, status))
    elif stat.S_ISLNK(status.st_mode):
        look.add(*about, os.readlink(name, dir_fd=fd))
    else:
        look.add(*about, status.st_rdev)


def _descend(look: _Look, fd: int, name: str, below: str, depth: int) -> None:
    path = f"{look.root.path}/{below}"
    try:
        inner = _open(fd, name, path, flags=_FLAGS | os.O_DIRECTORY)
    except PermissionError as error:
        message = f"{quoted(path)} may not be looked at, so that a call that waits cannot be bound to it"
        raise ToolError(message, _NARROWER) from error
    _below(look, inner, f"{below}/", depth + 1)


def _content(look: _Look, fd: int, name: str, status: os.stat_result) -> str:
    """The digest of a file; of one that these rights may not read, what changes with its content."""
    try:
        file = _open(fd, name, f"{look.root.path}/{name}")
    except PermissionError:
        return f"{status.st_ino} {status.st_size} {status.st_ctime_ns}"
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ToolError(f"{look.root.path}: {quoted(name)} is being changed", "try again")
        found = hashlib.sha256()
        while size := os.readv(file, [look.piece]):
            look.read(size)
            found.update(memoryview(look.piece)[:size])
            if not look.may_go_on():
                raise CancelledError("nobody waits for it any more", "call it again")
        return found.hexdigest()
    finally:
        os.close(file)


def _open(fd: int, name: str, path: str, *, flags: int = _FLAGS) -> int:
    """Raises OSError; ToolError for what lies on another mount, which a cell does not see as this process does."""
    try:
        return syscalls.openat2(fd, name, flags=flags, resolve=BENEATH)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        message = f"{quoted(path)} is a mount of its own: a call that waits cannot be bound to what it hides"
        raise ToolError(message, _NARROWER) from error
