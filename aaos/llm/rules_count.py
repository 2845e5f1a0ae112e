"""Counts over files that were read, and their document.

Invariant: units are those of wc(1) for lines, words and bytes; matches are counted without overlap; what was not read
whole is told beside its number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aaos.core.errors import ProviderError
from aaos.llm.rules_file import FileText
from aaos.llm.rules_markdown import amount, bullets, code, document, inert, number, table
from aaos.llm.rules_records import find_records
from aaos.llm.rules_select import Order, Query, select


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
class Counting:
    """What to count: `text` goes with matches, `noun` and `words` with records."""

    unit: Unit
    text: str = ""
    ignore_case: bool = False
    noun: str = ""
    words: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The unit in Markdown, as a plural."""
        match self.unit:
            case Unit.MATCHES:
                return f"occurrences of {code(self.text, 120)}{', in any case' if self.ignore_case else ''}"
            case Unit.MATCHING_LINES:
                return f"lines with {code(self.text, 120)}{', in any case' if self.ignore_case else ''}"
            case Unit.RECORDS:
                return inert(" ".join((*self.words, self.noun or "records")), 120)
            case _:
                return self.unit.value


@dataclass(frozen=True, slots=True)
class Counted:
    """One file's number, and how it came about."""

    path: str
    count: int
    caveat: str = ""
    how: str = ""


def count(file: FileText, counting: Counting) -> Counted:
    """The count of one file. Raises ProviderError when records are asked of a file that has none."""
    if counting.unit is Unit.RECORDS:
        return _records(file, counting)
    return Counted(file.path, _COUNTERS[counting.unit](file, counting), file.caveat)


def count_document(counting: Counting, counted: Sequence[Counted]) -> str:
    """The document of a count."""
    total = sum(one.count for one in counted)
    title = f"# {number(total)} {_SINGULARS.get(counting.unit, counting.told) if total == 1 else counting.told}"
    if len(counted) == 1:
        one = counted[0]
        return document(title, f"Counted in {code(one.path)}.{one.caveat}", one.how)
    rows = [[code(one.path), number(one.count)] for one in counted]
    caveats = [f"{code(one.path)}:{one.caveat}" for one in counted if one.caveat]
    how = "\n\n".join(dict.fromkeys(one.how for one in counted if one.how))
    whole = table(
        ["File", counting.told[:1].upper() + counting.told[1:]],
        [*rows, ["together", number(total)]],
        right=frozenset({1}),
    )
    return document(title, whole, bullets(caveats), how)


def _records(file: FileText, counting: Counting) -> Counted:
    records = find_records(file.lines)
    if records is None:
        raise ProviderError(
            f"{file.path} has no format of records that tier T0 knows, so its {counting.noun} can't be counted",
            f"count the lines, or the lines with a word: count the lines containing 'WORD' in {file.path}",
        )
    chosen = select(records, Query(Order.ALL, 0, "", counting.noun, counting.words))
    steps = [f"{amount(len(records.rows), 'record')} read as {records.format.value}"]
    steps += [f"{kept.after:,} of them have {code(kept.word)} in {code(kept.field)}" for kept in chosen.filters]
    if records.malformed:
        steps.append(f"{amount(records.malformed, 'line or record', 'lines or records')} could not be read")
    return Counted(file.path, len(chosen.considered), file.caveat, f"{'; '.join(steps)}.")


def _matches(file: FileText, counting: Counting) -> int:
    text = counting.text.casefold() if counting.ignore_case else counting.text
    return sum((line.casefold() if counting.ignore_case else line).count(text) for line in file.lines)


def _matching_lines(file: FileText, counting: Counting) -> int:
    text = counting.text.casefold() if counting.ignore_case else counting.text
    return sum(text in (line.casefold() if counting.ignore_case else line) for line in file.lines)


_SINGULARS = {Unit.LINES: "line", Unit.WORDS: "word", Unit.CHARACTERS: "character", Unit.BYTES: "byte"}
_COUNTERS: Mapping[Unit, Callable[[FileText, Counting], int]] = {
    Unit.LINES: lambda file, _: len(file.lines),
    Unit.WORDS: lambda file, _: file.word_count,
    Unit.CHARACTERS: lambda file, _: sum(map(len, file.lines)) + len(file.lines) - (not file.ends_with_newline),
    Unit.BYTES: lambda file, _: file.size_bytes,
    Unit.MATCHES: _matches,
    Unit.MATCHING_LINES: _matching_lines,
}
