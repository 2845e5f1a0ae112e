"""Opens what is below a granted root, and nothing else.

Invariant: a path is resolved by the kernel from the root's fd, beneath it, without any link, on its own file system;
what was found is looked at before it is opened, so that no device, FIFO or socket is ever touched. There is no other
way: a kernel without openat2 refuses.
"""

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from aaos.broker.faults import fault
from aaos.core.envelope import Submitter
from aaos.core.errors import DeniedError, ToolError
from aaos.core.ports import Root
from aaos.core.text import quoted
from worker.wall import syscalls

Acting = Callable[[int, int, Sequence[int]], AbstractContextManager[None]]

BENEATH = (
    syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_XDEV
)
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_RACES = 8  # EAGAIN: something was renamed while the kernel walked


def relative_to(root: Root, path: str) -> str:
    """`path`, which is at or below the root, as it is resolved from the root's fd."""
    return path[len(root.path.rstrip("/")) + 1 :] or "."


def is_below(root: Root, path: str) -> bool:
    """Whether `path` is the root or below it, by whole names."""
    return path == root.path or path.startswith(f"{root.path.rstrip('/')}/")


def look(root: Root, relative: str) -> int:
    """An O_PATH fd of what is there now; the caller closes it. Raises OSError."""
    for attempt in range(_RACES):
        try:
            return syscalls.openat2(root.fd, relative, flags=_LOOK, resolve=BENEATH)
        except BlockingIOError:
            if attempt == _RACES - 1:
                raise
    raise AssertionError("unreachable")


def reopen(fd: int, flags: int) -> int:
    """The file of an O_PATH fd, opened with the rights of this moment; no name is resolved. Raises OSError."""
    return os.open(f"/proc/self/fd/{fd}", flags | _OPEN)


def require_regular(status: os.stat_result, path: str) -> None:
    """Raises ToolError: a directory, device, FIFO, socket or link is not read or written."""
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return
    shown = quoted(path, max_chars=200)
    if stat.S_ISDIR(mode):
        raise ToolError(f"{shown} is a directory", "name a file in it, or list it with file_list")
    if stat.S_ISLNK(mode):
        raise DeniedError(f"{shown} is a symbolic link", "name the path that the link leads to")
    raise ToolError(f"{shown} is not a regular file", "name a regular file")


def acting(act: Acting, who: Submitter) -> AbstractContextManager[None]:
    """The file rights of `who`, for this thread, until the block ends."""
    return act(who.uid, who.gid, who.groups)


def full_path(root: Root, relative: str) -> str:
    """The inverse of `relative_to`."""
    return root.path if relative == "." else f"{root.path.rstrip('/')}/{relative}"


def open_regular(root: Root, relative: str) -> int:
    """A read-only fd of a regular file; the caller closes it. Raises AaosError."""
    path = full_path(root, relative)
    try:
        found = look(root, relative)
        try:
            require_regular(os.fstat(found), path)
            return reopen(found, os.O_RDONLY)
        finally:
            os.close(found)
    except OSError as error:
        raise fault(error, path) from error
