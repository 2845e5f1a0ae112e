"""The control files below a writable root: what must be covered read-only behind the wall.

Invariant: a root that cannot be searched whole within the bounds is refused as a kernel-held write grant.
"""

import os
import stat
from collections import deque
from itertools import islice

from aaos.core.errors import ConfinementError
from aaos.core.paths import is_control_path
from aaos.core.ports import Root

MAX_ENTRIES = 20_000
MAX_DEPTH = 12


def control_paths(root: Root) -> tuple[str, ...]:
    """Paths of control files relative to the root, which is a directory, never following a link.

    Raises ConfinementError past the bounds, and for a link in place of a control file: a mount cannot cover it.
    """
    found: list[str] = []
    queue, left = deque([(".", 0)]), MAX_ENTRIES
    while queue:
        relative, depth = queue.popleft()
        entries = _entries(root, relative, limit=left)
        left -= len(entries)
        if left <= 0 or depth > MAX_DEPTH:
            raise ConfinementError(
                f"{root.path} is too large to be granted for writing as a whole", "name a subdirectory"
            )
        for name, kind in entries:
            path = os.path.normpath(os.path.join(relative, name))
            if is_control_path(f"/{path}"):
                found.append(_covered(root, path, kind))
            elif kind == stat.S_IFDIR:
                queue.append((path, depth + 1))
    return tuple(sorted(found))


def _covered(root: Root, path: str, kind: int) -> str:
    if kind == stat.S_IFLNK:
        raise ConfinementError(f"{root.path}/{path} is a link: it cannot be covered", "name a subdirectory")
    return path


def _entries(root: Root, relative: str, *, limit: int) -> list[tuple[str, int]]:
    """Names and kinds (S_IFDIR, S_IFLNK or 0) of a directory, at most `limit`; none when it has just gone."""
    try:
        fd = os.open(relative, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root.fd)
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"{root.path}/{relative} cannot be searched for control files: {error.strerror}"
        raise ConfinementError(message, "try again, or name a subdirectory") from error
    try:
        with os.scandir(fd) as entries:
            return [(entry.name, _kind(entry)) for entry in islice(entries, limit)]
    finally:
        os.close(fd)


def _kind(entry: "os.DirEntry[str]") -> int:
    if entry.is_symlink():
        return stat.S_IFLNK
    return stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else 0
