"""Opens what a permit hands to the worker: fds of single files, a listing, a buffer to write to, or just a name.

Invariant: the paths were charged before; what is opened is opened with the rights that the charged grant gives, and a
worker is never handed a directory.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from aaos.broker.files import FileBroker, Listing, sealed_listing
from aaos.broker.opening import is_below, relative_to
from aaos.broker.publishing import PendingWrite
from aaos.core.capability import Capability, Kind, covers
from aaos.core.errors import AaosError, DeniedError, StorageError, ToolError
from aaos.core.paths import is_control_path
from aaos.core.ports import Held, Root
from aaos.core.text import quoted
from aaos.tools.celltrees import close_trees, open_trees
from aaos.tools.spec import Access
from worker.abi import Json

MAX_FILES = 48  # of one call, below abi.FRAME_FDS


@dataclass(frozen=True, slots=True)
class Use:
    """One path of a call. `capability` is the one that was charged; `as_owner`: with the submitter's own rights."""

    path: str
    access: Access
    capability: Capability
    as_owner: bool


@dataclass(slots=True)
class Handout:
    """What goes with a permit. `files` is as it travels; its fds are indices into `fds`."""

    files: list[Mapping[str, Json]] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    pending: PendingWrite | None = None
    trees: list[Root] = field(default_factory=list)  # of a cell

    def add(self, path: str, use: str, fd: int = -1) -> None:
        """One more file; an fd becomes the handout's own."""
        self.files.append({"path": path, "use": use, "fd": len(self.fds) if fd >= 0 else -1})
        if fd >= 0:
            self.fds.append(fd)

    def close(self) -> None:
        """Close the fds that were only to be sent; the write that is pending stays open. Idempotent."""
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()
        close_trees(self.trees)
        self.trees.clear()

    def discard(self) -> None:
        """Close everything: the call will not be carried out."""
        self.close()
        if self.pending is not None:
            self.pending.close()


def hand_out(uses: Sequence[Use], roots: Sequence[Root], files: FileBroker) -> Handout:
    """Open everything that the uses name. Raises AaosError; nothing stays open then."""
    out = Handout()
    try:
        for use in uses if len(uses) < 2 else sorted(uses, key=_is_shown):  # what is writable holds what is shown
            _open(out, use, roots, files)
        return out
    except OSError as error:  # a memory file could not be made
        out.discard()
        raise StorageError(f"{quoted(uses[0].path)}: {error.strerror}", "see `journalctl -t agentd`") from error
    except BaseException:
        out.discard()
        raise


def _is_shown(use: Use) -> bool:
    return use.access is Access.SHOW


def find_root(roots: Sequence[Root], path: str, *, writable: bool) -> Root:
    """The nearest root that the path is below. Raises DeniedError."""
    fitting = [root for root in roots if is_below(root, path) and (root.writable or not writable)]
    if not fitting:
        raise DeniedError(
            f"{quoted(path)} is below no granted root", "grant it with --read or --write and submit again"
        )
    return fitting[0] if len(fitting) < 2 else max(fitting, key=lambda root: len(root.path))


def _open(out: Handout, use: Use, roots: Sequence[Root], files: FileBroker) -> None:
    match use.access:
        case Access.FILE:
            _open_file(out, use, roots, files)
        case Access.DIRECTORY | Access.WALK:
            _open_directory(out, use, roots, files)
        case Access.TREE:
            root = find_root(roots, use.path, writable=False)
            if files.is_directory(root, relative_to(root, use.path), as_owner=use.as_owner):
                _open_tree(out, use, roots, files)
            else:
                _open_file(out, use, roots, files)
        case Access.REPLACE | Access.EDIT:
            _open_write(out, use, roots, files)
        case Access.SHOW | Access.CHANGE | Access.MAKE:
            out.trees += open_trees(use.path, use.access, out.trees, roots=roots, files=files)
        case Access.FETCH | Access.CONNECT:
            raise TypeError(f"{use.path} is no path")
        case _:
            assert_never(use.access)


def _open_file(out: Handout, use: Use, roots: Sequence[Root], files: FileBroker) -> None:
    root = find_root(roots, use.path, writable=False)
    out.add(use.path, "read", files.open_for_read(root, relative_to(root, use.path), as_owner=use.as_owner))


def _open_directory(out: Handout, use: Use, roots: Sequence[Root], files: FileBroker) -> None:
    if _is_mounted(roots, use.path):
        out.add(use.path, "root")
        return
    out.add(use.path, "listing", sealed_listing(_listing(use, roots, files)))


def _open_tree(out: Handout, use: Use, roots: Sequence[Root], files: FileBroker) -> None:
    if _is_mounted(roots, use.path):
        out.add(use.path, "root")
        return
    paths = [f"{use.path.rstrip('/')}/{e.path}" for e in _listing(use, roots, files).entries if e.kind == "file"]
    if len(paths) > MAX_FILES:
        raise ToolError(
            f"{quoted(use.path)} holds {len(paths)} files and its grant is checked file by file",
            f"name a file or a directory of at most {MAX_FILES} files, or grant it plainly: --read {use.path}/**",
        )
    for path in paths:
        root = find_root(roots, path, writable=False)
        try:
            fd = files.open_for_read(root, relative_to(root, path), as_owner=use.as_owner)
        except AaosError:
            continue  # not for these rights, or vanished: grep passes over it as in a mounted directory
        out.add(path, "read", fd)


def _open_write(out: Handout, use: Use, roots: Sequence[Root], files: FileBroker) -> None:
    if is_control_path(use.path):
        raise DeniedError(f"{quoted(use.path)} controls other programs and is never written", "write another file")
    root = find_root(roots, use.path, writable=True)
    is_edit = use.access is Access.EDIT
    out.pending = files.begin_write(root, relative_to(root, use.path), for_edit=is_edit)
    if is_edit:
        out.add(use.path, "read", os.dup(out.pending.source))
    out.add(use.path, "write", os.dup(out.pending.content))


def _listing(use: Use, roots: Sequence[Root], files: FileBroker) -> Listing:
    """What the charged grant covers of the directory."""
    root = find_root(roots, use.path, writable=False)
    listing = files.list_below(
        root,
        relative_to(root, use.path),
        as_owner=use.as_owner,
        is_shown=lambda path: covers(use.capability, Kind.FILE_READ, path),
        is_deep=use.access is not Access.DIRECTORY,
    )
    if not listing.is_whole:
        raise ToolError(
            f"{quoted(use.path)} is too large to be listed for a grant that is checked file by file",
            f"name a smaller directory, or grant it plainly: --read {use.path}/**",
        )
    return listing


def _is_mounted(roots: Sequence[Root], path: str) -> bool:
    return any(root.held is Held.KERNEL and is_below(root, path) for root in roots)
