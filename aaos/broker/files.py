"""Files on behalf of one run: opened with the submitter's rights, never with the daemon's.

Invariant: what a worker gets is an fd of a regular file opened read-only, or a memory file; it never gets a directory,
a name it can resolve, or an fd that can write to a file. Which path may be used is decided before, by the gate.
"""

import contextlib
import fcntl
import json
import os
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aaos.broker import opening, publishing, roots
from aaos.broker.binding import BindLimits, Bound, bind
from aaos.broker.faults import MissingError, fault
from aaos.broker.opening import Acting, acting
from aaos.broker.publishing import Observed, PendingWrite, PreImage
from aaos.core.capability import Capability
from aaos.core.envelope import Submitter
from aaos.core.errors import DeniedError, ToolError
from aaos.core.ids import Gid, Uid
from aaos.core.paths import is_control_path
from aaos.core.ports import Root
from aaos.core.text import quoted
from worker.wall import syscalls

NOBODY = Submitter(Uid(65534), Gid(65534))  # sees what everybody may read. Source: Debian Policy, 9.2
HASH_NOW_BYTES = 1_048_576  # up to here a pre-image is hashed on the event loop
LIST_ENTRIES = 2_000
LIST_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry below a directory: its path below it, file, dir, link or other, and its size."""

    path: str
    kind: str
    size: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Entries in the order of their paths; `is_whole` is False when a bound cut the walk."""

    entries: tuple[Entry, ...]
    is_whole: bool


class FileBroker:
    """One per run. It has no state of its own, so it may be used from any thread.

    `publishing_lock` is one for the whole daemon. `reader` has the rights for grants that do not say `as_owner`.
    """

    def __init__(
        self,
        submitter: Submitter,
        *,
        publishing_lock: threading.Lock,
        reader: Submitter = NOBODY,
        act: Acting = syscalls.acting_as,
    ) -> None:
        self._submitter = submitter
        self._reader = reader
        self._lock = publishing_lock
        self._act = act

    def open_roots(self, capabilities: Iterable[Capability]) -> tuple[Root, ...]:
        """The roots of an agent's file grants; the caller closes them with `roots.close_roots`. Raises AaosError."""
        return roots.open_roots(capabilities, self._submitter, act=self._act)

    def resolve(self, path: str) -> str:
        """Where the operator's path leads, links followed with the operator's rights. Raises AaosError."""
        return roots.resolve(path, self._submitter, act=self._act)

    def open_for_read(self, root: Root, relative: str, *, as_owner: bool) -> int:
        """A read-only fd of a regular file; the caller closes it. Raises AaosError."""
        with acting(self._act, self._rights(as_owner)):
            return opening.open_regular(root, relative)

    def is_directory(self, root: Root, relative: str, *, as_owner: bool) -> bool:
        """Whether a directory is there, as far as these rights can see. Raises AaosError."""
        try:
            with acting(self._act, self._rights(as_owner)):
                fd = opening.look(root, relative)
        except OSError as error:
            raise fault(error, opening.full_path(root, relative)) from error
        try:
            return stat.S_ISDIR(os.fstat(fd).st_mode)
        finally:
            os.close(fd)

    def open_directory(self, root: Root, relative: str, *, as_owner: bool) -> int:
        """An O_PATH fd of a directory, to be shown to a program; the caller closes it. Raises AaosError."""
        path = opening.full_path(root, relative)
        try:
            with acting(self._act, self._rights(as_owner)):
                fd = opening.look(root, relative)
        except OSError as error:
            raise fault(error, path) from error
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        raise ToolError(f"{quoted(path)} is not a directory", "name a directory")

    def list_below(
        self, root: Root, relative: str, *, as_owner: bool, is_shown: Callable[[str], bool], is_deep: bool
    ) -> Listing:
        """What is in a directory, or with `is_deep` below it: bounded, no link followed. `is_shown` gets full paths."""
        walk = _Walk(opening.full_path(root, relative), is_shown, is_deep=is_deep)
        try:
            with acting(self._act, self._rights(as_owner)):
                found = opening.look(root, relative)
                try:
                    walk.below(opening.reopen(found, os.O_RDONLY | os.O_DIRECTORY), "", 0)
                finally:
                    os.close(found)
        except OSError as error:
            raise fault(error, walk.path) from error
        return Listing(tuple(sorted(walk.entries, key=lambda entry: entry.path.split("/"))), walk.is_whole)

    def bind(self, trees: Sequence[Root], limits: BindLimits, *, may_go_on: Callable[[], bool]) -> Bound:
        """See `binding.bind`, of what was opened for a cell; with the rights of the submitter. Raises AaosError."""
        with acting(self._act, self._submitter):
            return bind(trees, limits, may_go_on=may_go_on)

    def begin_write(self, root: Root, relative: str, *, for_edit: bool = False) -> PendingWrite:
        """A buffer for the new content and the pre-image of what it will replace; nothing changes on disk.

        The caller ends it with `publish` or `discard`. `for_edit`: the file must exist; `source` is its read-only fd.

        Raises:
            AaosError: the submitter may not write there, or what is there is not an ordinary file of the submitter.
        """
        path = opening.full_path(root, relative)
        if is_control_path(path):
            raise DeniedError(f"{quoted(path)} controls other programs and is never written", "write another file")
        try:
            with acting(self._act, self._submitter):
                parent = self._parent(root, relative, path)
                source, pre = self._pre_image(root, relative, path)
        except OSError as error:
            raise fault(error, path) from error
        if for_edit and source < 0:
            raise MissingError(f"{quoted(path)} does not exist", "write it with file_write")
        try:
            content = os.memfd_create("aaos-content", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError:
            if source >= 0:
                os.close(source)
            raise
        if not for_edit and source >= 0:
            os.close(source)
            source = -1
        return PendingWrite(root, relative, path, parent=parent, pre=pre, content=content, source=source)

    def publish(
        self,
        pending: PendingWrite,
        temporary: str,
        *,
        check: Callable[[int, int], None],
        may_commit: Callable[[], bool],
    ) -> Observed:
        """Make the content the file, in one step. Blocking: call it in a thread. `pending` is closed in any case.

        `check(content, pre-image)` gets sealed memory files (the latter -1 when there was no file or it is not edited)
        and raises when the content is not what was permitted; `may_commit` is asked just before the step.

        Raises:
            ConflictError: the file is not the one it was at `begin_write`, or `may_commit` said no.
            AaosError: nothing changed on disk.
        """
        try:
            return publishing.publish(
                pending,
                temporary,
                who=self._submitter,
                act=self._act,
                lock=self._lock,
                check=check,
                may_commit=may_commit,
            )
        finally:
            pending.close()

    def discard(self, pending: PendingWrite) -> None:
        """Forget a write that will not be published."""
        pending.close()

    def size_of(self, root: Root, relative: str) -> int | None:
        """The size of the regular file that is there, 0 when nothing is, None for a directory. Raises AaosError."""
        try:
            with acting(self._act, self._submitter):
                fd = opening.look(root, relative)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise fault(error, opening.full_path(root, relative)) from error
        try:
            status = os.fstat(fd)
            return None if stat.S_ISDIR(status.st_mode) else status.st_size
        finally:
            os.close(fd)

    def observe(self, root: Root, relative: str) -> tuple[str | None, bytes | None]:
        """What is there now: `PreImage.text` and the content, both None when nothing is. Raises AaosError."""
        path = opening.full_path(root, relative)
        try:
            with acting(self._act, self._submitter):
                source, pre = self._pre_image(root, relative, path)
        except OSError as error:
            raise fault(error, path) from error
        if pre is None:
            return None, None
        try:
            return pre.text, os.pread(source, publishing.CONTENT_BYTES, 0)
        except OSError as error:
            raise fault(error, path) from error
        finally:
            os.close(source)

    def rename(self, root: Root, relative: str, name: str) -> None:
        """Give what is there the free name `name` in its own directory. Raises AaosError."""
        try:
            with acting(self._act, self._submitter):
                parent = opening.look(root, os.path.dirname(relative) or ".")
                try:
                    old, flags = os.path.basename(relative), syscalls.RENAME_NOREPLACE
                    syscalls.renameat2(parent, old, parent, name, flags=flags)
                finally:
                    os.close(parent)
        except OSError as error:
            raise fault(error, opening.full_path(root, relative)) from error

    def remove_stale(self, root: Root, relative: str, temporary: str) -> bool:
        """Remove a temporary file that a killed daemon left beside `relative`; whether there was one."""
        above = os.path.dirname(relative) or "."
        with contextlib.suppress(OSError), acting(self._act, self._submitter):
            parent = opening.look(root, above)
            try:
                os.unlink(temporary, dir_fd=parent)
                return True
            finally:
                os.close(parent)
        return False

    def _rights(self, as_owner: bool) -> Submitter:
        return self._submitter if as_owner else self._reader

    def _parent(self, root: Root, relative: str, path: str) -> tuple[int, int]:
        """The identity of the directory that the file is in, which the submitter may write to."""
        if relative == ".":
            raise ToolError(f"{quoted(path)} is a directory", "name a file in it")
        try:
            fd = opening.look(root, os.path.dirname(relative) or ".")
        except FileNotFoundError as error:
            raise ToolError(f"the directory of {quoted(path)} does not exist", "create it, or name another") from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISDIR(status.st_mode):
                raise NotADirectoryError(20, "not a directory", path)
            return status.st_dev, status.st_ino
        finally:
            os.close(fd)

    def _pre_image(self, root: Root, relative: str, path: str) -> tuple[int, PreImage | None]:
        """A read-only fd and the identity of what is there, which the submitter may write; (-1, None) without it."""
        try:
            found = opening.look(root, relative)
        except FileNotFoundError:
            return -1, None
        try:
            status = os.fstat(found)
            opening.require_regular(status, path)
            self._require_own(status, path)
            os.close(opening.reopen(found, os.O_WRONLY))  # the kernel's word that it may be written
            source = opening.reopen(found, os.O_RDONLY)
        finally:
            os.close(found)
        try:
            return source, PreImage.of(source, hash_up_to=HASH_NOW_BYTES)
        except OSError:
            os.close(source)
            raise

    def _require_own(self, status: os.stat_result, path: str) -> None:
        if status.st_uid != self._submitter.uid:
            names = f" and has {status.st_nlink} names" if status.st_nlink > 1 else ""
            raise DeniedError(
                f"{quoted(path)} belongs to uid {status.st_uid}{names}: replacing it would take it from its owner",
                "submit as that user, or write to a new file",
            )
        if status.st_size > publishing.CONTENT_BYTES:
            raise ToolError(
                f"{quoted(path)} has {status.st_size} bytes",
                f"files up to {publishing.CONTENT_BYTES} bytes are replaced",
            )


def sealed_listing(listing: Listing) -> int:
    """The entries as a sealed memory file: a JSON list of [path, kind, size]; the caller closes it."""
    rows = [[entry.path, entry.kind, entry.size] for entry in listing.entries]
    fd = os.memfd_create("aaos-listing", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        publishing.write_all(fd, json.dumps(rows).encode())
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, publishing.SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd


class _Walk:
    def __init__(self, path: str, is_shown: Callable[[str], bool], *, is_deep: bool) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self.is_whole = True
        self._is_shown = is_shown
        self._is_deep = is_deep
        self._left = LIST_ENTRIES

    def below(self, fd: int, above: str, depth: int) -> None:
        """Add what is in the directory `fd`, which is closed."""
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    self._left -= 1
                    if self._left < 0:
                        self.is_whole = False
                        return
                    self._add(fd, entry, f"{above}{entry.name}", depth)
        finally:
            os.close(fd)

    def _add(self, fd: int, entry: os.DirEntry[str], below: str, depth: int) -> None:
        kind = _kind(entry)
        if kind == "dir" and self._is_deep:
            self._descend(fd, entry.name, below, depth)
        if self._is_shown(f"{self.path.rstrip('/')}/{below}"):
            with contextlib.suppress(OSError):  # it vanished in between
                size = entry.stat(follow_symlinks=False).st_size if kind == "file" else 0
                self.entries.append(Entry(below, kind, size))

    def _descend(self, fd: int, name: str, below: str, depth: int) -> None:
        if depth >= LIST_DEPTH:
            self.is_whole = False
            return
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            inner = syscalls.openat2(fd, name, flags=flags, resolve=opening.BENEATH)
        except OSError:  # not for these rights, or another file system
            self.is_whole = False
            return
        self.below(inner, f"{below}/", depth + 1)


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    return "dir" if entry.is_dir(follow_symlinks=False) else "file" if entry.is_file(follow_symlinks=False) else "other"
