"""Which files of a directory tier T0 looks at, from the listing that the `file_list` tool gave.

Invariant: files that are left out are named with the reason; at most MAX_FILES files and MAX_BYTES are taken.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from aaos.llm.rules_markdown import code, size
from aaos.llm.rules_talk import Made, Trouble, calls_of, lines_of, wanted
from aaos.llm.types import AskedCall

MAX_FILES = 40
MAX_BYTES = 8_388_608
MAX_ENTRIES = 2_000

_ENTRY = re.compile(r"(?P<kind>file|dir|link|other) +(?P<size>\d{1,19}|-|\?) (?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory's files to read, and what is left out, each as Markdown with its reason."""

    files: tuple[str, ...]
    left_out: tuple[str, ...]


def listing(made: Sequence[Made], directory: str) -> Listing | AskedCall | Trouble:
    """The listing, or the call that brings it, or why it can't be had."""
    found = calls_of(made, "file_list", directory)
    if not found:
        return wanted("file_list", {"path": directory, "limit": MAX_ENTRIES})
    result = found[0].result
    if not result.ok:
        return Trouble(directory, result.text)
    lines, _ = lines_of(result)
    left_out = ["entries beyond the first page of the directory"] if result.truncated else []
    return _chosen(directory, lines, left_out)


def _chosen(directory: str, lines: Sequence[str], left_out: list[str]) -> Listing:
    files: list[str] = []
    total = directories = 0
    for line in lines:
        entry = _ENTRY.fullmatch(line)
        name = _name(entry["name"]) if entry else None
        if entry is None or name is None:
            left_out += [f"an entry whose name can't be used: {code(line, 100)}"] if line != "(nothing)" else []
            continue
        length = int(entry["size"]) if entry["size"].isdigit() else 0
        if entry["kind"] == "dir":
            directories += 1
        elif entry["kind"] != "file" or not length:
            left_out.append(f"{code(name, 100)} ({'empty' if entry['kind'] == 'file' else entry['kind']})")
        elif len(files) >= MAX_FILES or total + length > MAX_BYTES:
            left_out.append(f"{code(name, 100)} ({size(length)}: beyond what one summary takes)")
        else:
            files.append(f"{directory.rstrip('/')}/{name}")
            total += length
    if directories:
        left_out.append(f"{directories} director{'y' if directories == 1 else 'ies'} inside it")
    return Listing(tuple(files), tuple(left_out))


def _name(shown: str) -> str | None:
    """A name as the tool shows it: plain, or as a JSON string; None for one that has no form in a call."""
    if not shown.startswith('"'):
        return shown
    try:
        name = json.loads(shown)
    except ValueError:
        return None
    return name if isinstance(name, str) and "/" not in name else None
