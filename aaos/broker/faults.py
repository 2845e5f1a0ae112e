"""What the kernel says of a path, as one of our errors: what happened to which path, and what to do next.

Invariant: every errno gives a typed error; none is swallowed, none is retried here.
"""

import errno

from aaos.core.errors import AaosError, DeniedError, StorageError, ToolError
from aaos.core.text import quoted


class MissingError(ToolError):
    """There is no such file."""


_TOOL_FAULTS = {
    errno.ENOTDIR: ("is not below a directory", "list the directory above it with file_list"),
    errno.EISDIR: ("is a directory", "name a file in it, or list it with file_list"),
    errno.ENAMETOOLONG: ("has a name that is too long", "use names of at most 255 bytes"),
    errno.EAGAIN: ("is leased or being renamed by another program", "try again"),
    errno.ETXTBSY: ("is a program that is running", "stop it first"),
    errno.ENXIO: ("is not a regular file", "name a regular file"),
    errno.EINVAL: ("cannot be replaced in one step on this file system", "name a path on ext4, xfs, btrfs or tmpfs"),
}
_DENIALS = {
    errno.EACCES: ("may not be used with these rights", "change its permissions, or let its owner name the file"),
    errno.EPERM: ("may not be used with these rights", "check its owner and its attributes with lsattr"),
    errno.ELOOP: ("is or leads through a symbolic link", "name the path that the link leads to"),
    errno.EXDEV: ("leaves the granted directory or its file system", "grant the directory of the other file system"),
    errno.EROFS: ("is on a read-only file system", "name a path on a writable file system"),
}
_STORAGE_FAULTS = {
    errno.ENOSPC: ("the disk is full", "free space there, then submit again"),
    errno.EDQUOT: ("the disk quota is used up", "free space of this user, then submit again"),
    errno.EIO: ("the disk reports an error", "check it with dmesg"),
    errno.EMFILE: ("agentd has no free file descriptor", "raise LimitNOFILE= of agentd.service"),
    errno.ENFILE: ("the machine has no free file descriptor", "raise fs.file-max with sysctl"),
}


def fault(error: OSError, path: str) -> AaosError:
    """The error for what happened at `path`; the caller raises it from `error`."""
    number = error.errno or 0
    shown = quoted(path, max_chars=200)
    if number == errno.ENOENT:
        return MissingError(f"{shown} does not exist", "list the directory above it with file_list")
    if number in _TOOL_FAULTS:
        said, remedy = _TOOL_FAULTS[number]
        return ToolError(f"{shown} {said}", remedy)
    if number in _DENIALS:
        said, remedy = _DENIALS[number]
        return DeniedError(f"{shown} {said}", remedy)
    said, remedy = _STORAGE_FAULTS.get(number, (str(error.strerror), "see `journalctl -t agentd`"))
    return StorageError(f"{shown}: {said}", remedy)
