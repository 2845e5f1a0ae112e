"""Opens the small regular files that operators write: settings, roles, wrappers, models; and finds them.

Invariant: nothing but a regular file is read, no link in the last name is followed, nothing blocks, memory is bounded.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from aaos.core.errors import SettingsError

MAX_DROP_INS = 64
MAX_FILES = 256

Drafts = Mapping[Path, bytes]  # files as they would be, to be tried before they are put in place
NO_DRAFTS: Drafts = MappingProxyType({})


def drop_ins(main: Path, ending: str, *, drafts: Drafts = NO_DRAFTS) -> list[Path]:
    """The files with this ending in the directory beside `main` that is called as it with `.d` behind, by name.

    Raises SettingsError: the directory cannot be read, or holds too many.
    """
    directory = main.with_name(f"{main.name}.d")
    try:
        found = {entry for entry in directory.iterdir() if entry.name.endswith(ending)}
    except FileNotFoundError:
        found = set()
    except OSError as error:
        raise _unreadable(directory, error) from error
    found |= {draft for draft in drafts if draft.parent == directory and draft.name.endswith(ending)}
    if len(found) > MAX_DROP_INS:
        raise SettingsError(f"{directory}: {len(found)} files", f"at most {MAX_DROP_INS} are possible; join them")
    return sorted(found)


def files_in(directory: Path, ending: str, *, kind: str) -> list[Path]:
    """The files of a kind that operators write one by one, by name; none where the directory is missing.

    Raises SettingsError: the directory cannot be read, or holds too many.
    """
    try:
        files = sorted(entry for entry in directory.iterdir() if entry.name.endswith(ending) and entry.name[0] != ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(directory, error) from error
    if len(files) > MAX_FILES:
        raise SettingsError(f"{directory}: {len(files)} {kind} files", f"at most {MAX_FILES} are possible")
    return files


def read_small_file(path: Path, *, max_bytes: int, drafts: Drafts = NO_DRAFTS) -> bytes:
    """The whole content. Raises SettingsError: missing, not readable, not a regular file, larger than `max_bytes`."""
    if path in drafts:
        return drafts[path]
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"{path}: cannot be opened: {reason}", f"check it with: ls -l {path}") from error
    try:
        return _read(fd, path, max_bytes)
    finally:
        os.close(fd)


def _unreadable(directory: Path, error: OSError) -> SettingsError:
    return SettingsError(f"{directory}: cannot be read: {error.strerror}", f"check it with: ls -ld {directory}")


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
