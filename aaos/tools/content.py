"""Whether what a worker wrote is what its call's arguments say: the daemon's own word, before it is published.

Invariant: a buffer that passes holds exactly the bytes that the permitted arguments and the pre-image determine; a
hostile worker can make a write fail and cannot make it something else. Works on sealed memory files, in bounded memory.
"""

import hashlib
import mmap
import os
from collections.abc import Mapping

from aaos.core.errors import ToolError
from worker.abi import Json

_CHUNK = 1_048_576
_UNDO_TRIES = 64


def check_write(args: Mapping[str, Json], content: int, before: int) -> None:
    """`file_write`: the content is the argument, whatever was there `before`. Raises ToolError."""
    wanted = args["content"].encode()
    if before >= 0 or os.fstat(content).st_size != len(wanted) or not _is_at(content, 0, wanted):
        raise _otherwise()


def check_edit(args: Mapping[str, Json], content: int, before: int) -> None:
    """`file_edit`: the content is the pre-image with its one occurrence of `old` replaced. Raises ToolError."""
    old, new = args["old"].encode(), args["new"].encode()
    size = os.fstat(before).st_size
    start = _only_place(before, size, old)
    end = start + len(old)
    if os.fstat(content).st_size != size - len(old) + len(new) or not _is_at(content, start, new):
        raise _otherwise()
    if not _is_same(before, 0, content, other=0, count=start):
        raise _otherwise()
    if not _is_same(before, end, content, other=start + len(new), count=size - end):
        raise _otherwise()


def is_write_done(args: Mapping[str, Json], now: bytes) -> bool:
    """Whether a file that holds `now` is what `file_write` was to make it."""
    wanted: str = args["content"]
    return now == wanted.encode()


def is_edit_done(args: Mapping[str, Json], now: bytes, pre_hash: str) -> bool:
    """Whether undoing the edit in `now` gives the pre-image: then it was done. False when that cannot be told."""
    old, new = args["old"].encode(), args["new"].encode()
    start = now.find(new) if new else -1
    for _ in range(_UNDO_TRIES):
        if start < 0:
            return False
        if hashlib.sha256(now[:start] + old + now[start + len(new) :]).hexdigest() == pre_hash:
            return True
        start = now.find(new, start + 1)
    return False


def _only_place(fd: int, size: int, old: bytes) -> int:
    """Where `old` occurs. Raises ToolError unless it occurs exactly once, overlaps counted."""
    if size < len(old):
        raise _no_place()
    with mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as data:
        start = data.find(old)
        if start < 0:
            raise _no_place()
        if data.find(old, start + 1) >= 0:
            raise ToolError("the old text occurs more than once", "give more of what is around it")
    return start


def _is_same(fd: int, position: int, other_fd: int, *, other: int, count: int) -> bool:
    while count > 0:
        step = min(_CHUNK, count)
        if os.pread(fd, step, position) != os.pread(other_fd, step, other):
            return False
        position, other, count = position + step, other + step, count - step
    return True


def _is_at(fd: int, position: int, wanted: bytes) -> bool:
    return os.pread(fd, len(wanted), position) == wanted


def _no_place() -> ToolError:
    return ToolError("the old text does not occur in the file", "read the file and copy the text exactly")


def _otherwise() -> ToolError:
    return ToolError("the worker wrote something else than its call asked for: nothing was published", "call it again")
