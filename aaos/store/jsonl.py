"""The copy of the audit as a file of JSON lines, for tools that read files.

Invariant: only whole lines are added: one write holds whole records, a record is never split over two writes, and a
line torn by a crash or a full disk is cut off before the next is written. Private (0600), never through a link.
"""

import errno
import os
import stat
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Final

from aaos.store.copies import Copied, Lost, losable

_WRITE_BYTES: Final = 65_536
_LOOK_BYTES: Final = 65_536
_LOOKS: Final = 16
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class JsonlCopy:
    """Appends to `path`; opens it again when it was moved away, as logrotate(8) does."""

    name = "jsonl"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._cut_bytes = 0

    def write(self, batch: Sequence[Copied]) -> Lost | None:
        """Append one line for each event; what was lost."""
        lines = [line(copied) for copied in batch]
        written, reason = 0, ""
        try:
            self._open()
            for group in _groups(lines):
                whole = self._append(b"".join(group))
                written += whole
                if whole < len(group):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            reason = f"{self._path}: {error.strerror or error}"
            self.close()
        return self._lost(losable(batch[written:]), reason)

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _lost(self, count: int, reason: str) -> Lost | None:
        if self._cut_bytes:
            count, reason = count + 1, reason or f"{self._path}: cut off a torn last line of {self._cut_bytes} bytes"
            self._cut_bytes = 0
        return Lost(self.name, count, reason) if count else None

    def _open(self) -> None:
        if self._fd >= 0 and not self._is_current():
            self.close()
        if self._fd < 0:
            self._fd = os.open(self._path, _FLAGS, 0o600)
            _check(self._fd)
            self._cut_bytes += _cut_torn_line(self._fd)

    def _is_current(self) -> bool:
        ours = os.fstat(self._fd)
        try:
            named = self._path.lstat()
        except FileNotFoundError:
            return False
        return (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)

    def _append(self, data: bytes) -> int:
        """The number of whole lines that were written; a file system that is full may take a part."""
        written = os.write(self._fd, data)
        if written < len(data):
            _cut_torn_line(self._fd)
        return data.count(b"\n", 0, written)


def line(copied: Copied) -> bytes:
    """An event as one line of ASCII JSON."""
    recorded, event = copied.recorded, copied.recorded.event
    head = f'{{"seq":{recorded.seq},"time_s":{recorded.time_s!r},"kind":{_text(event.kind)}'
    about = f'"run":{_text(event.run)},"subtask":{_text(event.subtask)},"agent":{_text(event.agent)}'
    return f'{head},{about},"fields":{copied.fields}}}\n'.encode("ascii")


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring_ascii(value)


def _groups(lines: Sequence[bytes]) -> list[list[bytes]]:
    """Whole lines, so many to a write that the syscalls are few."""
    groups: list[list[bytes]] = []
    room = 0
    for one in lines:
        if not groups or len(one) > room:
            groups.append([])
            room = _WRITE_BYTES
        groups[-1].append(one)
        room -= len(one)
    return groups


def _check(fd: int) -> None:
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_nlink != 1:
        raise OSError(errno.EPERM, "not a plain file of our own with one name")
    if stat.S_IMODE(info.st_mode) != 0o600:
        os.fchmod(fd, 0o600)


def _cut_torn_line(fd: int) -> int:
    """Cut off what follows the last line feed; the number of bytes that went. A very long tail is left alone."""
    size = os.fstat(fd).st_size
    begin = size
    for _ in range(_LOOKS):
        end, begin = begin, max(0, begin - _LOOK_BYTES)
        found = os.pread(fd, end - begin, begin).rfind(b"\n")
        if found >= 0 or begin == 0:
            keep = begin + found + 1
            if keep < size:
                os.ftruncate(fd, keep)
            return size - keep
    raise OSError(errno.EFBIG, f"its last line is longer than {_LOOKS * _LOOK_BYTES} bytes: not a file of ours")
