"""Opens what a cell is shown of the machine's files: directories below the agent's own kernel-held roots.

Invariant: a cell never gets more of a tree than its agent has: what is opened lies below a root that is mounted for the
agent, writable only where that one is and the call changes it; a granted root inside keeps its own rights. A single
file is shown with the directory that holds it, so a grant that is checked file by file is of no use to a program.
"""

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from aaos.broker.files import FileBroker
from aaos.broker.opening import is_below, relative_to
from aaos.core.errors import DeniedError, ToolError
from aaos.core.paths import is_control_path
from aaos.core.ports import Held, Root
from aaos.core.text import quoted
from aaos.tools.spec import Access


def open_trees(
    path: str, access: Access, trees: Sequence[Root], *, roots: Sequence[Root], files: FileBroker
) -> list[Root]:
    """The trees that the path needs beside those that are open already; the caller closes their fds.

    Raises DeniedError, ToolError: the path cannot be shown to a program; nothing stays open.
    """
    is_write = access is not Access.SHOW
    if not is_write and any(is_below(tree, path) for tree in trees):
        return []  # also of a file that is gone: a program may be told of it
    if is_write and is_control_path(path):
        raise DeniedError(f"{quoted(path)} controls other programs and is never written", "name another path")
    held = _holder(roots, path, is_write=is_write)
    held = replace(held, as_owner=held.as_owner or held.writable)  # who writes there reads with the rights of writing
    directory = _directory(path, access, held, files)
    if any(is_below(tree, directory) and (tree.writable or not is_write) for tree in trees):
        return []
    opened: list[Root] = []
    try:
        fd = files.open_directory(held, relative_to(held, directory), as_owner=held.as_owner)
        opened.append(replace(held, path=directory, fd=fd, writable=is_write))
        for inner in _inner(roots, directory):
            mine = replace(inner, fd=os.dup(inner.fd), writable=inner.writable and is_write)
            opened.append(mine)
        return opened
    except BaseException:
        close_trees(opened)
        raise


def close_trees(trees: Sequence[Root]) -> None:
    """Let go of what `open_trees` opened."""
    for tree in trees:
        os.close(tree.fd)


def _holder(roots: Sequence[Root], path: str, *, is_write: bool) -> Root:
    """The nearest root that is mounted for the agent and that the path is below."""
    held = [root for root in roots if root.held is Held.KERNEL and is_below(root, path)]
    nearest = max(held, key=lambda root: len(root.path), default=None)
    if nearest is None or (is_write and not nearest.writable):
        flag, what = ("--write", "change") if is_write else ("--read", "see")
        message = f"{quoted(path)} is in no directory that a program may {what} as a whole"
        remedy = f"grant a whole directory of an ordinary user: {flag} {shlex.quote(os.path.dirname(path))}"
        raise DeniedError(message, remedy)
    return nearest


def _directory(path: str, access: Access, held: Root, files: FileBroker) -> str:
    """The directory that is shown for a path."""
    if access is Access.MAKE:
        if path == held.path:
            raise ToolError(f"{quoted(path)} is a directory", "name a file in it")
        return os.path.dirname(path)
    is_dir = path == held.path or files.is_directory(held, relative_to(held, path), as_owner=held.as_owner)
    if is_dir:
        return path
    if access is Access.CHANGE:
        raise ToolError(f"{quoted(path)} is not a directory", "name the directory")
    os.close(files.open_for_read(held, relative_to(held, path), as_owner=held.as_owner))  # a link, a device: refused
    return os.path.dirname(path)


def _inner(roots: Sequence[Root], directory: str) -> Iterator[Root]:
    for root in roots:
        if root.held is Held.KERNEL and root.path != directory and is_below(replace(root, path=directory), root.path):
            yield root
