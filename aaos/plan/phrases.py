"""The words of a goal as clauses: a small grammar of English, by code.

A goal is clauses joined by commas, full stops, `and`, `then`. Each clause is one of the documented shapes in one of its
wordings (docs/goals.md lists them); what no wording fits is refused with the shapes that work. Every expression is
anchored and has no nested repetition over the same words: at worst the time is the square of the goal's words.

Invariant: every atom of the goal is used by exactly one clause, or the goal is refused: nothing that the operator named
is silently left out.
"""

import re

from aaos.core.errors import InputError
from aaos.core.text import quoted
from aaos.plan.clauses import Clause, Compare, Parsed, Summarise, Thing, Work, Write
from aaos.plan.goal import OPEN, AtomKind, GoalText, read_goal
from aaos.plan.phrase_pages import PAGES, parse_pages, without_fillers
from aaos.plan.phrase_parts import ATOM, LIST, Words
from aaos.plan.phrase_records import parse_count, parse_report
from aaos.plan.phrase_search import parse_search

MAX_CLAUSES = 24

_KNOWN = (
    "summarise FILE; compare FILE and FILE; report the largest N NOUN from FILE; search for 'TEXT' in FILE; count the"
    " lines in FILE; fetch URL and URL, compare their top three stories, and write the comparison to FILE"
)
_EXAMPLE = 'agentd submit "summarise /etc/services and write the summary to ./services.md"'

_WRITE = r"(?:write|save|put|store|output|export|record|place|send)"
_VERBS = (
    r"(?:summari[sz]e|sum\s+up|outline|condense|recap|digest|compare|contrast|report|list|show|print|display|find|search|grep"
    r"|look\s+for|scan|count|tell|give|how|what|which|where|extract|rank|get|create|make|produce|prepare|generate|draft|do"
    rf"|fetch|(?:read|open|load|download|visit|retrieve|grab|pull|go\s+to|look\s+at)(?=(?:\s+(?!in\b)[\w-]+){{0,8}}\s+{ATOM})|{_WRITE[3:-1]})"
)
_LEADS = r"(?:and\s+|then\s+|also\s+|finally\s+|next\s+|after\s+that,?\s+|afterwards,?\s+|first,?\s+|now\s+|please\s+)*"
_NAMED = r"(?:the|a|an)\s+(?:comparison|summar(?:y|ies)|reports?|results?|matches|counts?)"
_SPLIT = re.compile(
    rf"(?:\s*[,;.!?\n]\s*{_LEADS}|\s+(?:and|then)\s+{_LEADS})(?={_VERBS}\b|{_NAMED}\s+(?:in\s*to|to)\s+{ATOM})", re.I
)
_PLACE_ALONE = re.compile(rf"^(?:in|from|within|using|for|of)\s+{LIST}$", re.I)
_POLITE = re.compile(
    rf"^(?:{_LEADS}(?:please|kindly|hi|hello|could\s+you|can\s+you|would\s+you|will\s+you|i\s+want\s+you\s+to|i\s+want"
    r"|i(?:\s+would|'d)\s+like\s+you\s+to|i(?:\s+would|'d)\s+like|i\s+need\s+you\s+to|i\s+need|you\s+should|let's|agent)\b[\s,]*)+|^"
    + _LEADS,
    re.I,
)
_THANKS = re.compile(
    r"[\s,;.!?]*(?:\b(?:please|thanks|thank\s+you|for\s+me|if\s+you\s+(?:can|please))\b[\s,;.!?]*)*$", re.I
)
_FILLER = re.compile(
    rf"\b(?:(?:the|a|an|my|this|that|these|those|both|all|each\s+of)\s+)*(?:(?:new|text|log|local|following|data)\s+)*"
    rf"(?:files?|documents?|director(?:y|ies)|folders?|paths?|texts?)(?:\s+(?:called|named|at))?:?\s+(?={ATOM})",
    re.I,
)
_BARE = re.compile(rf"\b(?:the|both|my)\s+(?={ATOM})", re.I)
_PLACE_FIRST = re.compile(rf"^(?:in|from|within|using|for|of)\s+(?P<paths>{LIST})\s*[,:]?\s+(?P<rest>.+)$", re.I)
_OUT = rf"(?:\s*,)?\s*(?:and\s+)?(?P<by>in\s*to|to|in|as|at|under)\s+(?P<out>{ATOM})"
_WRITE_END = re.compile(rf"^(?:{_WRITE}\s+(?:down\s+)?|(?={_NAMED}))(?P<what>.+?){_OUT}$", re.I)
_WRITE_FIRST = re.compile(rf"^{_WRITE}\s+(?:in\s*to|to|in)\s+(?P<out>{ATOM})\s*[,:]?\s*(?P<what>.+)$", re.I)
_WRITE_ALONE = re.compile(rf"^{_WRITE}\s+(?:in\s*to|to|as)\s+(?P<out>{ATOM})$", re.I)
_OUT_SUFFIX = re.compile(rf"^(?P<rest>.+?)(?:\s*,)?\s+(?:and\s+)?(?P<by>in\s*to|to|as)\s+(?P<out>{ATOM})$", re.I)
_THING = re.compile(
    r"^(?:(?:the|a|an|this|that|your|all|all\s+the|its|their|every)\s+)*(?:(?:final|full|whole|short|brief|resulting|combined"
    r"|search|written|complete)\s+)*(?P<thing>comparison|differences?|summar(?:y|ies)|overviews?|outlines?|digests?|reports?|results?"
    r"|outputs?|answers?|findings?|matches|lines|counts?|lists?|tables?|pages?|texts?|contents?|it|this|that|them|everything|both|numbers?|records?"
    r"|hits)(?:\s+(?:of|between)\s+(?:them|both|the\s+two|these|it|all))?$",
    re.I,
)
_COMPARISONS = re.compile(r"comparison|difference", re.I)
_SUMMARIES = re.compile(r"summar|overview|outline|digest", re.I)

_GIVE = (
    r"(?:(?:give|make|create|produce|prepare|generate|draft|show|print|get|tell|do|write)\s+(?:me\s+|us\s+)?"
    r"|report\s+(?:on\s+)?|what\s+(?:is|are|'s)\s+)?"
)
_ADJECTIVES = r"(?:(?:short|brief|quick|concise|detailed|one-line|simple|small|good|plain|extractive)\s+)*"
_CONTENT = r"(?:(?:the\s+)?(?:contents?|text|(?:text\s+)?files|everything)\s+(?:of|in|inside|under|from|within)\s+)?"
_SUMMARISE = re.compile(
    rf"^(?:(?:summari[sz]e|sum\s+up|outline|condense|recap|digest)\s+"
    rf"|{_GIVE}(?:an?\s+|the\s+)?{_ADJECTIVES}(?:summar(?:y|ies)|overviews?|outlines?|digests?|synops[ie]s|gist|tl;dr)"
    rf"\s+(?:of|for|on|about)\s+){_CONTENT}(?P<paths>{LIST})$",
    re.I,
)
_SUMMARISE_THEM = re.compile(
    rf"^(?:(?:summari[sz]e|sum\s+up|outline|condense|recap|digest)"
    rf"|{_GIVE}(?:an?\s+|the\s+)?{_ADJECTIVES}(?:summar(?:y|ies)|overviews?|outlines?|digests?)\s+(?:of|for|on|about))\s+{PAGES}$",
    re.I,
)
_ABOUT = re.compile(
    rf"^what(?:'s|\s+is|\s+does|\s+do|\s+are)\s+(?:in\s+)?(?P<paths>{LIST})(?:\s+(?:about|say|contain))?$", re.I
)
_PAIR = rf"{ATOM}(?:(?:(?:\s*,)?\s*(?:and|with|to|against|versus|vs\.?|&|from|than)\s+|\s*,\s*){ATOM})*"
_COMPARE = re.compile(
    rf"^(?:(?:compare|contrast|diff)\s+(?:the\s+)?(?:contents?\s+of\s+)?"
    rf"|{_GIVE}(?:an?\s+|the\s+)?{_ADJECTIVES}(?:comparison|diff|differences?)\s+(?:of|between|among)\s+)(?P<paths>{_PAIR})$",
    re.I,
)
_COMPARE_THEM = re.compile(
    rf"^(?:(?:compare|contrast|diff)|{_GIVE}(?:an?\s+|the\s+)?{_ADJECTIVES}(?:comparison|diff|differences?)\s+(?:of|between))"
    rf"\s+{PAGES}$|^(?:tell\s+me\s+)?how\s+(?:do\s+|does\s+)?they\s+(?:differ|compare)$",
    re.I,
)
_DIFFER = re.compile(rf"^(?:tell\s+me\s+)?how\s+(?:do|does)?\s*(?P<paths>{_PAIR})\s+(?:differ|compare)s?$", re.I)
_DIFFERS = re.compile(
    rf"^(?:tell\s+me\s+)?how\s+(?P<one>{ATOM})\s+(?:differs?|is\s+different)\s+from\s+(?P<two>{ATOM})$", re.I
)
_BRACKETED = re.compile(rf"[(<\[]({ATOM})[)>\]]")
_AND_CONTRAST = re.compile(r"\bcompare\s+and\s+contrast\b", re.I)


class NotUnderstoodError(InputError):
    """The goal is not one of the shapes; a model may understand it."""


def parse_goal(text: str) -> tuple[Parsed, ...]:
    """The clauses of a goal. Raises NotUnderstoodError: not one of the shapes, with those that are and an example;
    InputError: something that it names is written wrongly.
    """
    goal = read_goal(text)
    template = _AND_CONTRAST.sub("compare", _FILLER.sub("", _pages_bare(goal)))
    template = _THANKS.sub("", _POLITE.sub("", _BARE.sub("", template), count=1))
    clauses: list[Parsed] = []
    place = ""
    for part in _SPLIT.split(template):
        bare = _POLITE.sub("", " ".join(part.split()).strip(" ,;.!?:"), count=1)
        if _PLACE_ALONE.match(bare):
            place = f"{place}{bare} "  # `in FILE, count the lines`: a place that its clause follows
        elif bare:
            clauses.append(_clause(place + bare, goal))
            place = ""
    if place or not clauses or len(clauses) > MAX_CLAUSES:
        raise not_understood(text)
    _check_all_used(template, goal)
    return tuple(clauses)


def _pages_bare(goal: GoalText) -> str:
    has_pages = any(atom.kind is AtomKind.URL for atom in goal.atoms)
    return without_fillers(_BRACKETED.sub(r"\1", goal.template)) if has_pages else goal.template


def not_understood(text: str, why: str = "") -> NotUnderstoodError:
    """The refusal of what is not one of the shapes; it says which tier could."""
    reason = f" ({why})" if why else ""
    return NotUnderstoodError(
        f"tier T0, which works without a model, does not understand {quoted(text, max_chars=160)}{reason};"
        " that takes a language model (tier T1, T2 or T3), and none is set up",
        f"say it as one of: {_KNOWN}. Example: {_EXAMPLE}",
    )


def _clause(part: str, goal: GoalText) -> Parsed:
    words = Words(part, goal)
    written = _written(words)
    if written is not None:
        return written
    work = _work(words)
    if work is not None:
        return Clause(work)
    suffix = _OUT_SUFFIX.match(part)
    if suffix:
        work = _work(Words(suffix["rest"], goal))
        if isinstance(work, Compare) and suffix["by"].casefold() == "to":
            raise _unclear_compare(words.show(), words.path(suffix["out"]))
        if work is not None:
            return Clause(work, words.path(suffix["out"]))
    raise not_understood(words.show(), words.hint())


def _written(words: Words) -> Parsed | None:
    """`write the comparison to OUT`, `write a summary of A to OUT`, `save to OUT the differences between A and B`."""
    alone = _WRITE_ALONE.match(words.text)
    if alone:
        return Write(Thing.RESULT, words.path(alone["out"]))
    match = _WRITE_FIRST.match(words.text) or _WRITE_END.match(words.text)
    if not match:
        return None
    what = match["what"].strip(" ,:")
    thing = _THING.match(what)
    if thing:
        return Write(_thing(thing["thing"]), words.path(match["out"]))
    asked = Words(what, words.goal)
    work = parse_pages(Words(f"fetch {what}", words.goal)) or (_work(asked) if OPEN in what else parse_pages(asked))
    return Clause(work, words.path(match["out"])) if work else None


def _thing(word: str) -> Thing:
    if _COMPARISONS.search(word):
        return Thing.COMPARISON
    return Thing.SUMMARY if _SUMMARIES.search(word) else Thing.RESULT


def _work(words: Words) -> Work | None:
    """The clause by its shape; the more particular wordings first."""
    moved = _PLACE_FIRST.match(words.text)
    if moved and not re.search(rf"\b(?:in|from|of|within)\s+{ATOM}", moved["rest"], re.I):
        words = Words(f"{moved['rest']} in {moved['paths']}", words.goal)
    about_pages = parse_pages(words)
    if about_pages is not None:
        return about_pages
    return _summarise(words) or _compare(words) or parse_count(words) or parse_search(words) or parse_report(words)


def _summarise(words: Words) -> Summarise | None:
    match = _SUMMARISE.match(words.text) or _ABOUT.match(words.text)
    if match:
        sources = words.sources(match["paths"])
        return Summarise(sources.paths, sources.urls)
    return Summarise(()) if _SUMMARISE_THEM.match(words.text) else None


def _compare(words: Words) -> Compare | None:
    match = _COMPARE.match(words.text) or _DIFFER.match(words.text)
    if match:
        last = words.atom(re.findall(ATOM, match["paths"])[-1]).text
        return _compared(match["paths"], words, unclear=last)
    differs = _DIFFERS.match(words.text)
    if differs:
        return _compared(f"{differs['one']}{differs['two']}", words)
    return Compare(()) if _COMPARE_THEM.match(words.text) else None


def _compared(placeholders: str, words: Words, *, unclear: str = "") -> Compare:
    sources = words.sources(placeholders)
    if len(sources.paths) + len(sources.urls) > 2 and re.search(r"\sto\s", placeholders, re.I):
        raise _unclear_compare(words.show(), unclear)
    return Compare(sources.paths, sources.urls)


def _unclear_compare(clause: str, output: str) -> InputError:
    return InputError(
        f"{quoted(clause, max_chars=160)}: it is unclear whether {quoted(output)} is to be compared or to be written",
        f"say: compare A and B, and write the comparison to {output}",
    )


def _check_all_used(template: str, goal: GoalText) -> None:
    """Nothing that the operator named may be lost to an expression that takes away politeness and fillers."""
    missing = [atom.text for at, atom in enumerate(goal.atoms) if f"‹{at}›" not in template]
    if missing:
        raise not_understood(", ".join(missing), "these names were not understood")
