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
    """A summary of each path."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison of two or more paths."""

    paths: tuple[str, ...]


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


Work = Summarise | Compare | Report | Search | Count


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing to do; `output` is the file that its own result goes to, or ""."""

    work: Work
    output: str = ""


Parsed = Clause | Write
