"""A text as headings and sentences with the lines they stand on.

Invariant: every sentence is found literally in its source but for white space, and `line` (from 1) is where it begins.
Line feeds alone divide lines, as in the file tools. Bounded: at most MAX_SENTENCES sentences, longer texts say so.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_SENTENCES = 4_000
MAX_LINE = 4_000
MAX_HEADINGS = 200

_ITEM = re.compile(r"\s*(?:[-*+•]|\(?(?:\d{1,3}|[a-z]|[ivx]{1,5})[.)])\s+", re.ASCII)
_NUMBERED = re.compile(  # no sentence may end before the end: that would be a title with its text behind it
    r"\s*(?:(?:section|chapter|article|part)\s+)?(?:\d{1,3}(?:\.\d{1,3}){0,3}|[IVX]{1,5})[.):]?\s+\S(?:(?![.!?]\s).)*",
    re.I,
)
_RULE = re.compile(r"\s*([-=*_~#^])(?:\s*\1){2,}\s*")
_MARKDOWN = re.compile(r"\s{0,3}#{1,6}\s+(.*?)\s*#*\s*")
_FENCE = re.compile(r"\s{0,3}(?:```|~~~)")
_END = re.compile(r"""(?:[.!?…]["'”’)\]]*(?=\s+["'“‘«「(\[*_`]{0,3}[^\W_a-z])|[。！？])\s*""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.?g|i\.?e|etc|cf|vs?|mr|mrs|ms|dr|prof|st|no|nos|sec|art|fig|inc|ltd|co|corp|approx|jr|sr|vol|pp?|ed|al)"
    r"|(?:^|[\s(.])[A-Z])\.$",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence; `first` is its place in its paragraph (0 is the first), `paragraph` the paragraph's number."""

    text: str
    line: int
    paragraph: int
    first: int


@dataclass(frozen=True, slots=True)
class Heading:
    """A line that names what follows."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Outline:
    """What was found in a text; `is_complete` is False when there were more than MAX_SENTENCES sentences."""

    headings: tuple[Heading, ...]
    sentences: tuple[Sentence, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class _Paragraph:
    line: int
    lines: tuple[str, ...]
    is_item: bool


def outline(lines: Sequence[str]) -> Outline:
    """The headings and sentences of a text given as lines."""
    headings: list[Heading] = []
    sentences: list[Sentence] = []
    number = 0
    for paragraph in _paragraphs(lines):
        title = _heading(paragraph)
        if title is not None:
            headings.append(Heading(title, paragraph.line))
            continue
        found_here = list(_sentences(paragraph, number))
        if paragraph.is_item and len(found_here) > 1 and _is_run_in(found_here[0].text):
            headings.append(Heading(found_here.pop(0).text, paragraph.line))
        for found in found_here:
            if len(sentences) >= MAX_SENTENCES:
                return Outline(tuple(headings[:MAX_HEADINGS]), tuple(sentences), is_complete=False)
            sentences.append(found)
        number += 1
    return Outline(tuple(headings[:MAX_HEADINGS]), tuple(sentences), is_complete=True)


def _paragraphs(lines: Sequence[str]) -> Iterator[_Paragraph]:
    """Runs of lines between empty lines, list items, headings and rules; fenced code is left out."""
    start, kept, is_item, fenced = 1, list[str](), False, False
    for at, raw in enumerate(lines, start=1):
        line = raw[:MAX_LINE].expandtabs().rstrip()
        if _FENCE.match(line):
            fenced, line = not fenced, ""
        ends = fenced or not line.strip() or _RULE.fullmatch(line) is not None
        alone = _MARKDOWN.fullmatch(line) is not None
        item = _ITEM.match(line) is not None
        if kept and (ends or alone or item):
            underlined = ends and len(kept) == 1 and _RULE.fullmatch(line) is not None
            yield _Paragraph(start, (f"# {kept[0].strip()}",) if underlined else tuple(kept), is_item)
            kept = []
        if alone:
            yield _Paragraph(at, (line,), is_item=False)
        elif not ends:
            if not kept:
                start, is_item = at, item
            kept.append(line)
    if kept:
        yield _Paragraph(start, tuple(kept), is_item)


def _heading(paragraph: _Paragraph) -> str | None:
    """The title when the paragraph is one: marked, centred, numbered or in capitals, and short."""
    if len(paragraph.lines) > 3:
        return None
    marked = _MARKDOWN.fullmatch(paragraph.lines[0])
    if marked and len(paragraph.lines) == 1:
        return marked[1] or None
    text = " ".join(" ".join(paragraph.lines).split())
    if not 2 <= len(text) <= 110 or text[-1] in ",;" or not any(map(str.isalpha, text)):
        return None
    first = paragraph.lines[0]
    centred = all(len(line) - len(line.lstrip()) >= 12 for line in paragraph.lines)
    numbered = _NUMBERED.fullmatch(first) is not None and len(text.split()) <= 10 and len(paragraph.lines) == 1
    capitals = text.isupper() and len(text.split()) <= 12
    return text if (centred or numbered or capitals) else None


def _is_run_in(text: str) -> bool:
    """Whether the first sentence of a list item is its title: `2. Grant of Patent License. Subject to …`."""
    return text.endswith((".", ":")) and text[:1].isupper() and len(text.split()) <= 7


def _sentences(paragraph: _Paragraph, number: int) -> Iterator[Sentence]:
    text, starts = _joined(paragraph)
    begin = first = 0
    for end in (*_ends(text), len(text)):
        sentence = text[begin:end].strip()
        if sentence:
            yield Sentence(sentence, paragraph.line + _line_of(starts, begin), number, first)
            first += 1
        begin = end


def _joined(paragraph: _Paragraph) -> tuple[str, list[int]]:
    """The paragraph as one line, and where in it each of its lines starts. Marks of lists and quotes are left out."""
    parts: list[str] = []
    starts: list[int] = []
    length = 0
    for at, line in enumerate(paragraph.lines):
        clean = line.strip()
        if at == 0 and paragraph.is_item:
            clean = _ITEM.sub("", line, count=1).strip()
        clean = " ".join(clean.lstrip("> ").split())
        starts.append(length)
        parts.append(clean)
        length += len(clean) + 1
    return " ".join(parts), starts


def _ends(text: str) -> Iterator[int]:
    for match in _END.finditer(text):
        stop = match.start()
        if text[stop] == "." and _ABBREVIATION.search(text[max(0, stop - 12) : stop + 1]):
            continue
        yield match.end()


def _line_of(starts: Sequence[int], offset: int) -> int:
    return bisect_right(starts, offset) - 1
