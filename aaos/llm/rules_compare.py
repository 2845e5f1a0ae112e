"""The document of a comparison: how two or more files differ, and what they share.

Terms that are characteristic of one file are those it uses significantly more often than the others (log-likelihood
ratio, `rules_words`). A sentence is only in one file when no sentence of another holds two thirds of its content words;
lines are compared as they are, white space at their ends aside.

Invariant: symmetrical but for the order of the files, deterministic, bounded by CHECKED sentences of each file.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from aaos.llm.rules_describe import Description, describe, quote
from aaos.llm.rules_file import FileText
from aaos.llm.rules_kind import TextKind
from aaos.llm.rules_markdown import amount, bullets, code, demoted, document, inert, listed, number, table
from aaos.llm.rules_summary import ranked_sentences
from aaos.llm.rules_text import Sentence
from aaos.llm.rules_words import characteristic, content_stems, shared

CHECKED = 40
ONLY_SHOWN = 5
TERMS_SHOWN = 12
LINES_SHOWN = 15
MAX_INPUT_CHARS = 60_000


@dataclass(frozen=True)
class _Side:
    """One file of the comparison; no slots, since what is derived is kept."""

    label: str
    found: Description

    @cached_property
    def sentence_stems(self) -> tuple[frozenset[str], ...]:
        outline = self.found.outline
        return tuple(frozenset(content_stems(one.text)) for one in outline.sentences) if outline else ()

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        """The sentences that each stem is in."""
        places: dict[str, list[int]] = {}
        for at, stems in enumerate(self.sentence_stems):
            for stem in stems:
                places.setdefault(stem, []).append(at)
        return places

    def has_alike(self, stems: frozenset[str]) -> bool:
        """Whether a sentence holds two thirds of `stems`.

        Such a sentence holds one of any n - 2n/3 + 1 of them, so only those with the rarest stems are looked at.
        """
        least = -(-2 * len(stems) // 3)
        rarest = sorted(stems, key=lambda stem: len(self._places.get(stem, ())))[: len(stems) - least + 1]
        candidates = {at for stem in rarest for at in self._places.get(stem, ())}
        return any(len(stems & self.sentence_stems[at]) >= least for at in candidates)

    @cached_property
    def lines(self) -> Counter[str]:
        return Counter(line.rstrip() for line in self.found.file.lines if line.strip())


def comparison(files: Sequence[FileText], summaries: Sequence[str] = ()) -> str:
    """The comparison of two or more files. `summaries` are documents that earlier subtasks wrote about them."""
    sides = [_Side(label, describe(file)) for label, file in zip(_labels(files), files, strict=True)]
    return document(
        f"# Comparison of {listed([inert(side.label, 120) for side in sides])}",
        _verdict(sides),
        "## At a glance",
        _facts(sides),
        "\n".join(side.found.file.caveat.strip() for side in sides if side.found.file.caveat),
        "## In one line each",
        bullets(f"**{inert(side.label, 120)}:** {side.found.gist}" for side in sides),
        _terms(sides),
        _lines(sides),
        *(_only_in(side, sides) for side in sides),
        _appendix(summaries),
        "## How this was compared",
        _METHOD,
    )


_METHOD = (
    "By counting, without a model: key terms by frequency, differences in their use by the log-likelihood ratio,"
    " telling sentences by the frequency and place of their words. A sentence counts as being in one file only when no"
    " sentence of another file holds two thirds of its content words. What the words mean was not judged."
)


def _labels(files: Sequence[FileText]) -> list[str]:
    """The names of the files, or their paths where a name occurs twice."""
    names = Counter(file.name for file in files)
    return [file.name if names[file.name] == 1 else file.path for file in files]


def _verdict(sides: Sequence[_Side]) -> str:
    first = sides[0].found.file
    if all(side.found.file.lines == first.lines for side in sides):
        are = "Both files hold" if len(sides) == 2 else f"All {len(sides)} files hold"
        return (
            f"{are} the same text."
            if all(side.found.file.is_whole for side in sides)
            else f"{are} the same as far as read."
        )
    by_words = sorted(sides, key=lambda side: side.found.file.word_count)
    shortest, longest = by_words[0], by_words[-1]
    few, many = shortest.found.file.word_count, longest.found.file.word_count
    length = (
        f"{inert(longest.label, 120)} is the longest" if len(sides) > 2 else f"{inert(longest.label, 120)} is longer"
    )
    times = f", {many / few:.1f} times the length of {inert(shortest.label, 120)}" if few and many >= 1.1 * few else ""
    if few == many:
        return f"All have {amount(many, 'word')}. {_overlap(sides)}"
    return f"{length}{times} ({number(many)} against {number(few)} words). {_overlap(sides)}"


def _overlap(sides: Sequence[_Side]) -> str:
    """How much of the lines and of the commonest terms is in every file."""
    common = sum(_common_lines(sides).values())
    fewest = min((side.lines.total() for side in sides), default=0)
    tops = [set(side.found.terms.top(50)) for side in sides]
    both = set.intersection(*tops)
    union = set.union(*tops)
    told = f"{len(both)} of their {len(union)} commonest terms are shared" if union else ""
    lines = (
        f"{amount(common, 'line')} ({100 * common / fewest:.0f} % of the shorter file) {_are(common)} the same"
        if common
        else ""
    )
    return f"{listed([part for part in (told, lines) if part])}.".capitalize() if told or lines else ""


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _facts(sides: Sequence[_Side]) -> str:
    rows = [
        ["File", *(code(side.found.file.path) for side in sides)],
        ["Kind", *(side.found.kind.value for side in sides)],
        ["Bytes", *(number(side.found.file.size_bytes) for side in sides)],
        ["Lines", *(number(len(side.found.file.lines)) for side in sides)],
        ["Words", *(number(side.found.file.word_count) for side in sides)],
        ["Different terms", *(number(len(side.found.terms.counts)) for side in sides)],
    ]
    if all(side.found.outline for side in sides):
        rows.append(["Sentences", *(_sentence_count(side) for side in sides)])
        rows.append(["Headings", *(number(len(side.found.outline.headings)) for side in sides if side.found.outline)])
    header = ["", *(inert(side.label, 120) for side in sides)]
    return table(header, rows, right=frozenset(range(1, len(header))))


def _sentence_count(side: _Side) -> str:
    outline = side.found.outline
    return "" if outline is None else f"{'' if outline.is_complete else 'over '}{number(len(outline.sentences))}"


def _terms(sides: Sequence[_Side]) -> str:
    terms = [side.found.terms for side in sides]
    if not all(one.total for one in terms):
        return ""
    spelling = {stem: text for one in reversed(terms) for stem, text in one.spelling.items()}
    counts = {stem: " / ".join(str(one.counts[stem]) for one in terms) for stem in spelling}
    common = [f"{inert(spelling[stem], 40)} ({counts[stem]})" for stem in shared(terms, TERMS_SHOWN)]
    lines = [f"**In {'both' if len(sides) == 2 else 'all'}:** {', '.join(common) or 'none'}"]
    for at, side in enumerate(sides):
        others = [one for place, one in enumerate(terms) if place != at]
        own = [
            f"{inert(spelling[stem], 40)} ({counts[stem]})" for stem in characteristic(terms[at], others, TERMS_SHOWN)
        ]
        lines.append(f"**Characteristic of {inert(side.label, 120)}:** {', '.join(own) or 'none'}")
    order = " / ".join(inert(side.label, 60) for side in sides)
    return f"## Key terms\n\nHow often each is used: {order}.\n\n{bullets(lines)}"


# --- sentences and lines ------------------------------------------------------------------------------------------


def _only_in(side: _Side, sides: Sequence[_Side]) -> str:
    """Telling sentences of one file that no other has."""
    outline = side.found.outline
    if outline is None or not all(other.found.outline for other in sides):
        return ""
    others = [other for other in sides if other is not side]
    ranked = ranked_sentences(outline, side.found.terms, CHECKED)
    alone = [sentence for sentence in ranked if _is_alone(sentence, others)][:ONLY_SHOWN]
    alone.sort(key=lambda sentence: (sentence.line, sentence.first))
    body = (
        bullets(quote(sentence.text, sentence.line) for sentence in alone)
        or "No telling sentence is in this file only."
    )
    return f"## Only in {inert(side.label, 120)}\n\n{body}"


def _is_alone(sentence: Sentence, others: Sequence[_Side]) -> bool:
    stems = frozenset(content_stems(sentence.text))
    return bool(stems) and not any(other.has_alike(stems) for other in others)


def _lines(sides: Sequence[_Side]) -> str:
    """The lines that differ, when the files are mostly the same or are not prose."""
    common = _common_lines(sides)
    fewest = min(side.lines.total() for side in sides)
    is_prose = all(side.found.kind is TextKind.PROSE for side in sides)
    if not common or (is_prose and 2 * common.total() < fewest):
        return ""
    parts = [f"## Lines\n\n{amount(common.total(), 'line')} {_are(common.total())} in every file, in any order."]
    for side in sides:
        own = _lines_only_in(side, common)
        shown = [f"line {at}: {code(line, 160)}" for at, line in own[:LINES_SHOWN]]
        if len(own) > LINES_SHOWN:
            shown.append(f"… and {len(own) - LINES_SHOWN:,} more")
        parts.append(f"**{amount(len(own), 'line')} only in {inert(side.label, 120)}**")
        parts.append(bullets(shown))
    return "\n\n".join(part for part in parts if part)


def _common_lines(sides: Sequence[_Side]) -> Counter[str]:
    common = sides[0].lines
    for side in sides[1:]:
        common = common & side.lines
    return common


def _lines_only_in(side: _Side, common: Counter[str]) -> list[tuple[int, str]]:
    left = Counter(common)
    own: list[tuple[int, str]] = []
    for at, line in enumerate(side.found.file.lines, start=1):
        bare = line.rstrip()
        if not bare:
            continue
        if left[bare] > 0:
            left[bare] -= 1
        else:
            own.append((at, bare))
    return own


def _appendix(summaries: Sequence[str]) -> str:
    return "\n\n".join(demoted(text.strip()[:MAX_INPUT_CHARS]) for text in summaries if text.strip())
