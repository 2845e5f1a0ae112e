"""What is in a workspace as a list, and as a tar archive that comes in pieces.

Invariant: the tree is never trusted: no link is followed, no device, pipe or socket is opened, every path is resolved
beneath the root on its own file system. An archive is never much larger than what the files take of the disk: holes are
kept as holes, and further names of a file as links to its first one. Of a tree of any shape no more is in memory than
MAX_NAMES names, MAX_LINKED of first names, and the numbers of files with several names, which the image bounds.
"""

import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from aaos.broker import opening
from aaos.broker.files import Entry
from aaos.core.ports import Root
from worker.wall import syscalls

PIECE_BYTES = 262_144
MAX_NAMES = 200_000  # of all directories that are being walked
MAX_LINKED = 16_777_216  # characters of the first names of files that have several
MAX_PARTS = 65_536  # of one file with holes
_SECTOR_BYTES = 512
_PERMISSIONS = 0o777  # no setuid, setgid and sticky bits leave


@dataclass(slots=True)
class Told:
    """What went into an archive so far, and how many entries could not."""

    entries: int = 0
    skipped: int = 0


@dataclass(slots=True)
class _Linked:
    """The first names of files that have several, by inode; None where there is no room for more."""

    names: dict[int, str | None] = field(default_factory=dict)
    size: int = 0

    def add(self, inode: int, name: str) -> None:
        """Keep the first name of a file, as long as there is room."""
        has_room = self.size + len(name) <= MAX_LINKED
        self.names[inode] = name if has_room else None
        self.size += len(name) if has_room else 0


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    status: os.stat_result


def list_entries(root: Root, most: int) -> tuple[tuple[Entry, ...], bool]:
    """The first entries by their paths, and whether these are all."""
    entries: list[Entry] = []
    for found in _walk(root, Told()):
        if len(entries) == most:
            return tuple(entries), False
        kind = _kind(found.status.st_mode)
        entries.append(Entry(found.path, kind, found.status.st_size if kind == "file" else 0))
    return tuple(entries), True


def archive(root: Root, prefix: str, told: Told) -> Iterator[bytes]:
    """A tar archive (POSIX.1-2001, with GNU's sparse files) in pieces of PIECE_BYTES, each entry below `prefix`."""
    kept = bytearray()
    for data in _members(root, prefix, told):
        kept += data
        while len(kept) >= PIECE_BYTES:
            yield bytes(kept[:PIECE_BYTES])
            del kept[:PIECE_BYTES]
    if kept:
        yield bytes(kept)


def _members(root: Root, prefix: str, told: Told) -> Iterator[bytes]:
    linked = _Linked()
    for found in _walk(root, told):
        yield from _member(root, found, f"{prefix}/{found.path}", linked, told)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _walk(root: Root, told: Told) -> Iterator[_Found]:
    """All entries but the root, parents first; in memory at a time are the names beside and above, each without its
    directory, and MAX_NAMES at most: what a directory has beyond them is skipped.
    """
    waiting, names_open = [("", [""])], 1
    while waiting:
        above, names = waiting[-1]
        if not names:
            waiting.pop()
            continue
        path = above + names.pop()
        names_open -= 1
        if path:
            found = _look(root, path)
            if found is None:
                told.skipped += 1
                continue
            yield found
            if not stat.S_ISDIR(found.status.st_mode):
                continue
        most = MAX_NAMES - names_open
        below = _names(root, path, most + 1)
        if below is None or len(below) > most:
            told.skipped += 1
        for_later = sorted((below or [])[:most], reverse=True)
        names_open += len(for_later)
        waiting.append((f"{path}/" if path else "", for_later))


def _look(root: Root, path: str) -> _Found | None:
    try:
        fd = opening.look(root, path)
    except OSError:  # gone, or longer than a path may be
        return None
    try:
        return _Found(path, os.fstat(fd))
    finally:
        os.close(fd)


def _names(root: Root, path: str, most: int) -> list[str] | None:
    try:
        found = opening.look(root, path or ".")
    except OSError:
        return None
    try:
        fd = opening.reopen(found, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    finally:
        os.close(found)
    try:
        with os.scandir(fd) as entries:
            return [entry.name for entry in islice(entries, most)]
    except OSError:
        return None
    finally:
        os.close(fd)


def _member(root: Root, found: _Found, name: str, linked: _Linked, told: Told) -> Iterator[bytes]:
    info, status = _info(name, found.status), found.status
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        target = _target(root, found.path)
        if target is None:
            told.skipped += 1
            return
        info.type, info.linkname = tarfile.SYMTYPE, target
    elif stat.S_ISREG(mode):
        if status.st_nlink > 1 and status.st_ino in linked.names:
            first = linked.names[status.st_ino]
            if first is None:
                told.skipped += 1
                return
            info.type, info.linkname = tarfile.LNKTYPE, first
        else:
            if status.st_nlink > 1:
                linked.add(status.st_ino, name)
            yield from _file(root, found, info, told)
            return
    else:
        told.skipped += 1
        return
    told.entries += 1
    yield _header(info)


def _info(name: str, status: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(status.st_mode) & _PERMISSIONS
    info.uid, info.gid, info.mtime = status.st_uid, status.st_gid, max(0, int(status.st_mtime))
    return info


def _target(root: Root, path: str) -> str | None:
    try:
        fd = opening.look(root, path)
    except OSError:
        return None
    try:
        return os.readlink("", dir_fd=fd)
    except OSError:
        return None
    finally:
        os.close(fd)


def _file(root: Root, found: _Found, info: tarfile.TarInfo, told: Told) -> Iterator[bytes]:
    try:
        fd = syscalls.openat2(
            root.fd, found.path, flags=os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, resolve=opening.BENEATH
        )
    except OSError:
        told.skipped += 1
        return
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):  # it was exchanged in between
            told.skipped += 1
            return
        parts = _parts(fd, status)
        if parts is not None and len(parts) > MAX_PARTS:
            told.skipped += 1
            return
        told.entries += 1
        if parts is None:
            info.size = status.st_size
            yield _header(info)
            yield from _content(fd, 0, status.st_size)
            yield _padding(status.st_size)
        else:
            yield from _sparse(fd, info, status.st_size, parts)
    finally:
        os.close(fd)


def _parts(fd: int, status: os.stat_result) -> list[tuple[int, int]] | None:
    """Where a file with holes has data: (offset, size); None of one without."""
    if status.st_blocks * _SECTOR_BYTES >= status.st_size:
        return None
    parts: list[tuple[int, int]] = []
    at = 0
    while at < status.st_size and len(parts) <= MAX_PARTS:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
            at = min(os.lseek(fd, begin, os.SEEK_HOLE), status.st_size)
        except OSError:  # ENXIO: no data from here on
            break
        if begin >= at:  # it grew smaller in between
            break
        parts.append((begin, at - begin))
    return parts


def _sparse(fd: int, info: tarfile.TarInfo, size: int, parts: list[tuple[int, int]]) -> Iterator[bytes]:
    """GNU tar's format 1.0: the map stands before the data. Source: tar(info), "PAX 1"."""
    numbers = [len(parts) + 1, *(number for part in parts for number in part), size, 0]
    text = "".join(f"{number}\n" for number in numbers).encode()
    table = text + _padding(len(text))
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": info.name,
        "GNU.sparse.realsize": str(size),
    }
    info.size = len(table) + sum(length for _, length in parts)
    yield _header(info)
    yield table
    for begin, length in parts:
        yield from _content(fd, begin, length)
    yield _padding(info.size)


def _content(fd: int, at: int, size: int) -> Iterator[bytes]:
    """Exactly so many bytes, zeros where the file has become shorter."""
    end = at + size
    while at < end:
        piece = os.pread(fd, min(PIECE_BYTES, end - at), at)
        if not piece:
            piece = bytes(min(PIECE_BYTES, end - at))
        at += len(piece)
        yield piece


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "link"
    return "dir" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"
