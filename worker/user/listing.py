"""Walks below a granted root: `file_list`, `glob`, and the walk that `grep` makes.

Invariant: no link is followed, and entries, depth, memory and time are bounded; what a bound left out is told. A
`listing` is what agentd saw of a directory that is not mounted here: a JSON list of [path below it, kind, size].
"""

import heapq
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from worker.abi import LARGE_BYTES
from worker.pattern import Pattern, PatternError
from worker.user.granted import Granted, Output, Task, ToolFailedError, shown

MAX_DEPTH = 32
MAX_ENTRIES = 200_000
MAX_DIRECTORY = 20_000
SEARCH_S = 5.0

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
Names = tuple[str, ...]
Segment = Pattern | None  # None is `**`


@dataclass(slots=True)
class Bounds:
    """What a search may still spend. `is_cut`: it was all spent; `last`: the entry that was visited last."""

    until_s: float = field(default_factory=lambda: time.monotonic() + SEARCH_S)
    left: int = MAX_ENTRIES
    is_cut: bool = False
    last: Names = ()
    unread: int = 0

    def visit(self, names: Names) -> bool:
        """Spend one entry; False when entries or time are used up."""
        self.left -= 1
        if self.left < 0 or self.is_late():
            self.is_cut = True
            return False
        self.last = names
        return True

    def is_late(self) -> bool:
        """Whether the time is used up."""
        self.is_cut |= time.monotonic() > self.until_s
        return self.is_cut


def file_list(task: Task) -> Output:
    """One directory: kind, size and name of each entry, sorted by name, after `after`."""
    after, count, granted = task.args["after"], task.args["limit"] + 1, task.files[0]
    if granted.use == "listing":
        found = [entry for entry in _listed(granted) if entry[0] > after][:count]
    else:
        fd = _open(granted.path)
        try:
            found = [
                (name, kind, _size(name, fd))
                for name, kind in _first(fd, count, f"{after}\0" if after else "", Bounds())
            ]
        finally:
            os.close(fd)
    lines = [f"{kind:<5} {size:>12} {shown(name)}" for name, kind, size in found]
    return _page(lines[: count - 1], [name for name, _, _ in found], task.limit_bytes, is_cut=len(found) == count)


def glob(task: Task) -> Output:
    """The paths of files below a directory that match a pattern, in the order of a walk, after `after`."""
    args, granted, bounds = task.args, task.files[0], Bounds()
    segments, limit = _segments(args["pattern"]), args["limit"]
    after: Names = tuple(args["after"].split("/")) if args["after"] else ()
    if granted.use == "listing":
        every: Iterable[tuple[Names, str]] = ((tuple(p.split("/")), kind) for p, kind, _ in _listed(granted))
    else:
        every = ((names, kind) for names, kind, _ in walk(granted.path, bounds, after=after))
    matching = (n for n, kind in every if kind == "file" and n > after and is_match(n, segments))
    paths = ["/".join(names) for names in islice(matching, limit + 1)]
    is_cut, stopped_at = len(paths) > limit or bounds.is_cut, "" if len(paths) > limit else "/".join(bounds.last)
    page = _page([shown(path) for path in paths[:limit]], paths, task.limit_bytes, is_cut=is_cut, stopped_at=stopped_at)
    return (
        page
        if not bounds.unread
        else Output(f"({bounds.unread} directories were not read)\n{page.text}", page.truncated)
    )


def walk(root: str, bounds: Bounds, *, after: Names = ()) -> Iterator[tuple[Names, str, int]]:
    """Every entry below `root` as (names, kind, fd of its directory), each directory sorted, from `after` on."""
    yield from _below(_open(root), (), bounds, after)


def is_match(names: Names, segments: Sequence[Segment]) -> bool:
    """Whether the names of a path match the segments of a pattern."""
    states = _passed({0}, segments)
    for name in names:
        ahead = {i if segments[i] is None else i + 1 for i in states if i < len(segments) and _fits(segments[i], name)}
        states = _passed(ahead, segments)
    return len(segments) in states


def segment(text: str) -> Pattern:
    """A file name's pattern: `*`, `?`, `[abc]`, `[!abc]`. Raises ToolFailedError."""
    parts, at = ["^"], 0
    while at < len(text):
        char, end = text[at], text.find("]", at + 2)
        if char == "[" and end > 0:
            inner = text[at + 1 : end].replace("\\", "\\\\").replace("^", "\\^")
            char, at = f"[^{inner[1:]}]" if inner[0] == "!" else f"[{inner}]", end
        else:
            char = {"*": ".*", "?": "."}.get(char) or (char if char.isalnum() else f"\\{char}")
        parts.append(char)
        at += 1
    try:
        return Pattern(f"{''.join(parts)}$")
    except PatternError as error:
        raise ToolFailedError(f"{shown(text)} is not a file name pattern: {error}") from error


def _segments(pattern: str) -> list[Segment]:
    return [None if part == "**" else segment(part) for part in pattern.strip("/").split("/")]


def _fits(segment: Segment, name: str) -> bool:
    return segment is None or segment.search(name)


def _passed(states: set[int], segments: Sequence[Segment]) -> set[int]:
    """With the states behind each `**`, which also stands for no name at all."""
    for i in range(len(segments)):
        if i in states and segments[i] is None:
            states.add(i + 1)
    return states


def _below(fd: int, above: Names, bounds: Bounds, after: Names) -> Iterator[tuple[Names, str, int]]:
    try:
        floor = after[len(above)] if len(after) > len(above) and after[: len(above)] == above else ""
        entries = _first(fd, MAX_DIRECTORY + 1, floor, bounds)
        for name, kind in entries[:MAX_DIRECTORY]:
            names = (*above, name)
            if not bounds.visit(names):
                return
            if names > after:
                yield names, kind, fd
            if kind == "dir":
                yield from _inside(fd, names, bounds, after)
        if len(entries) > MAX_DIRECTORY:
            bounds.left, bounds.is_cut = 0, True
    finally:
        os.close(fd)


def _inside(fd: int, names: Names, bounds: Bounds, after: Names) -> Iterator[tuple[Names, str, int]]:
    if len(names) >= MAX_DEPTH:
        bounds.unread += 1
        return
    try:
        inner = os.open(names[-1], _FLAGS, dir_fd=fd)
    except OSError:
        bounds.unread += 1
        return
    yield from _below(inner, names, bounds, after)


def _first(fd: int, count: int, floor: str, bounds: Bounds) -> list[tuple[str, str]]:
    """The first `count` entries of a directory by name, from `floor` on, however many there are."""
    with os.scandir(fd) as entries:
        found = heapq.nsmallest(
            count, ((e.name, _kind(e)) for e in entries if e.name >= floor and not bounds.is_late())
        )
    if bounds.is_late():
        raise ToolFailedError(f"a directory has too many entries to be listed in {SEARCH_S:g} s: name a smaller one")
    return found


def _page(lines: list[str], names: list[str], limit_bytes: int, *, is_cut: bool, stopped_at: str = "") -> Output:
    """As many lines as fit, and where to go on: behind the last one's name, or where the search stopped."""
    used, count = 0, 0
    while count < len(lines) and used + len(lines[count].encode()) + 1 <= limit_bytes:
        used, count = used + len(lines[count].encode()) + 1, count + 1
    text = "\n".join(lines[:count])
    if not is_cut and count == len(lines):
        return Output(text or "(nothing)")
    places = [stopped_at] if stopped_at and count == len(lines) else reversed(names[:count])
    after = next((place for place in places if _is_utf8(place)), "")
    return Output(f"{text}\n[cut: there may be more; continue with after={json.dumps(after)}]", truncated=True)


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in name)


def _listed(file: Granted) -> list[tuple[str, str, int]]:
    return [(name, kind, size) for name, kind, size in json.loads(os.pread(file.fd, LARGE_BYTES, 0))]


def _open(root: str) -> int:
    return os.open(root, _FLAGS)


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    return "dir" if entry.is_dir(follow_symlinks=False) else "file" if entry.is_file(follow_symlinks=False) else "other"


def _size(name: str, fd: int) -> int:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False).st_size
    except OSError:
        return 0
