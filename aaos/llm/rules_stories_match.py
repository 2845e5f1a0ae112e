"""Which stories of several pages tell the same: by the words that they share.

Two stories are compared by the cosine of their words' weights: a word weighs more the fewer stories use it (inverse
document frequency, K. Sparck Jones, 1972), and twice in a headline. Function words do not count; of a word count its
first LETTERS letters, so that `closed` and `closing` are one. Stories are the same when their likeness is at least
LIKENESS, they share two words, and one of these stands in both headlines; or when they link to the same address.
Each story is matched with one story of a page at most, the likest first.

Invariant: symmetrical, deterministic, and bounded by the number of stories of `rules_stories`.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from aaos.llm.rules_stories import Story
from aaos.llm.rules_words import content_stems

LETTERS = 5
LIKENESS = 0.2
MAX_DEPTH = 100  # stories of one page that are looked at
MAX_TOTAL = 600  # stories of all pages
_NUMBER = re.compile(r"\d[\d.,]*\d|\d")


@dataclass(frozen=True, slots=True)
class Match:
    """Two stories that tell the same: the numbers of the pages, the places of the stories on them, all from 0; `words`
    are those that both have, as they stand in the first."""

    pages: tuple[int, int]
    stories: tuple[int, int]
    likeness: float
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Told:
    """A story as its words: how often each is used, a headline's counted twice, and how it is spelt."""

    link: str
    headline: frozenset[str]
    counts: Counter[str]
    spelling: Mapping[str, str]


def match_stories(pages: Sequence[Sequence[Story]]) -> tuple[Match, ...]:
    """The matches between the stories of the pages, the likest first; stories far down on many pages are left out."""
    depth = max(10, min(MAX_DEPTH, MAX_TOTAL // max(len(pages), 1)))
    told = [[_told(story) for story in page[:depth]] for page in pages]
    used = Counter(word for page in told for one in page for word in one.counts)
    total = sum(map(len, told))
    weights = {word: math.log(1 + total / count) for word, count in used.items()}
    found = [
        match
        for first, second in combinations(range(len(told)), 2)
        for match in _between((first, second), told, weights)
    ]
    return tuple(sorted(found, key=_rank))


def _between(pages: tuple[int, int], told: Sequence[Sequence[_Told]], weights: Mapping[str, float]) -> list[Match]:
    """The matches of two pages, each story in one at most."""
    candidates: list[Match] = []
    for at, one in enumerate(told[pages[0]]):
        for place, other in enumerate(told[pages[1]]):
            likeness = _likeness(one, other, weights)
            if likeness:
                words = sorted(one.counts.keys() & other.counts.keys(), key=lambda word: (-weights[word], word))
                candidates.append(Match(pages, (at, place), likeness, tuple(one.spelling[word] for word in words)))
    taken: set[tuple[int, int]] = set()
    matches: list[Match] = []
    for match in sorted(candidates, key=_rank):
        ends = set(zip(match.pages, match.stories, strict=True))
        if taken.isdisjoint(ends):
            taken |= ends
            matches.append(match)
    return matches


def _likeness(one: _Told, other: _Told, weights: Mapping[str, float]) -> float:
    """From 0 to 1; 0 as well when it is not enough."""
    if one.link and one.link == other.link:
        return 1.0
    if one.headline.isdisjoint(other.headline):
        return 0.0
    shared = one.counts.keys() & other.counts.keys()
    if len(shared) < 2:
        return 0.0
    product = sum(one.counts[word] * other.counts[word] * weights[word] ** 2 for word in shared)
    likeness = product / (_length(one, weights) * _length(other, weights))
    return likeness if likeness >= LIKENESS else 0.0


def _length(told: _Told, weights: Mapping[str, float]) -> float:
    return math.sqrt(sum((count * weights[word]) ** 2 for word, count in told.counts.items()))


def _told(story: Story) -> _Told:
    headline, teaser = _words(story.headline), _words(story.teaser)
    counts = Counter(word[:LETTERS] for word in teaser)
    for word in headline:
        counts[word[:LETTERS]] += 2
    spelling = {word[:LETTERS]: word for word in (*teaser, *headline)}
    return _Told(story.link, frozenset(word[:LETTERS] for word in headline), counts, spelling)


def _words(text: str) -> list[str]:
    return [*content_stems(text), *_NUMBER.findall(text)]


def _rank(match: Match) -> tuple[float, tuple[int, int], tuple[int, int]]:
    return -match.likeness, match.pages, match.stories
