"""Files of records: which format a text has, and its records as rows of named fields.

Known formats: deb822 stanzas (deb822(5)), JSON lines and a JSON array of objects, CSV with comma, semicolon, tab or bar
(RFC 4180), and colon-separated lines such as passwd(5) and group(5). A text that is none of these has no records.

Invariant: values stay the text of the file; what can't be read as a record is counted in `malformed`, never guessed.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import assert_never

SAMPLE = 60
MAX_FIELDS = 256
MAX_VALUE = 16_384

Row = Mapping[str, str]


class Format(StrEnum):
    """The formats of records, by the names that reports use."""

    DEB822 = "deb822 stanzas"
    JSON_LINES = "JSON lines"
    JSON_ARRAY = "a JSON array"
    COMMA = "CSV"
    SEMICOLON = "CSV with semicolons"
    TAB = "tab-separated values"
    BAR = "bar-separated values"
    COLON = "colon-separated fields"
    LINES = "lines of text"


DELIMITERS: Mapping[Format, str] = {Format.TAB: "\t", Format.COMMA: ",", Format.SEMICOLON: ";", Format.BAR: "|"}

# Field names of the colon-separated files that have a manual page: passwd(5), shadow(5), group(5).
_COLON_NAMES: Mapping[int, tuple[str, ...]] = {
    7: ("login", "password", "uid", "gid", "gecos", "home", "shell"),
    9: ("login", "password", "changed", "minimum", "maximum", "warning", "inactive", "expires", "reserved"),
    4: ("group", "password", "gid", "members"),
}
_STANZA_FIELD = re.compile(r"([!-9;-~]{1,80}):(?:[ \t]+(.*)|)", re.S)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a file; `fields` in the order in which the file names them."""

    format: Format
    fields: tuple[str, ...]
    rows: tuple[Row, ...]
    malformed: int


def find_records(lines: Sequence[str]) -> Records | None:
    """The records of a text given as lines, or None when it has no format of records."""
    sample = list(islice((line for line in lines if line.strip()), SAMPLE))
    if not sample:
        return None
    found = detect(sample)
    return None if found is None else parse(lines, found)


def detect(sample: Sequence[str]) -> Format | None:
    """The format of the first non-empty lines of a text."""
    first = sample[0].lstrip("\ufeff").lstrip()
    if first.startswith("{") and _share(sample, _is_object) > 0.9:
        return Format.JSON_LINES
    if first.startswith("[") and not first.endswith("]"):
        return Format.JSON_ARRAY if _looks_like_array(sample) else None
    if first.startswith("[{"):
        return Format.JSON_ARRAY
    if _is_stanzas(sample):
        return Format.DEB822
    if _is_colon_separated(sample):
        return Format.COLON
    return next((kind for kind, mark in DELIMITERS.items() if _is_delimited(sample, mark)), None)


def parse(lines: Sequence[str], found: Format) -> Records:
    """The records of a text in a known format."""
    match found:
        case Format.DEB822:
            rows, malformed = _stanzas(lines)
        case Format.JSON_LINES:
            rows, malformed = _json_lines(lines)
        case Format.JSON_ARRAY:
            rows, malformed = _json_array(lines)
        case Format.COLON:
            rows, malformed = _colon_separated(lines)
        case Format.LINES:
            rows, malformed = [{"text": line, "length": str(len(line))} for line in lines], 0
        case Format.COMMA | Format.SEMICOLON | Format.TAB | Format.BAR:
            rows, malformed = _delimited(lines, DELIMITERS[found])
        case _:
            assert_never(found)
    fields = dict.fromkeys(name for row in rows for name in row)
    return Records(found, tuple(islice(fields, MAX_FIELDS)), tuple(rows), malformed)


def field_key(name: str) -> str:
    """A field's name folded for comparison: `Installed-Size`, `installed_size` and `installed size` are one."""
    return re.sub(r"[\W_]+", "", name).casefold()


def _share(sample: Sequence[str], test: Callable[[str], bool]) -> float:
    return sum(1 for line in sample if test(line)) / len(sample)


# --- deb822 -------------------------------------------------------------------------------------------------------


def _is_stanzas(sample: Sequence[str]) -> bool:
    heads = [line for line in sample if line[:1] not in (" ", "\t", "#")]
    matched = [match for line in heads if (match := _STANZA_FIELD.fullmatch(line))]
    names = {match[1] for match in matched}
    return len(matched) >= 2 and len(matched) >= 0.95 * len(heads) and len(names) >= 2 and sample[0] in heads


def _stanzas(lines: Sequence[str]) -> tuple[list[Row], int]:
    rows: list[Row] = []
    row: dict[str, list[str]] = {}
    last: list[str] | None = None
    malformed = 0
    for line in (*lines, ""):
        if not line.strip():
            if row:
                rows.append({name: "\n".join(parts)[:MAX_VALUE] for name, parts in row.items()})
            row, last = {}, None
        elif line[0] in " \t":
            malformed += last is None
            if last is not None:
                last.append(line.strip())
        elif line[0] != "#":
            match = _STANZA_FIELD.fullmatch(line)
            malformed += match is None or match[1] in row
            last = row.setdefault(match[1], [(match[2] or "").strip()]) if match else None
    return rows, malformed


# --- JSON ---------------------------------------------------------------------------------------------------------


def _is_object(line: str) -> bool:
    return isinstance(_loaded(line), dict)


def _looks_like_array(sample: Sequence[str]) -> bool:
    rest = "".join(line.strip() for line in sample).removeprefix("[").lstrip()
    return rest.startswith("{")


def _loaded(text: str) -> object:
    try:
        return json.loads(text.strip().lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None


def _json_lines(lines: Sequence[str]) -> tuple[list[Row], int]:
    documents = [_loaded(line) for line in lines if line.strip()]
    rows = [_flat(document) for document in documents if isinstance(document, dict)]
    return rows, len(documents) - len(rows)


def _json_array(lines: Sequence[str]) -> tuple[list[Row], int]:
    documents = _loaded("\n".join(lines))
    if not isinstance(documents, list):
        return [], 1
    rows = [_flat(document) for document in documents if isinstance(document, dict)]
    return rows, len(documents) - len(rows)


def _flat(document: Mapping[str, object]) -> Row:
    return {name: _scalar(value) for name, value in islice(document.items(), MAX_FIELDS)}


def _scalar(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value[:MAX_VALUE]
        case _:
            return json.dumps(value, ensure_ascii=False)[:MAX_VALUE]


# --- delimiters ---------------------------------------------------------------------------------------------------


def _is_colon_separated(sample: Sequence[str]) -> bool:
    plain = [line for line in sample if not line.startswith("#")]
    counts = Counter(line.count(":") for line in plain)
    if not counts:
        return False
    colons, count = counts.most_common(1)[0]
    return colons >= 3 and count >= 0.9 * len(plain) and not any(": " in line[:20] for line in plain[:5])


def _colon_separated(lines: Sequence[str]) -> tuple[list[Row], int]:
    plain = [line for line in lines if line.strip() and not line.startswith("#")]
    if not plain:
        return [], 0
    width = Counter(line.count(":") + 1 for line in plain).most_common(1)[0][0]
    names = _COLON_NAMES.get(width) or tuple(f"field {at}" for at in range(1, width + 1))
    parts = [line.split(":") for line in plain]
    rows: list[Row] = [dict(zip(names, values, strict=True)) for values in parts if len(values) == width]
    return rows, len(plain) - len(rows)


def _is_delimited(sample: Sequence[str], mark: str) -> bool:
    """Whether lines have one width of two or more fields, and are not prose with commas in it."""
    if len(sample) < 2:
        return False
    widths = Counter(len(values) for values in _split(sample, mark))
    width, count = widths.most_common(1)[0]
    if width < 2 or count < 0.9 * sum(widths.values()):
        return False
    cells = [cell for values in _split(sample, mark) for cell in values]
    short = sum(len(cell.split()) <= 8 for cell in cells) >= 0.7 * len(cells)
    return short and (mark != "," or width > 2 or not any(cell.startswith(" ") for cell in cells))


def _delimited(lines: Sequence[str], mark: str) -> tuple[list[Row], int]:
    table = [values for values in _split(lines, mark) if any(cell.strip() for cell in values)]
    if not table:
        return [], 0
    width = Counter(len(values) for values in table).most_common(1)[0][0]
    good = [values for values in table if len(values) == width]
    has_header = _has_header(good)
    names = _names(good[0]) if has_header else [f"column {at}" for at in range(1, width + 1)]
    rows: list[Row] = [dict(zip(names, values, strict=True)) for values in good[1 if has_header else 0 :]]
    return rows, len(table) - len(good)


def _split(lines: Sequence[str], mark: str) -> Iterator[list[str]]:
    reader = csv.reader((f"{line}\n" for line in lines if line.strip()), delimiter=mark)
    while True:
        try:
            yield [cell.strip().lstrip("\ufeff")[:MAX_VALUE] for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error:  # a field over csv.field_size_limit: that record is malformed
            yield []


def _has_header(table: Sequence[Sequence[str]]) -> bool:
    """The first line names the columns: its cells are distinct words, and where it has a word, numbers follow."""
    first, rest = table[0], table[1 : 1 + SAMPLE]
    if len(set(first)) != len(first) or any(not cell for cell in first[1:]):
        return False
    if any(_NUMBER.fullmatch(cell) for cell in first):
        return False
    if any(_NUMBER.fullmatch(cell) for values in rest for cell in values):
        return True
    return all(len(cell) <= 40 for cell in first) and not any(set(first) & set(values) for values in rest)


def _names(header: Sequence[str]) -> list[str]:
    return [" ".join(cell.split())[:80] or "column 1" for cell in header]
