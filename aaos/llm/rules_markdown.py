"""Markdown of tier T0's documents: foreign text made inert, numbers made readable, tables and quotes.

Invariant: what comes from a file can't become markup, a link or a control sequence in a document: it is escaped here,
and every other part of tier T0 builds documents through these functions only. Syntax: CommonMark 0.31 and GFM tables.
"""

import re
from collections.abc import Iterable, Sequence

from aaos.core.text import escape_for_terminal

# What can start emphasis, code, links, HTML, entities, tables or strike-through inside a line. An underscore between
# letters or digits is plain in CommonMark (rule 2 of emphasis), so names like `file_read` stay readable.
_INLINE = re.compile(r"[\\`*\[\]<|]|(?<![^\W_])_|_(?![^\W_])|~~|&(?=#?\w{1,40};)")
_BLOCK = re.compile(r"(?:[#>+=-]|\d{1,9}[.)])(?=\s|$)|[-=_]{2,}|~{3}")
_SPACES = re.compile(r"\s+")
_BACKTICKS = re.compile(r"`+")
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def one_line(text: str, max_chars: int) -> str:
    """Foreign text on one line, without control characters, cut at a word with `…` when it is over `max_chars`."""
    flat = escape_for_terminal(_SPACES.sub(" ", text[: 4 * max_chars + 64])).strip()
    if len(flat) <= max_chars:
        return flat
    head = flat[: max_chars - 1]
    at_word, space, _ = head.rpartition(" ")
    return f"{at_word if space and len(at_word) >= max_chars // 2 else head}…"


def inert(text: str, max_chars: int = 300) -> str:
    """Foreign text as one line of plain Markdown text: nothing in it is markup."""
    flat = one_line(text, max_chars)
    escaped = _INLINE.sub(lambda match: f"\\{match[0]}" if match[0] != "~~" else "\\~\\~", flat)
    block = _BLOCK.match(escaped)
    if not block:
        return escaped
    at = block.end() - 1 if escaped[0].isdigit() else 0
    return f"{escaped[:at]}\\{escaped[at:]}"


def code(text: str, max_chars: int = 300) -> str:
    """Foreign text as an inline code span, also when it holds backticks; for paths, names and matched lines."""
    flat = one_line(text, max_chars)
    if not flat:
        return "(empty)"
    longest = max((len(run) for run in _BACKTICKS.findall(flat)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if flat[0] == "`" or flat[-1] == "`" else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def cell(markdown: str) -> str:
    """A piece of Markdown as a cell of a table: GFM splits at every bar that has no backslash, code spans included."""
    return re.sub(r"(?<!\\)\|", r"\\|", markdown).replace("\n", " ")


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset()) -> str:
    """A GFM table; `header` and `rows` are Markdown already, `right` are the columns that hold numbers."""
    lines = [_row(header), _row(["---:" if column in right else "---" for column in range(len(header))])]
    lines.extend(_row(row) for row in rows)
    return "\n".join(lines)


def bullets(items: Iterable[str]) -> str:
    """A list; each item is Markdown on one line."""
    return "\n".join(f"- {item}" for item in items)


def document(*blocks: str) -> str:
    """Blocks joined by one empty line, empty ones left out; ends with one line feed."""
    return "\n\n".join(block.strip("\n") for block in blocks if block.strip()) + "\n"


def demoted(markdown: str) -> str:
    """A document as a part of another: its headings go down by one level."""
    return "\n".join(f"#{line}" if re.match(r"#{1,5} ", line) else line for line in markdown.splitlines())


def number(value: float) -> str:
    """A number with thousands separators: `1,234`, `0.5`; whole numbers without a fraction."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.2f}"


def amount(count: int, noun: str, plural: str = "") -> str:
    """`1 line`, `2,000 lines`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def size(count_bytes: float) -> str:
    """Bytes for people: `812 bytes`, `34.3 KiB`."""
    value, unit = float(count_bytes), 0
    while abs(value) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return amount(int(value), "byte") if unit == 0 else f"{value:,.1f} {_UNITS[unit]}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell(text) or ' ' for text in cells)} |"
