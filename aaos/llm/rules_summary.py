"""Extractive summaries: which sentences of a text say what it is about.

A sentence is scored by the four features of H. P. Edmundson, "New methods in automatic extracting", JACM 16 (1969): key
words, cue words, words of title and headings, and location. Key words are weighted by their frequency as in H. P. Luhn,
"The automatic creation of literature abstracts" (1958); after each choice the weights of the words it used are squared
down as in SumBasic (A. Nenkova, L. Vanderwende, 2005), so that the next choice says something else.

Invariant: deterministic, and bounded by MAX_SENTENCES of rules_text; a summary consists of sentences of the text alone.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from aaos.llm.rules_text import Outline, Sentence
from aaos.llm.rules_words import Terms, content_stems, terms

MIN_WORDS = 5
MAX_WORDS = 90

_KEY, _TITLE, _CUE, _LOCATION = 1.0, 0.35, 0.25, 0.35

# Edmundson's bonus and stigma words: the first introduce aims, duties and results, the second examples and asides.
_BONUS = re.compile(
    r"\b(must|shall|may not|required?|purpose|intended|aims?|provides?|allows?|grants?|prohibits?|important|note that"
    r"|warning|in summary|in short|conclusions?|results?|designed to|means|is an?|never|always|supports?|by default)\b",
    re.I,
)
_STIGMA = re.compile(
    r"^(for example|e\.g\.|see also|see |copyright|\(c\)|©|figure|table|https?:|and |or |but |if you have)"
    r"|\bfor instance\b|\ball rights reserved\b|https?://\S+$",
    re.I,
)
_WORD_CHARS = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Ranked:
    """A sentence with the stems that count and the score that does not change when others are chosen."""

    sentence: Sentence
    stems: tuple[str, ...]
    fixed: float


def text_terms(outline: Outline) -> Terms:
    """The terms of headings and sentences."""
    return terms([heading.text for heading in outline.headings] + [sentence.text for sentence in outline.sentences])


def key_sentences(outline: Outline, found: Terms, limit: int) -> tuple[Sentence, ...]:
    """The `limit` most telling sentences, in the order of the text."""
    return tuple(sorted(ranked_sentences(outline, found, limit), key=lambda sentence: (sentence.line, sentence.first)))


def ranked_sentences(outline: Outline, found: Terms, limit: int) -> tuple[Sentence, ...]:
    """The `limit` most telling sentences, the most telling first."""
    candidates = _candidates(outline, found)
    weights = {root: count / max(found.total, 1) for root, count in found.counts.items()}
    top = max((_key(one, weights) for one in candidates), default=0.0) or 1.0
    chosen: list[Sentence] = []
    seen: set[str] = set()
    while candidates and len(chosen) < limit:
        best = max(candidates, key=lambda one: (_KEY * _key(one, weights) / top + one.fixed, -one.sentence.line))
        candidates.remove(best)
        if best.sentence.text in seen:
            continue
        seen.add(best.sentence.text)
        chosen.append(best.sentence)
        for root in best.stems:
            weights[root] = weights.get(root, 0.0) ** 2
    return tuple(chosen)


def opening_sentence(outline: Outline, found: Terms) -> Sentence | None:
    """The one sentence that says best what the text is: the most telling of its beginning."""
    begin = max(8, len(outline.sentences) // 8)
    early = Outline(outline.headings, outline.sentences[:begin], is_complete=True)
    best = ranked_sentences(early, found, 1) or ranked_sentences(outline, found, 1)
    return best[0] if best else None


def _candidates(outline: Outline, found: Terms) -> list[Ranked]:
    titles = set(content_stems(" ".join(heading.text for heading in outline.headings[:40])))
    significant = {root for root, count in found.counts.items() if count > 1} or set(found.counts)
    heads = [heading.line for heading in outline.headings]
    ranked: list[Ranked] = []
    for place, sentence in enumerate(outline.sentences):
        if _is_telling(sentence.text):
            stems = tuple(dict.fromkeys(root for root in content_stems(sentence.text) if root in significant))
            follows = any(0 < sentence.line - line <= 2 for line in heads) and sentence.first == 0
            fixed = _fixed(sentence, stems, titles=titles, place=place, follows_heading=follows)
            ranked.append(Ranked(sentence, stems, fixed))
    return ranked


def _fixed(sentence: Sentence, stems: Sequence[str], *, titles: set[str], place: int, follows_heading: bool) -> float:
    title = len(titles.intersection(stems)) / len(stems) if stems else 0.0
    cue = min(len(_BONUS.findall(sentence.text)), 2) / 2 - (1.0 if _STIGMA.search(sentence.text) else 0.0)
    location = (0.5 if sentence.first == 0 else 0.0) + (0.3 if follows_heading else 0.0) + max(0.0, 0.8 - place / 4)
    return _TITLE * title + _CUE * cue + _LOCATION * min(location, 1.2) - (0.0 if sentence.text[-1] in ".!?。" else 0.3)


def _key(ranked: Ranked, weights: dict[str, float]) -> float:
    """Luhn's significance: the weight of the sentence's significant words, dampened by its length."""
    return sum(weights.get(root, 0.0) for root in ranked.stems) / math.sqrt(max(len(ranked.stems), 6))


def _is_telling(text: str) -> bool:
    """Whether a sentence can stand alone: not a fragment, not a list of names, mostly letters."""
    count = len(text.split())
    if not MIN_WORDS <= count <= MAX_WORDS or text[0].islower():
        return False
    letters = len(_WORD_CHARS.findall(text))
    return letters >= 0.6 * (len(text) - text.count(" "))
