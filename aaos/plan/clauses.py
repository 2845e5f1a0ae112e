"""What the clauses of a goal ask for, as types: the meaning of the documented shapes.

Invariant: paths are texts as the goal names them; `shapes` gives them their meaning. Choices here carry the words that
tier T0's structured tasks use.
"""

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What can be counted."""

    LINES = "lines"
    WORDS = "words"
    CHARACTERS = "characters"
    BYTES = "bytes"
    RECORDS = "records"
    MATCHES = "matches"
    MATCHING_LINES = "matching-lines"


@dataclass(frozen=True, slots=True)
class Pattern:
    """What to look for: plain text, or with `is_regex` a pattern of the grep tool."""

    text: str
    is_regex: bool = False
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Summarise:
    """A summary of each path and each page; of what was fetched when nothing is named."""

    paths: tuple[str, ...]
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison of two or more paths or pages; of what was fetched or summarised when nothing is named."""

    paths: tuple[str, ...]
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Records of one file, in an order, filtered by words."""

    path: str
    order: str
    count: int
    field: str
    noun: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """The lines that match."""

    paths: tuple[str, ...]
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are; `pattern` goes with the units of matches, `noun` and `words` with records."""

    paths: tuple[str, ...]
    unit: Unit
    pattern: Pattern | None = None
    noun: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fetch:
    """The text of each page. An address is in its normal form."""

    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListStories:
    """The `count` top stories of each page; of what was fetched when no page is named."""

    urls: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class CompareStories:
    """A comparison of the `count` top stories of two or more pages; of what was fetched when no page is named."""

    urls: tuple[str, ...]
    count: int


class Thing(StrEnum):
    """What a goal says shall be written."""

    COMPARISON = "comparison"
    SUMMARY = "summary"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class Write:
    """The results of the clauses before it, or the comparison of what they read, go to a file."""

    what: Thing
    output: str


Work = Summarise | Compare | Report | Search | Count | Fetch | ListStories | CompareStories


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing to do; `output` is the file that its own result goes to, or ""."""

    work: Work
    output: str = ""


Parsed = Clause | Write
