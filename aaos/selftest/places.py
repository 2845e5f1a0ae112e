"""The directories of a self-test: one granted for writing, one for reading, one not at all.

Invariant: all of it is below one private directory, which is gone at the end; what lies in it is worth nothing. Nothing
follows a link while it is removed (shutil.rmtree).
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aaos.core.errors import StorageError
from aaos.core.ids import Gid, Uid
from aaos.core.ports import Held, Root

NAME = "selftest"
FILES = ("rw/text", "rw/a", "rw/b", "rw/gone", "rw/.git/config", "ro/text", "ro/gone", "closed/secret")
LINKS = {"rw/link": "../closed/secret", "rw/magic": "/proc/self/root/etc/passwd"}


@dataclass(frozen=True, slots=True)
class Places:
    """Where they are, and who owns what was granted."""

    directory: Path
    owner: tuple[int, int]

    @property
    def writable(self) -> Path:
        """Granted for reading and writing."""
        return self.directory / "rw"

    @property
    def readable(self) -> Path:
        """Granted for reading."""
        return self.directory / "ro"

    @property
    def closed(self) -> Path:
        """Not granted."""
        return self.directory / "closed"


@contextmanager
def places(parent: Path, owner: tuple[int, int]) -> Iterator[Places]:
    """Make them below `parent`, and remove them. Raises StorageError."""
    try:
        made = Places(parent / NAME, owner)
        forget(parent)
        made.directory.mkdir(mode=0o700)
    except OSError as error:
        raise StorageError(f"no place for a self-test in {parent}: {error.strerror}", "see agentd doctor") from error
    try:
        _furnish(made)
        yield made
    except OSError as error:
        raise StorageError(f"no place for a self-test in {parent}: {error.strerror}", "see agentd doctor") from error
    finally:
        forget(parent)


def forget(parent: Path) -> None:
    """Remove what is there of a self-test that is over, or was cut off with its daemon."""
    shutil.rmtree(parent / NAME, ignore_errors=True)


def _furnish(made: Places) -> None:
    for name in ("rw", "ro", "closed", "rw/.git", "rw/.git/hooks", "rw/empty"):
        (made.directory / name).mkdir()
        (made.directory / name).chmod(0o755)
    for name in FILES:
        (made.directory / name).write_text("nothing of worth\n")
        (made.directory / name).chmod(0o666)  # so that nothing but the wall keeps it from being used
    script = made.writable / "script"
    script.write_text("#!/bin/true\n")
    script.chmod(0o755)
    for name, target in LINKS.items():
        (made.directory / name).symlink_to(target)
    for path in (made.directory, *made.directory.rglob("*")):
        if path != made.directory and made.closed not in (path, *path.parents):
            os.chown(path, *made.owner, follow_symlinks=False)


@contextmanager
def granted(made: Places) -> Iterator[tuple[Root, ...]]:
    """What a worker is given, held by the kernel."""
    fds: list[int] = []
    uid, gid = Uid(made.owner[0]), Gid(made.owner[1])
    try:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        fds.extend(os.open(path, flags) for path in (made.writable, made.readable))
        yield tuple(
            Root(str(path), fd, True, is_writable, False, uid, gid, Held.KERNEL)
            for path, fd, is_writable in zip((made.writable, made.readable), fds, (True, False), strict=True)
        )
    finally:
        for fd in fds:
            os.close(fd)
