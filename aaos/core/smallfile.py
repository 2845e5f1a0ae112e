"""Opens the small regular files that operators write: settings and roles.

Invariant: nothing but a regular file is read, no link in the last name is followed, nothing blocks, memory is bounded.
"""

import os
import stat
from pathlib import Path

from aaos.core.errors import SettingsError


def read_small_file(path: Path, *, max_bytes: int) -> bytes:
    """The whole content. Raises SettingsError: missing, not readable, not a regular file, larger than `max_bytes`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"{path}: cannot be opened: {reason}", f"check it with: ls -l {path}") from error
    try:
        return _read(fd, path, max_bytes)
    finally:
        os.close(fd)


def _read(fd: int, path: Path, max_bytes: int) -> bytes:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise SettingsError(f"{path}: is not a regular file", f"put a regular file in its place: {path}")
    data = b""
    try:
        while len(data) <= max_bytes and (piece := os.read(fd, max_bytes + 1 - len(data))):
            data += piece
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}", f"check it with: ls -l {path}") from error
    if len(data) > max_bytes:
        raise SettingsError(f"{path}: is larger than {max_bytes} bytes", "make the file smaller")
    return data
