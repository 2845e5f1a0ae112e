"""What a held call would change, as text for whoever approves it (APR-3).

Invariant: the text is made of the committed arguments and the pre-image, in bounded time and size; arguments are shown
whole or not at all; where a change is cut, it is cut in the middle, at a place that the content does not choose. The
text is foreign: who shows it marks it as such.
"""

import difflib
import json
from collections.abc import Mapping

from aaos.broker.binding import Bound
from aaos.core.errors import InputError
from worker.abi import Json

DIFF_BYTES = 65_536  # of each side
DIFF_LINES = 400
SHOWN_LINES = 200
LINE_CHARS = 500
WHOLE_CHARS = 65_536


def of_change(before: bytes | None, after: bytes) -> str:
    """The difference between two contents; for what is long or no text, what can be said of it."""
    if _is_plain(before or b"") and _is_plain(after):
        old, new = _lines(before or b""), _lines(after)
        found = difflib.unified_diff(old, new, "before", "after", lineterm="")
        return middle_cut(list(found) or ["nothing changes"])
    size = "nothing" if before is None else f"{len(before)} bytes"
    return middle_cut([f"{size} before, {len(after)} bytes after, too much to compare", *_lines(after)])


def of_size(size: int, after: bytes) -> str:
    """As `of_change`, for a file that is too long to be looked at."""
    return middle_cut([f"{size} bytes before, {len(after)} bytes after, too much to compare", *_lines(after)])


def of_bound(bound: Bound) -> str:
    """What the program is to see, added to its arguments: another content of these directories is a conflict."""
    size = f"{bound.files} files, {bound.size_bytes} bytes"
    return "\n".join(
        ("", "bound to what is now in:", *(f"  {path}" for path in bound.paths), f"  {size}, sha256 {bound.sha256}")
    )


def of_arguments(args: Mapping[str, Json]) -> str:
    """A call that changes no file of which the bytes are known before: its arguments, whole, a text line by line.

    Raises InputError for what is too long to be shown whole: they may be a program, of which no part may be hidden.
    """
    lines: list[str] = []
    for name, value in sorted(args.items()):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
        lines += [f"{name}:", *(f"  {line}" for line in text.split("\n"))]
    if (size := sum(map(len, lines))) > WHOLE_CHARS:
        message = f"arguments of {size} characters cannot be shown whole to whoever approves the call"
        raise InputError(message, f"make them shorter: {WHOLE_CHARS} characters at most")
    return "\n".join(lines)


def middle_cut(lines: list[str]) -> str:
    """The lines, each and all of them bounded."""
    if len(lines) > SHOWN_LINES:
        half = SHOWN_LINES // 2
        cut = f"[cut: {len(lines) - 2 * half} lines are not shown here]"
        lines = [*lines[:half], cut, *lines[-half:]]
    return "\n".join(map(_short, lines))


def _short(line: str) -> str:
    if len(line) <= LINE_CHARS:
        return line
    half = LINE_CHARS // 2
    return f"{line[:half]}[cut: {len(line) - 2 * half} characters]{line[-half:]}"


def _is_plain(content: bytes) -> bool:
    return len(content) <= DIFF_BYTES and content.count(b"\n") <= DIFF_LINES and b"\0" not in content


def _lines(content: bytes) -> list[str]:
    """The last one ends as all do, or says that it does not: else a change of that alone would not be seen."""
    lines = content.decode("utf-8", "backslashreplace").split("\n")
    return [*lines, "[no line feed at the end]"] if lines[-1] else lines[:-1]
