"""Globs over paths: their grammar, what they match and when one covers another. The only glob matcher of the daemon.

Grammar, on the names between slashes of a normal path: `*` any characters of one name, `?` one character, `[abc]`,
`[a-z]`, `[!abc]` one character of a set; `**` as a whole name: any number of names, none included, so that `/data/**`
covers `/data` and all below. A special character in brackets is itself: `[*]`. Braces and backslashes are refused, so
is every form that shells read differently. Characters are compared as code points: no case folding, no Unicode forms.

Invariant: matching takes time proportional to path times pattern, whatever the pattern. `is_within` is sound: it may
say no to a pattern that is within another, never yes to one that is not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from aaos.core.errors import InputError
from aaos.core.memo import memo
from aaos.core.paths import MAX_PATH_BYTES, is_normal
from aaos.core.text import quoted

MAX_WILD_NAMES = 64  # names in a pattern that has wildcards
MAX_STARS = 16

_SPECIAL = "*?[{}\\"
_LAST = 0x10FFFF


@dataclass(frozen=True, slots=True)
class CharSet:
    """Characters as sorted, disjoint, closed ranges of code points."""

    ranges: tuple[tuple[int, int], ...]

    def has(self, char: str) -> bool:
        code = ord(char)
        return any(low <= code <= high for low, high in self.ranges)

    def is_within(self, other: "CharSet") -> bool:
        return all(any(low <= start and end <= high for low, high in other.ranges) for start, end in self.ranges)


class _Star:
    """Any run of items: of characters in a name, of names in a path."""


STAR = _Star()
Char = str | CharSet | _Star
Name = str | tuple[Char, ...] | _Star
Matcher = Callable[[str], bool]
T = TypeVar("T")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed glob. `root` is the literal path that holds all it covers; `is_tree` says that it covers all of that."""

    names: tuple[Name, ...]
    root: str
    is_literal: bool
    is_tree: bool


def matches(pattern: str, path: str) -> bool:
    """Whether `pattern` covers `path`; no path that is not normal is covered. Raises InputError for a bad pattern."""
    return matcher(pattern)(path)


@memo(4096)
def matcher(pattern: str) -> Matcher:
    """The test that `matches` does, prepared once. Raises InputError for a bad pattern."""
    parsed = parse_pattern(pattern)
    root = parsed.root
    if parsed.is_literal:
        return root.__eq__
    if parsed.is_tree:
        prefix = "/" if root == "/" else root + "/"
        return lambda path: (path.startswith(prefix) or path == root) and is_normal(path)
    names = parsed.names
    return lambda path: is_normal(path) and _run_matches(names, _split(path), _name_matches)


@memo(4096)
def parse_pattern(pattern: str) -> Pattern:
    """The pattern as names. Raises InputError: it names the pattern and the wrong piece."""
    if not is_normal(pattern):
        raise _wrong(pattern, "is not an absolute path without '.', '..', '//' and trailing slash")
    if len(pattern.encode("utf-8", "surrogatepass")) > 4 * MAX_PATH_BYTES:
        raise _wrong(pattern, "is too long")
    names = tuple(_parse_name(pattern, name) for name in _split(pattern))
    literal = [name for name in names[: _first_wild(names)] if isinstance(name, str)]
    is_literal = len(literal) == len(names)
    if not is_literal:
        _refuse_heavy(pattern, names)
    root = "/" + "/".join(literal)
    return Pattern(names, root, is_literal, len(names) == len(literal) + 1 and names[-1] is STAR)


def is_within(child: str, parent: str) -> bool:
    """Whether every path that `child` covers is surely covered by `parent`. Raises InputError for a bad pattern."""
    return _run_within(parse_pattern(child).names, parse_pattern(parent).names, _name_within)


def quote(path: str) -> str:
    """The pattern that covers exactly `path`."""
    if not any(char in path for char in _SPECIAL):
        return path
    return "".join(f"[{char}]" if char in _SPECIAL else char for char in path)


# --- parsing ------------------------------------------------------------------------------------------------------


def _split(path: str) -> list[str]:
    return path[1:].split("/") if path != "/" else []


def _first_wild(names: Sequence[Name]) -> int:
    return next((index for index, name in enumerate(names) if not isinstance(name, str)), len(names))


def _parse_name(pattern: str, name: str) -> Name:
    if name == "**":
        return STAR
    if "**" in name:
        raise _wrong(pattern, "has '**' beside other characters; it must be a whole name")
    if not any(char in name for char in _SPECIAL):
        return name
    chars: list[Char] = []
    index = 0
    while index < len(name):
        char, index = _parse_char(pattern, name, index)
        chars.append(char)
    literal = "".join(char for char in chars if isinstance(char, str))
    if len(literal) < len(chars):
        return tuple(chars)
    if literal in (".", ".."):
        raise _wrong(pattern, "spells '.' or '..' with brackets")
    return literal


def _parse_char(pattern: str, name: str, index: int) -> tuple[Char, int]:
    char = name[index]
    if char == "*":
        return STAR, index + 1
    if char == "?":
        return CharSet(((0, _LAST),)), index + 1
    if char == "[":
        return _parse_set(pattern, name, index + 1)
    if char in _SPECIAL:
        raise _wrong(pattern, f"has {char!r}; write [{char}] for the character itself")
    return char, index + 1


def _parse_set(pattern: str, name: str, start: int) -> tuple[Char, int]:
    end = name.find("]", start)
    if end < 0:
        raise _wrong(pattern, "has '[' without ']'; write [[] for the character itself")
    body = name[start:end]
    negated = body.startswith("!") and len(body) > 1
    body = body[1:] if negated else body
    if not body or body[0] in "^-" or (body == "!" and not negated) or body[-1] == "-":
        raise _wrong(pattern, f"has the unclear set [{name[start:end]}]")
    ranges = _merged(_ranges(pattern, body))
    if negated:
        return CharSet(_complement(ranges)), end + 1
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return chr(ranges[0][0]), end + 1
    return CharSet(ranges), end + 1


def _ranges(pattern: str, body: str) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    index = 0
    while index < len(body):
        low = high = body[index]
        if body[index + 1 : index + 2] == "-":
            high = body[index + 2]
            index += 2
        if low > high or "-" in (low, high):
            raise _wrong(pattern, f"has the range {low}-{high}, which is empty or unclear")
        ranges.append((ord(low), ord(high)))
        index += 1
    return ranges


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _complement(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    starts = [0, *(high + 1 for _, high in ranges)]
    ends = [*(low - 1 for low, _ in ranges), _LAST]
    return tuple((low, high) for low, high in zip(starts, ends, strict=True) if low <= high)


def _refuse_heavy(pattern: str, names: Sequence[Name]) -> None:
    stars = sum(name is STAR for name in names)
    if any(one is STAR and two is STAR for one, two in pairwise(names)):
        raise _wrong(pattern, "has '**' twice in a row; once means the same")
    stars += sum(char is STAR for name in names if isinstance(name, tuple) for char in name)
    if stars > MAX_STARS or len(names) > MAX_WILD_NAMES:
        raise _wrong(pattern, f"has more than {MAX_STARS} stars or {MAX_WILD_NAMES} names")


def _wrong(pattern: str, why: str) -> InputError:
    return InputError(f"pattern {quoted(pattern)} {why}", "write it like /data/**, /data/*.txt or /data/file-[0-9].txt")


# --- matching and covering ----------------------------------------------------------------------------------------


def _name_matches(name: Name, text: str) -> bool:
    if isinstance(name, str):
        return name == text
    return isinstance(name, tuple) and _run_matches(name, text, _char_matches)


def _char_matches(char: Char, text: str) -> bool:
    return char == text if isinstance(char, str) else isinstance(char, CharSet) and char.has(text)


def _run_matches(items: Sequence[P], run: Sequence[T], one: Callable[[P, T], bool]) -> bool:
    """Whether `items`, where STAR stands for any run, match `run`; only the last star seen is ever tried again."""
    item, at, retry_item, retry_at = 0, 0, -1, 0
    while at < len(run):
        if item < len(items) and items[item] is STAR:
            retry_item, retry_at = item, at
            item += 1
        elif item < len(items) and one(items[item], run[at]):
            item, at = item + 1, at + 1
        elif retry_item >= 0:
            retry_at += 1
            item, at = retry_item + 1, retry_at
        else:
            return False
    return all(rest is STAR for rest in items[item:])


def _name_within(child: Name, parent: Name) -> bool:
    if isinstance(child, _Star) or isinstance(parent, _Star):
        return False
    return _run_within(tuple(child), tuple(parent), _char_within)


def _char_within(child: Char, parent: Char) -> bool:
    if isinstance(child, str):
        return _char_matches(parent, child)
    return isinstance(child, CharSet) and isinstance(parent, CharSet) and child.is_within(parent)


def _run_within(child: Sequence[T], parent: Sequence[T], one: Callable[[T, T], bool]) -> bool:
    """Whether each run that `child` stands for is one that `parent` stands for; STAR is only within STAR."""
    reached = {0}  # indexes in `child` at which parent[index:] may begin
    for item in parent:
        if item is STAR:
            reached = set(range(min(reached), len(child) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(child) and child[at] is not STAR and one(child[at], item)}
        if not reached:
            return False
    return len(child) in reached
