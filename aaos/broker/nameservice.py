"""The files that the egress sees: copies of the machine's settings of name resolution and its trusted authorities.

Invariant: nothing else of the machine is in that directory, it is for the egress alone, and a copy is replaced whole.
Copies, not the files themselves: a file of /etc is often replaced by renaming, and a mount would keep showing the old.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from aaos.core.errors import StorageError

MAX_BYTES = 4 * 2**20
AUTHORITIES = "ca-certificates.crt"
RESOLVER = {"resolv.conf": Path("/etc/resolv.conf"), "hosts": Path("/etc/hosts"), "gai.conf": Path("/etc/gai.conf")}
# What needs a daemon or a module of its own is left out: behind the wall nothing can be loaded any more.
_SWITCH = b"hosts: files dns\n"

Marks = Mapping[str, tuple[int, int, int]]


class NameService:
    """The directory of copies."""

    def __init__(
        self,
        directory: Path,
        authorities: Path,
        *,
        owner: Callable[[], tuple[int, int]],
        resolver: Mapping[str, Path] = RESOLVER,
    ) -> None:
        self.directory = directory
        self._find_owner = owner
        self._owner = (-1, -1)
        self._sources = {**resolver, AUTHORITIES: authorities}
        self._copied: dict[str, tuple[int, int, int]] = {}

    def prepare(self) -> None:
        """Make the directory and copy everything. Raises StorageError, SettingsError when there is no such owner."""
        self._owner = self._find_owner()
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chown(self.directory, *self._owner)
            self._replace("nsswitch.conf", _SWITCH)
        except OSError as error:
            remedy = f"make room, or look at it: ls -ld {self.directory}"
            raise StorageError(f"{self.directory}: {error.strerror}", remedy) from error
        self._copied.clear()
        self.refresh()

    def refresh(self) -> bool:
        """Copy what has changed; whether the authorities have, which an egress reads once. Raises StorageError."""
        changed = [name for name, source in self._sources.items() if _mark(source) != self._copied.get(name)]
        for name in changed:
            self._copy(name)
        return AUTHORITIES in changed

    def _copy(self, name: str) -> None:
        mark = _mark(self._sources[name])
        try:
            self._replace(name, _read(self._sources[name]))
        except OSError as error:
            raise StorageError(f"{self._sources[name]}: {error.strerror}", "look at the file") from error
        self._copied[name] = mark

    def _replace(self, name: str, data: bytes) -> None:
        draft = self.directory / f".{name}.new"
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_bytes(data)
        os.chown(draft, *self._owner)
        draft.rename(self.directory / name)


def _mark(source: Path) -> tuple[int, int, int]:
    """What tells one state of a file from another; zeros for none."""
    try:
        status = os.stat(source)
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _read(source: Path) -> bytes:
    try:
        with open(source, "rb") as file:
            return file.read(MAX_BYTES)
    except FileNotFoundError:
        return b""
