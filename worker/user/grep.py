"""`grep`: the lines of a file, or of the files below a root, that match a pattern of `pattern`.

Invariant: linear time for every pattern, a bound on time, and bounded memory for files of any size and lines of any
length: of a line only the first LINE_BYTES are searched. Binary files are passed over and counted.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.abi import Json
from worker.pattern import Pattern, PatternError
from worker.user.granted import Granted, Output, Task, ToolFailedError, shown
from worker.user.listing import Bounds, segment, walk

CHUNK_BYTES = 262_144
LINE_BYTES = 16_384
SHOWN_CHARS = 400

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(slots=True)
class _Search:
    """What is looked for and what was passed over; `needle` is in every line that matches, if it is known."""

    pattern: Pattern | None
    needle: bytes
    bounds: Bounds
    binary: int = 0
    is_clipped: bool = False  # of a line something was not searched

    def is_match(self, line: bytes) -> bool:
        return self.needle in line and (self.pattern is None or self.pattern.search(line.decode("utf-8", "replace")))

    def beginning(self, line: bytes) -> bytes:
        """What is searched of a line."""
        self.is_clipped |= len(line) > LINE_BYTES
        return line[:LINE_BYTES]


def grep(task: Task) -> Output:
    """Matching lines as `path:line: text`, without the first `offset` of them."""
    args, search = task.args, _prepared(task.args)
    lines: list[str] = []
    seen = used = 0
    for path, number, line in _matches(task.files, search, segment(args["files"])):
        seen += 1
        if seen <= args["offset"]:
            continue
        text = line[: 4 * SHOWN_CHARS].decode("utf-8", "replace").rstrip("\r\n").replace("\0", "\ufffd")
        cut = f"{text[:SHOWN_CHARS]}…" if len(text) > SHOWN_CHARS else text
        lines.append(f"{shown(path)}:{number}: {cut}")
        used += len(lines[-1].encode()) + 1
        if len(lines) > args["limit"] or used > task.limit_bytes:
            marker = f"[cut: there is more; continue with offset={seen - 1}]"
            return Output("\n".join([*lines[:-1], marker]), truncated=True)
    if search.bounds.is_cut:
        lines.append("[cut: the search was stopped by its limits; narrow path, files or pattern]")
    elif search.is_clipped:
        lines.append(f"[cut: of longer lines only the first {LINE_BYTES} bytes were searched; see file_read]")
    return Output("\n".join(lines) or _nothing(search), truncated=search.bounds.is_cut or search.is_clipped)


def _nothing(search: _Search) -> str:
    return f"(no match; {search.binary} binary files were not searched)" if search.binary else "(no match)"


def _prepared(args: Mapping[str, Json]) -> _Search:
    text: str = args["pattern"]
    if args["fixed"] and args["ignore_case"]:
        text = "".join(c if c.isalnum() else f"\\{c}" for c in text)
    elif args["fixed"]:
        return _Search(None, text.encode(), Bounds())
    try:
        pattern = Pattern(text, ignore_case=args["ignore_case"])
    except PatternError as error:
        raise ToolFailedError(f"pattern {shown(text)}: {error}") from error
    return _Search(pattern, b"" if args["ignore_case"] else pattern.required.encode(), Bounds())


def _matches(granted: Sequence[Granted], search: _Search, names: Pattern) -> Iterator[tuple[str, int, bytes]]:
    for path, fd in _sources(granted, search.bounds, names):
        for number, line in _lines(fd, search):
            if search.is_match(line):
                yield path, number, line


def _sources(granted: Sequence[Granted], bounds: Bounds, names: Pattern) -> Iterator[tuple[str, int]]:
    for file in granted:
        if file.use == "read":
            if len(granted) == 1 or names.search(file.path.rpartition("/")[2]):
                yield file.path, file.fd
            continue
        for below, kind, directory in walk(file.path, bounds):
            if kind == "file" and names.search(below[-1]):
                yield from _opened(f"{file.path}/{'/'.join(below)}", below[-1], directory)


def _opened(path: str, name: str, directory: int) -> Iterator[tuple[str, int]]:
    try:
        fd = os.open(name, _FLAGS, dir_fd=directory)
    except OSError:
        return  # it vanished, or this worker may not read it
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            yield path, fd
    finally:
        os.close(fd)


def _lines(fd: int, search: _Search) -> Iterator[tuple[int, bytes]]:
    """Numbered lines, cut to LINE_BYTES; blocks that cannot hold a match are counted, not split."""
    position, number, rest = 0, 1, b""
    while data := os.pread(fd, CHUNK_BYTES, position):
        if position == 0 and b"\0" in data[:8192]:
            search.binary += 1
            return
        position += len(data)
        end = data.rfind(b"\n") + 1
        if not end:
            rest = search.beginning(rest + data)
            if search.bounds.is_late():
                return
            continue
        block, rest = rest + data[:end], search.beginning(data[end:])
        if search.bounds.is_late():
            return
        if search.needle not in block:
            number += block.count(b"\n")
            continue
        for line in block[:-1].split(b"\n"):
            if search.bounds.is_late():
                return
            yield number, search.beginning(line)
            number += 1
    if rest:
        yield number, rest
