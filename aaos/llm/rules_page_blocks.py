"""The text of a web page as blocks: its lines without markup, each with its links and whether it is a heading.

Invariant: linear in the size of the text; the words of a block are found literally on the page, but for markup.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_LINE = 4_000

_LINK = re.compile(r"!?\[((?>(?:[^\[\]]|\[[^\[\]]*\])*))\]\((https?://(?>(?:[^\s()]|\([^\s()]*\))*))\)")
_HEADING = re.compile(r"(#{1,6})\s+(\S.*)")
_UNDERLINE = re.compile(r"\s*(={3,}|-{3,})\s*")
_ITEM = re.compile(r"(?:[-*+•]|\d{1,3}[.)])\s+")
_MARKS = re.compile(r"\*\*|__|~~|`|\\(?=[!-/:-@\[-`{-~])|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)")
_BARS = re.compile(r"\s*\|\s*")
_WORD = re.compile(r"[^\W\d_]")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Link:
    """A link: its words and the address it leads to."""

    text: str
    url: str

    @property
    def is_home(self) -> bool:
        """Whether it leads to the first page of a host."""
        found = urlsplit(self.url)
        return found.path in ("", "/") and not found.query


@dataclass(frozen=True, slots=True)
class Block:
    """A line of a page. `level` is a heading's, 0 for other lines; `is_apart` says that an empty line is before it."""

    line: int
    text: str
    links: tuple[Link, ...] = ()
    level: int = 0
    is_item: bool = False
    is_apart: bool = True

    @property
    def main_link(self) -> Link | None:
        """The link that is most of the block, or None."""
        longest = max(self.links, key=lambda link: len(link.text), default=None)
        return longest if longest and 10 * len(longest.text) >= 6 * len(self.text) else None


def blocks(lines: Sequence[str]) -> Iterator[Block]:
    """The blocks of a page given as its lines; lines without words are left out."""
    is_apart = True
    for at, raw in enumerate(lines):
        line = raw[:MAX_LINE].strip().lstrip("> ")
        if not line or _UNDERLINE.fullmatch(line):
            is_apart = True
            continue
        block = _block(line, at + 1, is_apart=is_apart, level=_underlined(lines, at))
        if block.text:
            yield block
            is_apart = False


def prose(lines: Sequence[str]) -> tuple[str, ...]:
    """A page's lines as they are read: without the addresses of links, and empty where only links are, as in menus.

    The lines of a page that is nothing but links stay.
    """
    kept = tuple("" if _is_links_alone(line) else without_links(line) for line in lines)
    return kept if any(kept) else tuple(map(without_links, lines))


def without_links(line: str) -> str:
    """A line of a page with the words of its links and without their addresses."""
    return _LINK.sub(r"\1", line[:MAX_LINE]) + line[MAX_LINE:]


def _is_links_alone(line: str) -> bool:
    if _HEADING.match(line) or not _LINK.search(line[:MAX_LINE]):
        return False
    return not _WORD.search(_LINK.sub(" ", line[:MAX_LINE]))


def _block(line: str, number: int, *, is_apart: bool, level: int) -> Block:
    heading = _HEADING.fullmatch(line)
    if heading:
        level, line = len(heading[1]), heading[2].rstrip("# ")
    item = None if level else _ITEM.match(line)
    rest = line[item.end() :] if item else line
    links = tuple(Link(text, found[2]) for found in _LINK.finditer(rest) if (text := _plain(found[1])))
    return Block(number, _plain(_LINK.sub(r"\1", rest)), links, level, item is not None, is_apart)


def _underlined(lines: Sequence[str], at: int) -> int:
    """The level of a heading that is underlined in place of being marked, or 0."""
    following = lines[at + 1][:MAX_LINE] if at + 1 < len(lines) else ""
    found = _UNDERLINE.fullmatch(following)
    return 0 if found is None else 1 if found[1][0] == "=" else 2


def _plain(text: str) -> str:
    """Words without emphasis, code marks, escapes and the bars between cells."""
    return _SPACES.sub(" ", _BARS.sub(" ", _MARKS.sub("", text))).strip()
