"""Whether a path of the machine is root's alone: what a wrapper names is found there by a daemon that is root.

Invariant: a path passes only when every name on the way to it, links and what they lead to included, belongs to root
and nobody else could put another file there. Of a directory that passes, what is in it was not looked at.
"""

import os
import shlex
import stat

from aaos.core.errors import ConfinementError, NotFoundError

MAX_LINKS = 40  # as the kernel follows; path_resolution(7)
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def require_trusted(path: str) -> str:
    """Where the absolute `path` leads. Raises ConfinementError when others than root can change that, NotFoundError."""
    found, left, links = "/", path.split("/"), 0
    _check("/", _status("/"))
    while left:
        name = left.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            found = os.path.dirname(found)
            continue
        step = os.path.join(found, name)
        status = _status(step)
        _check(step, status)
        if not stat.S_ISLNK(status.st_mode):
            found = step
            continue
        links += 1
        if links > MAX_LINKS:
            raise NotFoundError(f"{path}: more than {MAX_LINKS} links", "name the file itself")
        target = os.readlink(step)
        left = [*target.split("/"), *left]
        found = "/" if target.startswith("/") else found
    return found


def _status(path: str) -> os.stat_result:
    try:
        return os.lstat(path)
    except OSError as error:
        raise NotFoundError(f"{path} is not there: {error.strerror}", "name what is there") from error


def _check(path: str, status: os.stat_result) -> None:
    """A link has no mode of its own; in a sticky directory, such as /tmp, nobody replaces what is root's."""
    quoted = shlex.quote(path)
    if status.st_uid != 0:
        message = f"{path} can be changed by others than root: it belongs to uid {status.st_uid}"
        raise ConfinementError(message, f"chown -h root {quoted}")
    is_sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if not stat.S_ISLNK(status.st_mode) and not is_sticky and status.st_mode & _OTHERS_MAY_WRITE:
        raise ConfinementError(f"{path} can be changed by others than root", f"chmod go-w {quoted}")
