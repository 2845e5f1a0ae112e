"""Puts files in place all together: each is whole, with its mode, and on the disk before any of them gets its name.

Invariant: until every file is written nothing has changed, and nothing is left over when one can't be. Content is never
readable for longer or for more than its own mode says.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aaos.core.errors import StorageError


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """A file as it is to be; no repr, since it may be a key. A missing directory is made for its owner and, unless the
    file is, for no one else."""

    path: Path
    data: bytes
    mode: int


def put_in_place(changes: Sequence[Change]) -> None:
    """Replaces the files. Raises StorageError: then nothing is changed, unless renaming itself failed half-way."""
    staged: list[tuple[Path, Change]] = []
    try:
        for change in changes:
            with _told(change.path):
                staged.append((_staged(change), change))
        for draft, change in staged:
            with _told(change.path):
                draft.rename(change.path)
                _sync(change.path.parent)
    finally:
        for draft, _ in staged:
            draft.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """The file is gone for good. Raises StorageError."""
    with _told(path, "removed; it still holds a key that was replaced"):
        path.unlink(missing_ok=True)
        _sync(path.parent)


def _staged(change: Change) -> Path:
    directory = change.path.parent
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True)
        directory.chmod(0o755 if change.mode & 0o004 else 0o700)
    draft = directory / f".{change.path.name}.{secrets.token_hex(8)}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(change.data)
            file.flush()
            os.fchmod(fd, change.mode)
            os.fsync(fd)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _told(path: Path, what: str = "written; nothing was changed") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = f"look at its directory, and for space: ls -ld {path.parent}; df {path.parent}"
        raise StorageError(f"{path}: {error.strerror}: it cannot be {what}", remedy) from error
