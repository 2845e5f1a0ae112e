"""A file described by its kind: a gist of one line, and sections that say more.

Prose is summarised by its most telling sentences (`rules_summary`), code by its definitions and its own words, a log by
its levels and commonest messages (lines are grouped after masking what varies, as in R. Vaarandi, "A data clustering
algorithm for mining patterns from event logs", 2003), records by their fields.

Invariant: every statement can be checked against the file; sentences and messages are given with their line.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from aaos.llm.rules_file import FileText
from aaos.llm.rules_kind import TIMESTAMP, Language, TextKind, kind_of, language_of
from aaos.llm.rules_markdown import amount, bullets, code, inert, listed, number, size, table
from aaos.llm.rules_records import Records, find_records
from aaos.llm.rules_summary import key_sentences, opening_sentence, text_terms
from aaos.llm.rules_text import Outline, outline
from aaos.llm.rules_values import BYTES_IN, ordering
from aaos.llm.rules_words import Terms, terms

TERMS_SHOWN = 12
HEADINGS_SHOWN = 30
MAX_TEMPLATES = 20_000

_LEVELS = re.compile(
    r"(?<![\w-])(fatal|critical|crit|panic|emerg|alert|error|err|warning|warn|notice|info|debug|trace)(?![\w-])", re.I
)
_LEVEL_NAMES = {"crit": "critical", "err": "error", "warn": "warning"}
_BAD = re.compile(
    r"(?<![\w-])(fatal|critical|crit|panic|emerg|alert|error|err|failed|failure|denied|refused|traceback)(?![\w-])",
    re.I,
)
_VARIES = re.compile(r"\b0x[0-9a-f]+\b|\b(?=[a-z]*\d)[0-9a-f-]{8,}\b|\d+", re.I)
_DOCSTRING = re.compile(r'\s*[rbu]{0,2}("""|\'\'\')')


@dataclass(frozen=True, slots=True)
class Description:
    """What a file holds. `gist` and the bodies of `sections` (title, body) are Markdown; `outline` is for prose."""

    file: FileText
    kind: TextKind
    measure: str
    gist: str
    sections: tuple[tuple[str, str], ...]
    terms: Terms
    outline: Outline | None = None


def describe(file: FileText, points: int = 8) -> Description:
    """The description of a file; `points` bounds its main points."""
    kind = kind_of(file)
    match kind:
        case TextKind.EMPTY:
            return Description(file, kind, file.measure, "The file holds no text.", (), terms(()))
        case TextKind.PROSE:
            return _prose(file, points)
        case TextKind.CODE:
            language = language_of(file)
            return _code(file, language, points) if language else _prose(file, points)
        case TextKind.LOG:
            return _log(file, points)
        case TextKind.CONFIG:
            return _config(file, points)
        case TextKind.RECORDS:
            return _records(file)
        case _:
            assert_never(kind)


# --- prose --------------------------------------------------------------------------------------------------------


def _prose(file: FileText, points: int) -> Description:
    found = outline(file.lines)
    about = text_terms(found)
    opening = opening_sentence(found, about)
    chosen = [one for one in key_sentences(found, about, points + 1) if one != opening][:points]
    first = next((line for line in file.lines if line.strip()), "")
    sections = []
    if chosen:
        sections.append(("Main points", bullets(quote(sentence.text, sentence.line) for sentence in chosen)))
    if about.counts:
        sections.append(("Key terms", term_list(about, about.top(TERMS_SHOWN))))
    if found.headings:
        sections.append(("Outline", _headings(found)))
    gist = quote(opening.text, opening.line) if opening else inert(first)
    measure = f"{file.measure}, {amount(file.word_count, 'word')}"
    return Description(file, TextKind.PROSE, measure, gist, tuple(sections), about, found)


def quote(text: str, line: int) -> str:
    """A sentence of a file with the line it begins on."""
    return f"{inert(text, 420)} *(line {line})*"


def term_list(found: Terms, stems: Sequence[str]) -> str:
    """Terms with the number of times they occur."""
    return ", ".join(f"{inert(found.spelling.get(stem, stem), 40)} ({found.counts[stem]})" for stem in stems)


def _headings(found: Outline) -> str:
    shown = [f"{inert(heading.text, 120)} *(line {heading.line})*" for heading in found.headings[:HEADINGS_SHOWN]]
    if len(found.headings) > HEADINGS_SHOWN:
        shown.append(f"… and {len(found.headings) - HEADINGS_SHOWN} more")
    return bullets(shown)


# --- code ---------------------------------------------------------------------------------------------------------


def _code(file: FileText, language: Language, points: int) -> Description:
    own_words, own_line = _own_words(file, language)
    definitions = [
        (at, m["name"]) for at, line in enumerate(file.lines, 1) if (m := language.definition.match(line[:500]))
    ]
    imports = dict.fromkeys(m["name"] for line in file.lines if (m := language.imports.match(line[:500])))
    comments = sum(1 for line in file.lines if line.lstrip().startswith(language.comment))
    blank = sum(1 for line in file.lines if not line.strip())
    counted = (
        f"{language.name}: {amount(len(definitions), 'definition')}, {amount(comments, 'comment')}, {blank:,} blank"
    )
    names = [f"{code(name, 80)} *(line {at})*" for at, name in definitions[: 3 * points]]
    if len(definitions) > len(names):
        names.append(f"… and {len(definitions) - len(names)} more")
    sections = [("Main points", bullets([f"{counted}.", *_own_points(own_words, own_line)]))]
    if names:
        sections.append(("Definitions", bullets(names)))
    if imports:
        sections.append(("Uses", ", ".join(code(name, 80) for name in list(imports)[:20])))
    gist = inert(own_words) if own_words else f"{language.name} code: {_named(definitions)}."
    return Description(file, TextKind.CODE, file.measure, gist, tuple(sections), terms(file.lines[:20_000]))


def _own_points(words: str, line: int) -> list[str]:
    return [f"In its own words: {quote(words, line)}"] if words else []


def _named(definitions: Sequence[tuple[int, str]]) -> str:
    if not definitions:
        return "no definitions, commands only"
    more = f" and {len(definitions) - 5} more" if len(definitions) > 5 else ""
    return f"defines {listed([code(name, 60) for _, name in definitions[:5]])}{more}"


def _own_words(file: FileText, language: Language) -> tuple[str, int]:
    """The first sentences of the comment or docstring at the top, and its line."""
    kept: list[str] = []
    begin = 0
    closing = ""
    for at, line in enumerate(file.lines[:60], start=1):
        bare = line.strip()
        opening = _DOCSTRING.match(line) if not kept else None
        if opening:
            closing, bare = opening[1], line[opening.end() :].strip()
        if closing or bare.startswith((language.comment, "/*", "*")):
            is_last = bool(closing) and closing in bare
            words = bare.split(closing)[0] if is_last else bare.strip("/*#! ").strip()
            if words and "-*-" not in words and not line.startswith("#!") and "opyright" not in words:
                kept.append(words)
                begin = begin or at
            if is_last:
                break
        elif bare and (kept or not bare.startswith(("from ", "import ", "package ", "use "))):
            break
    return " ".join(kept)[:400], begin


# --- settings -----------------------------------------------------------------------------------------------------


def _config(file: FileText, points: int) -> Description:
    words = [line.lstrip("#; \t") if line.lstrip()[:1] in ("#", ";") else "" for line in file.lines]
    active = [
        (at, line.strip()) for at, line in enumerate(file.lines, 1) if line.strip() and line.lstrip()[0] not in "#;"
    ]
    own = outline(words)
    opening = opening_sentence(own, text_terms(own))
    commented = sum(1 for line in words if line)
    counted = f"{amount(len(active), 'active line')}, {amount(commented, 'comment line')}"
    gist = f"{inert(opening.text)} " if opening else ""
    shown = [f"{code(line, 160)} *(line {at})*" for at, line in active[: 3 * points]]
    if len(active) > len(shown):
        shown.append(f"… and {len(active) - len(shown)} more")
    sections = [
        ("Main points", bullets(quote(one.text, one.line) for one in key_sentences(own, text_terms(own), points // 2)))
    ]
    sections.append(("Active lines", bullets(shown)))
    kept = tuple((title, body) for title, body in sections if body)
    return Description(file, TextKind.CONFIG, file.measure, f"{gist}({counted})", kept, terms(file.lines[:20_000]))


# --- logs ---------------------------------------------------------------------------------------------------------


def _log(file: FileText, points: int) -> Description:
    times = [match[0].strip("[]") for line in file.lines if (match := TIMESTAMP.match(line))]
    levels = Counter(_level(match[1]) for line in file.lines if (match := _LEVELS.search(line[:300])))
    entries = amount(len(times), "entry", "entries")
    gist = f"A log of {entries} from {inert(times[0], 120)} to {inert(times[-1], 120)}{_levels_told(levels)}."
    messages, bad = _grouped(file.lines)
    sections = [("Commonest messages", _message_list(messages, points))]
    if bad:
        sections.insert(0, ("Errors and refusals", _message_list(bad, points)))
    return Description(file, TextKind.LOG, file.measure, gist, tuple(sections), terms(file.lines[:20_000]))


def _level(word: str) -> str:
    return _LEVEL_NAMES.get(word.casefold(), word.casefold())


def _levels_told(levels: Counter[str]) -> str:
    counted = [
        amount(count, f"line of level {name}", f"lines of level {name}") for name, count in levels.most_common(6)
    ]
    return f"; {listed(counted)}" if counted else ""


Messages = dict[str, tuple[int, int, str]]


def _grouped(lines: Sequence[str]) -> tuple[Messages, Messages]:
    """Messages that differ in numbers only, as template -> (count, first line, first text); and the bad ones."""
    groups: Messages = {}
    for at, line in enumerate(lines, start=1):
        message = TIMESTAMP.sub("", line[:600], count=1).strip()
        key = _VARIES.sub("#", message)[:200]
        if not message or (key not in groups and len(groups) >= MAX_TEMPLATES):
            continue
        count, first, text = groups.get(key, (0, at, message))
        groups[key] = (count + 1, first, text)
    return groups, {key: value for key, value in groups.items() if _BAD.search(value[2])}


def _message_list(groups: Messages, points: int) -> str:
    top = sorted(groups.values(), key=lambda group: (-group[0], group[1]))[:points]
    return bullets(f"{count:,} × {code(text, 200)} *(first on line {first})*" for count, first, text in top)


# --- records ------------------------------------------------------------------------------------------------------


def _records(file: FileText) -> Description:
    records = find_records(file.lines)
    if records is None or not records.rows:
        return _prose(file, 8)
    fields = [code(name, 40) for name in records.fields[:6]]
    more = f" and {len(records.fields) - 6} more" if len(records.fields) > 6 else ""
    left_out = f"; {amount(records.malformed, 'line')} could not be read" if records.malformed else ""
    what = f"{amount(len(records.rows), 'record')} ({records.format.value})"
    gist = f"{what} with the fields {', '.join(fields)}{more}{left_out}."
    sections = (("Fields", table(["Field", "Filled", "Values"], _field_rows(records), right=frozenset({1}))),)
    measure = f"{file.measure}, {amount(len(records.rows), 'record')}"
    return Description(file, TextKind.RECORDS, measure, gist, sections, terms(file.lines[:20_000]))


def _field_rows(records: Records) -> list[list[str]]:
    rows: list[list[str]] = []
    for name in records.fields[:40]:
        values = [value for row in records.rows if (value := row.get(name, ""))]
        filled = f"{100 * len(values) / len(records.rows):.0f} %"
        rows.append([inert(name, 40), filled, _values_told(records, name, values)])
    return rows


def _values_told(records: Records, name: str, values: Sequence[str]) -> str:
    how = ordering(name, values, records.format)
    if how is not None:
        read = [(value, text) for text in values if (value := how.read(text)) is not None]
        (low, low_text), (high, high_text) = min(read), max(read)
        if how.unit in BYTES_IN:
            return f"{size(low * BYTES_IN[how.unit])} to {size(high * BYTES_IN[how.unit])}"
        return f"{inert(low_text, 40)} to {inert(high_text, 40)}"
    counts = Counter(value.split("\n", 1)[0][:80] for value in values)
    if len(counts) > max(20, len(values) // 4):
        return f"{number(len(counts))} different"
    return ", ".join(f"{inert(value, 40)} ({count:,})" for value, count in counts.most_common(4))
