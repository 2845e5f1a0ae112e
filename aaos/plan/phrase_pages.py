"""Phrases about web pages: `fetch URL`, `compare their top three stories`, `list the top 5 headlines of URL`.

They are looked at only in clauses that name an address, or that name nothing in a goal that does: what is said of files
keeps its meaning.

Invariant: an address is taken in its one normal form (`core.url`), and one that has several meanings is refused.
"""

import re

from aaos.plan.clauses import CompareStories, Fetch, ListStories
from aaos.plan.goal import AtomKind
from aaos.plan.phrase_parts import ATOM, LIST, NUMBER, Words, to_number

STORIES_UNLESS_SAID = 5
MAX_STORIES = 50

_FETCH = (
    r"(?:fetch|get|read|download|load|open|visit|retrieve|pull(?:\s+down)?|grab|access|browse|request|scrape|save|store"
    r"|(?:go|navigate)\s+to|(?:have\s+a\s+|take\s+a\s+)?look\s+at|check(?:\s+out)?)"
)
_TEXTS = r"(?:(?:the|all|full|whole|plain|readable)\s+)*(?:(?:contents?|texts?|html)\s+(?:of|from|at|on)\s+)?"
_RANK = (
    r"(?:(?:top|first|main|leading|lead|latest|newest|biggest|major|key|current|most\s+(?:important|prominent|recent))\s+"
    r"(?:of\s+the\s+)?)"
)
_OWN = r"(?:(?:the|their|its|his|her|all|both|each\s+other's|today's|respective|a|an|any)\s+)*"
_NOUN = (
    r"(?:(?:front[\s-]?page|home[\s-]?page|news|web|lead)\s+)?"
    r"(?:stories|story|headlines?|articles?|news(?:\s+items?)?|items?|posts?|topics?|reports?|entries|titles?)"
)
_STORIES = (
    rf"{_OWN}(?:{_RANK}(?:(?P<count>{NUMBER})\s+)?(?:{_RANK})?|(?P<number>{NUMBER})\s+(?:{_RANK})?)?"
    rf"(?:of\s+)?{_OWN}{_NOUN}"
)
_ALSO = r"(?:(?:those|the\s+ones|the\s+same)\s+)?(?:(?:of|on|from|at|in)\s+)?"
_PAIR = rf"{ATOM}(?:(?:(?:\s*,)?\s*(?:and|with|to|against|versus|vs\.?|&|from|than|or)\s+|\s*,\s*){_ALSO}{ATOM})*"
_S = r"(?:'s|’s)"
PAGES = (
    r"(?:(?:both|them|each|these|those|all|the\s+two|it)(?:\s+of\s+(?:them|these|those))?"
    r"|(?:(?:the|both|these|those|all|each|two|three|fetched|their|its|of)\s+)*(?:pages?|sites?|websites?|texts?|contents?))"
)
_WHERE = rf"(?:\s+(?:of|on|from|at|in|between|across|for|that\s+are\s+on)\s+(?:(?P<urls>{_PAIR})|{PAGES}))?"
_TELL = (
    r"(?:list|show|report|print|display|give|tell|find|extract|get|name|read|fetch|collect|summari[sz]e|what\s+are|what's"
    r"|what\s+is|which\s+are)(?:\s+(?:me|us|out))?"
)


def _shapes(*texts: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(f"^{text}$", re.I) for text in texts)


_COMPARED = _shapes(
    rf"(?:compare|contrast|diff)\s+{_STORIES}{_WHERE}",
    rf"(?:compare|contrast|diff)\s+(?P<urls>{_PAIR}){_S}?(?:\s*,)?\s*(?:by|on|in|regarding|looking\s+at)\s+{_STORIES}",
    rf"(?:compare|contrast|diff)\s+(?P<one>{ATOM}){_S}?\s+{_STORIES}\s+(?:and|with|to|against)\s+(?P<two>{ATOM})"
    rf"{_S}?(?:\s+{_NOUN})?",
    rf"(?:{_TELL}\s+)?(?:an?\s+|the\s+)?(?:comparison|differences?)\s+(?:of|between|among|in)\s+{_STORIES}{_WHERE}",
    rf"(?:tell\s+(?:me|us)\s+)?how\s+(?:do\s+|does\s+)?{_STORIES}{_WHERE}\s+(?:differ|compare)s?",
    rf"(?:which|what)\s+(?:of\s+)?{_STORIES}\s+(?:do\s+|are\s+|appear\s+)?(?:on\s+|in\s+)?(?:both\s+)?(?P<urls>{_PAIR})"
    r"(?:\s+(?:both\s+)?(?:share|have(?:\s+in\s+common)?))?",
)
_LISTED = _shapes(rf"{_TELL}\s+{_STORIES}{_WHERE}", rf"{_TELL}\s+(?P<urls>{ATOM}){_S}\s+{_STORIES}")
_FETCHED = re.compile(
    rf"^{_FETCH}\s+{_TEXTS}(?P<urls>{LIST})(?:\s+(?:from\s+)?(?:the\s+)?(?:web|internet|network))?$", re.I
)
_FILLER = re.compile(
    r"\b(?:(?:the|both|these|those|my|two|three|web|front|home|main|news|landing|start|following)[\s-]+)*"
    r"(?:(?:web|home|front)\s?)?(?:pages?|sites?|urls?|addresse?s?|links?)"
    rf"(?:\s*:|\s+(?:of|at|from|called))?\s+(?={ATOM})",
    re.I,
)


def without_fillers(text: str) -> str:
    """The words without `the front pages of` and its like before what they stand for."""
    return _FILLER.sub("", text)


def parse_pages(words: Words) -> Fetch | ListStories | CompareStories | None:
    """What the words ask for of web pages, or None."""
    atoms = [words.atom(found) for found in re.findall(ATOM, words.text)]
    if any(atom.kind is not AtomKind.URL for atom in atoms):
        return None
    if not atoms and not any(atom.kind is AtomKind.URL for atom in words.goal.atoms):
        return None
    return _fetch(words) or _compare(words) or _list(words)


def _fetch(words: Words) -> Fetch | None:
    match = _FETCHED.match(words.text)
    return Fetch(words.urls(match["urls"])) if match else None


def _compare(words: Words) -> CompareStories | None:
    match = next(filter(None, (shape.match(words.text) for shape in _COMPARED)), None)
    if match is None:
        return None
    named = match.groupdict()
    urls = named.get("urls") or f"{named.get('one') or ''}{named.get('two') or ''}"
    return CompareStories(words.urls(urls), _count(match))


def _list(words: Words) -> ListStories | None:
    match = next(filter(None, (shape.match(words.text) for shape in _LISTED)), None)
    return ListStories(words.urls(match["urls"] or ""), _count(match)) if match else None


def _count(match: re.Match[str]) -> int:
    said: str | None = match["count"] or match["number"]
    number = to_number(said) if said else None
    return STORIES_UNLESS_SAID if number is None else min(max(number, 1), MAX_STORIES)
