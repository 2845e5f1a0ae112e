"""The tools on single files: read, read many, write, edit. All work on fds that agentd opened for this one call.

Invariant: memory and output are bounded by the arguments whatever the file is; what is cut is told in the last line. A
marker with `offset=` follows a complete line; before one with `byte_offset=` stands a newline that is not of the file.
"""

import base64
import os
from collections.abc import Mapping

from worker.abi import Json
from worker.user.granted import Granted, Output, Task, ToolFailedError, shown

CHUNK_BYTES = 1_048_576
SCAN_BYTES = 268_435_456  # how far a line is looked for
EDIT_BYTES = 67_108_864
MIN_BYTES = 64


def read(task: Task) -> Output:
    """A page of a text file, by lines or by bytes."""
    args, file, budget = task.args, task.files[0], min(task.args["max_bytes"], task.limit_bytes)
    if args["encoding"] == "base64":
        return _base64_page(file, args["byte_offset"] or 0, budget)
    if args["byte_offset"] is not None:
        return _byte_page(file, args["byte_offset"], budget)
    return _line_page(file, args, budget)


def read_many(task: Task) -> Output:
    """Several text files, each under a header with its path and the length of what follows."""
    left, parts, cut = min(task.args["max_bytes"], task.limit_bytes), [], 0
    whole = {"offset": 1, "limit": CHUNK_BYTES, "numbered": False}
    for index, file in enumerate(task.files):
        try:
            page = _line_page(file, whole, max(MIN_BYTES, left // (len(task.files) - index)))
        except ToolFailedError as error:
            page = Output(str(error))
        parts.append(f"--- {shown(file.path)} ({len(page.text.encode())} bytes) ---\n{page.text}")
        left, cut = left - len(page.text.encode()), cut + page.truncated
    text = "\n".join(parts)
    if not cut:
        return Output(text)
    return Output(
        f"{text}\n[cut: {cut} of {len(parts)} files are not whole; continue with file_read of each]", truncated=True
    )


def write(task: Task) -> Output:
    """The content into the buffer that agentd publishes."""
    _write_all(task.files[0].fd, task.args["content"].encode())
    return Output("")


def edit(task: Task) -> Output:
    """The file with one exact text replaced, into the buffer that agentd publishes."""
    source = next(file for file in task.files if file.use == "read")
    target = next(file for file in task.files if file.use == "write")
    content = _pread(source.fd, EDIT_BYTES + 1, 0)
    if len(content) > EDIT_BYTES:
        raise ToolFailedError(f"{shown(source.path)} is over {EDIT_BYTES} bytes: too large to edit")
    old = task.args["old"].encode()
    start = content.find(old)
    if start < 0:
        raise ToolFailedError(f"the old text does not occur in {shown(source.path)}: read the file and copy it exactly")
    if content.find(old, start + 1) >= 0:
        raise ToolFailedError(
            f"the old text occurs more than once in {shown(source.path)}: give more of what is around it"
        )
    view = memoryview(content)
    for part in (view[:start], task.args["new"].encode(), view[start + len(old) :]):
        _write_all(target.fd, part)
    return Output("")


def _line_page(file: Granted, args: Mapping[str, Json], budget: int) -> Output:
    first: int = args["offset"] or 1
    position = _line_position(file, first) if first > 1 else 0
    window = _pread(file.fd, budget + 1, position)
    if not window and first > 1:
        raise ToolFailedError(f"{shown(file.path)} has {first - 1} lines: there is no line {first}")
    kept, lines = _whole_lines(window, budget, args["limit"])
    if not lines and window:
        return _cut_inside(file, window, position, budget, f"inside line {first}, ")
    text = _decoded(file, kept)
    if args["numbered"]:
        text, lines = _numbered(text, first, budget)
        kept = kept[: _nth_line_end(kept, lines)]
    if len(kept) == len(window):
        return Output(text)
    end = position + len(kept)
    marker = f"[cut after line {first + lines - 1}, {_place(file, end)}; continue with offset={first + lines}]"
    return Output(text + marker, truncated=True)


def _byte_page(file: Granted, position: int, budget: int) -> Output:
    window = _pread(file.fd, budget + 1, position)
    if len(window) > budget:
        return _cut_inside(file, window, position, budget, "")
    return Output(_decoded(file, window))


def _base64_page(file: Granted, position: int, budget: int) -> Output:
    count = max(3, budget // 4 * 3)
    window = _pread(file.fd, count + 1, position)
    text = base64.b64encode(window[:count]).decode()
    if len(window) <= count:
        return Output(text)
    end = position + count
    return Output(f"{text}\n[cut at {_place(file, end)}; continue with byte_offset={end}]", truncated=True)


def _cut_inside(file: Granted, window: bytes, position: int, budget: int, where: str) -> Output:
    """A page that ends within a line, at the end of a character."""
    end = min(budget, len(window))
    for _ in range(3):  # a character of UTF-8 has at most three continuation bytes
        end -= end < len(window) and window[end] & 0xC0 == 0x80
    text = _decoded(file, window[:end])
    marker = f"[cut {where}at {_place(file, position + end)}; continue with byte_offset={position + end}]"
    return Output(f"{text}\n{marker}", truncated=True)


def _whole_lines(window: bytes, budget: int, limit: int) -> tuple[bytes, int]:
    """The complete lines at the start of `window` within `budget` bytes and `limit` lines, and how many they are."""
    end = len(window)
    if end > budget:
        end = window.rfind(b"\n", 0, budget) + 1
    lines = window.count(b"\n", 0, end)
    if end and window[end - 1] != 0x0A:
        lines += 1
    if lines > limit:
        lines, end = limit, _nth_line_end(window, limit)
    return window[:end], lines


def _numbered(text: str, first: int, budget: int) -> tuple[str, int]:
    """The lines with their numbers as far as they fit, at least one, and how many they are."""
    parts: list[str] = []
    used = 0
    *whole, rest = text.split("\n")  # not splitlines(): it breaks lines at form feeds and Unicode separators, too
    for number, line in enumerate([*(f"{line}\n" for line in whole), *([rest] if rest else [])], first):
        part = f"{number:>6}\t{line}"
        used += len(part.encode())
        if used > budget and parts:
            break
        parts.append(part)
    return "".join(parts), len(parts)


def _line_position(file: Granted, line: int) -> int:
    """The byte at which `line`, counted from 1, begins."""
    position, seen = 0, 1
    while position < SCAN_BYTES:
        chunk = _pread(file.fd, CHUNK_BYTES, position)
        count = chunk.count(b"\n")
        if seen + count >= line:
            return position + _nth_line_end(chunk, line - seen)
        if len(chunk) < CHUNK_BYTES:
            total = seen + count - (chunk[-1:] == b"\n" or not chunk)
            raise ToolFailedError(f"{shown(file.path)} has {total} lines: there is no line {line}")
        position, seen = position + len(chunk), seen + count
    raise ToolFailedError(
        f"line {line} is not within the first {SCAN_BYTES} bytes of {shown(file.path)}: use byte_offset"
    )


def _nth_line_end(data: bytes, lines: int) -> int:
    """The index after the `lines`-th newline, or the end."""
    end = 0
    for _ in range(lines):
        found = data.find(b"\n", end)
        if found < 0:
            return len(data)
        end = found + 1
    return end


def _decoded(file: Granted, data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ToolFailedError(f"{shown(file.path)} is not UTF-8 text: ask for it with encoding=base64") from error
    if "\0" in text:
        raise ToolFailedError(f"{shown(file.path)} is binary (it has NUL bytes): ask for it with encoding=base64")
    return text


def _place(file: Granted, end: int) -> str:
    return f"byte {end} of {max(end, os.fstat(file.fd).st_size)}"


def _pread(fd: int, count: int, position: int) -> bytes:
    data = os.pread(fd, count, position)
    if len(data) == count or not data:
        return data
    parts, have = [data], len(data)
    while have < count and (data := os.pread(fd, count - have, position + have)):
        parts.append(data)
        have += len(data)
    return b"".join(parts)


def _write_all(fd: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view[:CHUNK_BYTES]) :]
