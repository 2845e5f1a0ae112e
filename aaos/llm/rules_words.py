"""Words of a text: how they are found, folded and counted; the terms a text is about.

Invariant: the same text gives the same words, stems and terms on every machine; time is linear in the text.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_WORD = 64
TERMS_KEPT = 4_000
SIGNIFICANT_G2 = 10.83  # chi squared, one degree of freedom, p < 0.001

WORD = re.compile(r"[^\W\d_][^\W_]*(?:['’-][^\W_]+)*")

# Function words of English, German, French and Spanish: they say nothing of what a text is about.
_FUNCTION_WORDS = """
    a about above after again against all also although am an and any are aren't as at be because been before being
    below between both but by can cannot can't could couldn't did didn't do does doesn't doing don't down during
    each either else etc even ever every few for from further get got had hadn't has hasn't have haven't having he
    her here hers herself him himself his how however i i'm if in into is isn't it it's its itself just let's may me
    might more most much must mustn't my myself neither no nor not now of off often on once one only onto or other
    others otherwise our ours ourselves out over own per rather same shall she should shouldn't since so some such
    than that that's the their theirs them themselves then there therefore these they this those though through thus
    to together too toward under until up upon us use used using very via was wasn't we were weren't what when where
    whether which while who whom whose why will with within without won't would wouldn't yet you your yours yourself
    yourselves said say says see well back make made many new two first aber alle als also am an auch auf aus bei
    bin bis da das dass dem den der des die dies diese dieser doch du durch ein eine einem einen einer eines er es
    für gegen hat haben ich ihr im in ist ja kann mehr mit nach nicht noch nur oder ohne sehr sein sich sie sind so
    über um und uns unter vom von vor war was wenn werden wie wir wird zu zum zur au aux avec ce ces cette dans de
    des du elle en est et eux il ils je la le les leur lui mais même nous ou où par pas pour plus qu que qui sa se
    ses son sont sur ta te tes tu un une vos votre vous été être al como con cual cuando del desde donde e el ella
    ellos era es esa ese eso esta este esto fue ha hay la las lo los más mi muy ni nos o para pero por porque que
    quien se ser si sin sobre son su sus también te tiene todo un una unos y ya
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())


@dataclass(frozen=True, slots=True)
class Terms:
    """What a text is about: counts by stem, the commonest spelling of each stem, and the number of words counted."""

    counts: Counter[str]
    spelling: dict[str, str]
    total: int

    def top(self, limit: int) -> tuple[str, ...]:
        """The commonest stems; ties in alphabetical order."""
        return tuple(sorted(self.counts, key=lambda stem: (-self.counts[stem], stem))[:limit])


def words(text: str) -> list[str]:
    """The words of a text as they are spelt; numbers, code points of punctuation and underscores divide words."""
    return WORD.findall(text)


def stem(word: str) -> str:
    """A word folded: case, Unicode form, possessive, and the plural s.

    Source: the S-stemmer of D. Harman, "How effective is suffixing?", JASIS 42 (1991), table 2.
    """
    folded = unicodedata.normalize("NFC", word.casefold()).replace("’", "'")[:MAX_WORD].removesuffix("'s")
    if len(folded) <= 3:
        return folded
    if folded.endswith("ies") and folded[-4] not in "ea":
        return f"{folded[:-3]}y"
    if folded.endswith("es") and folded[-3] not in "aeo":
        return folded[:-1]
    return folded[:-1] if folded.endswith("s") and folded[-2] not in "us" else folded


def content_stems(text: str) -> list[str]:
    """The stems of a text's words without stop words and words of one or two letters, in order."""
    return [stem(word) for word in words(text) if is_content(word)]


def is_content(word: str) -> bool:
    """Whether a word can say what a text is about."""
    return len(word) > 2 and word.casefold().replace("’", "'") not in STOP_WORDS


def terms(texts: Iterable[str]) -> Terms:
    """The terms of the texts. At most TERMS_KEPT are kept, the commonest."""
    spelt: Counter[str] = Counter()
    for text in texts:
        spelt.update(words(text))
    counts: Counter[str] = Counter()
    best: dict[str, tuple[int, str]] = {}
    for word, count in spelt.items():
        if not is_content(word):
            continue
        root = stem(word)
        counts[root] += count
        shown = word if word.isupper() and len(word) < 6 else word.casefold()
        best[root] = max(best.get(root, (0, "")), (count, shown))
    total = counts.total()
    kept = Counter(dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TERMS_KEPT]))
    return Terms(kept, {root: best[root][1] for root in kept}, total)


def characteristic(own: Terms, others: Sequence[Terms], limit: int) -> tuple[str, ...]:
    """The stems that `own` uses much more than `others` together, strongest first.

    Source: the log-likelihood ratio of T. Dunning, "Accurate methods for the statistics of surprise" (1993).
    """
    rest_total = sum(other.total for other in others)
    scored: list[tuple[float, str]] = []
    for root, count in own.counts.items():
        rest = sum(other.counts[root] for other in others)
        if count < 2 or count * max(rest_total, 1) <= rest * max(own.total, 1):
            continue
        strength = _log_likelihood(count, own.total, rest, rest_total)
        if strength >= SIGNIFICANT_G2:
            scored.append((-strength, root))
    return tuple(root for _, root in sorted(scored)[:limit])


def shared(all_terms: Sequence[Terms], limit: int) -> tuple[str, ...]:
    """The stems that every text uses at least twice, by the share they have where they are rarest."""
    first, *rest = all_terms
    common = [root for root in first.counts if all(text.counts[root] >= 2 for text in all_terms)]
    weight = {root: min(text.counts[root] / text.total for text in (first, *rest)) for root in common}
    return tuple(sorted(common, key=lambda root: (-weight[root], root))[:limit])


def _log_likelihood(count: int, total: int, rest: int, rest_total: int) -> float:
    expected = total * (count + rest) / (total + rest_total)
    expected_rest = rest_total * (count + rest) / (total + rest_total)
    strength = count * math.log(count / expected)
    if rest and expected_rest:
        strength += rest * math.log(rest / expected_rest)
    return 2 * strength
