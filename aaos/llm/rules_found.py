"""Matches of a search, collected from the pages of the `grep` tool, and their documents.

A page has lines `path:line: text`, and at its end `[cut: …; continue with offset=N]` when there is more. Patterns are
run by the tool alone, in linear time, never here.

Invariant: at most MAX_MATCHES matches are collected and SHOWN shown; more than that is told.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aaos.llm.rules_markdown import amount, bullets, code, document, inert
from aaos.llm.rules_talk import Made, Trouble, calls_of, lines_of, wanted
from aaos.llm.types import AskedCall

PAGE = 2_000
MAX_MATCHES = 20_000
SHOWN = 300

_PLACE = re.compile(r'(?P<path>"(?:[^"\\]|\\.){1,8192}"|/[^\n]*?):(?P<line>\d{1,15}): ')
_CONTINUE = re.compile(r"continue with offset=(\d{1,15})\]\Z")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for."""

    text: str
    is_regex: bool
    ignore_case: bool

    @property
    def told(self) -> str:
        """`text`, and how it is taken, in Markdown."""
        case = ", in any case" if self.ignore_case else ""
        return f"{'the pattern ' if self.is_regex else ''}{code(self.text, 200)}{case}"


@dataclass(frozen=True, slots=True)
class Match:
    """A line that matches."""

    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """The matches below one path; `is_whole` is False when the search stopped at a bound; `note` is the tool's own."""

    matches: tuple[Match, ...]
    is_whole: bool
    note: str = ""


def matches(made: Sequence[Made], path: str, looked_for: Wanted) -> Found | AskedCall | Trouble:
    """The matches below `path`, or the call that brings more of them, or why they can't be had."""
    found: list[Match] = []
    offset, note = 0, ""
    for page in calls_of(made, "grep", path):
        result = page.result
        if not result.ok:
            return Trouble(path, result.text)
        lines, _ = lines_of(result)
        here = [match for line in lines if (match := _match(line)) is not None]
        found += here
        note = lines[0][:200] if lines and not here else note
        if not result.truncated:
            return Found(tuple(found), is_whole=True, note=note)
        following = _CONTINUE.search(result.text, max(0, len(result.text) - 100))
        if not following or not here or len(found) >= MAX_MATCHES:
            return Found(tuple(found), is_whole=False, note=note)
        offset = int(following[1])
    args = {
        "path": path,
        "pattern": looked_for.text,
        "fixed": not looked_for.is_regex,
        "ignore_case": looked_for.ignore_case,
        "offset": offset,
        "limit": PAGE,
    }
    return wanted("grep", args)


def search_document(paths: Sequence[str], looked_for: Wanted, found: Sequence[Found]) -> str:
    """The document of a search."""
    every = [match for one in found for match in one.matches]
    is_whole = all(one.is_whole for one in found)
    return document(
        f"# Lines with {looked_for.told}",
        _verdict(paths, every, is_whole=is_whole),
        *_by_file(every[:SHOWN]),
        "" if len(every) <= SHOWN else f"… and {amount(len(every) - SHOWN, 'more line')}.",
        "\n".join(inert(one.note) for one in found if one.note not in ("", "(no match)")),
    )


def _verdict(paths: Sequence[str], every: Sequence[Match], *, is_whole: bool) -> str:
    where = ", ".join(code(path) for path in paths)
    if not every:
        return (
            f"No line of {where} matches."
            if is_whole
            else f"None was found in {where}, but **not all could be searched**."
        )
    files = len({match.path for match in every})
    in_files = f" in {amount(files, 'file')}" if files > 1 or len(paths) > 1 else ""
    at_least = "" if is_whole else "At least "
    more = "" if is_whole else " **The search stopped at its limit: there may be more.**"
    do_match = "matches" if len(every) == 1 else "match"
    return f"{at_least}{amount(len(every), 'line')} of {where}{in_files} {do_match}.{more}"


def _by_file(shown: Sequence[Match]) -> list[str]:
    counts = Counter(match.path for match in shown)
    blocks: list[str] = []
    for path in counts:
        lines = bullets(f"line {one.line}: {code(one.text, 240)}" for one in shown if one.path == path)
        blocks.append(lines if len(counts) == 1 else f"## {code(path)}\n\n{lines}")
    return blocks


def _match(line: str) -> Match | None:
    place = _PLACE.match(line)
    path = _path(place["path"]) if place else None
    return Match(path, int(place["line"]), line[place.end() :]) if place and path is not None else None


def _path(shown: str) -> str | None:
    """A path as the tool shows it: plain, or as a JSON string; None for what is no such string."""
    try:
        return str(json.loads(shown)) if shown.startswith('"') else shown
    except ValueError:
        return None
