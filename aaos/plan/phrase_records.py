"""Phrases of reports and counts: `report the 20 largest installed packages from FILE`, `how many lines are in FILE`.

A report's noun phrase is [N] [order] [N] [words] noun, with the field to order by after `by` or `with the highest`. The
words before the noun filter the records. Invariant: a word is a filter, an order, a number or the noun, never dropped
but for articles and the like in `_FILLERS`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aaos.plan.clauses import Count, Report, Unit
from aaos.plan.phrase_parts import ATOM, LIST, Words, to_number
from aaos.plan.phrase_search import PAT, PLACE, SAYS, to_pattern, without_case

_ORDERS = {
    "largest": "largest biggest greatest highest heaviest longest widest maximum max tallest most",
    "smallest": "smallest lowest least tiniest shortest minimum min lightest fewest",
    "newest": "newest latest youngest",
    "oldest": "oldest earliest",
    "top": "top",
    "first": "first",
    "last": "last final bottom",
}
_ORDER_OF = {word: order for order, words in _ORDERS.items() for word in words.split()}
_FILLER_WORDS = """
    the a an all of each every any that which who are is were was have has been currently available
    different various there marked as being only those these me us and every
"""
_FILLERS = frozenset(_FILLER_WORDS.split())
_VERB = (
    r"(?:report|list|show|print|display|find|give|tell|name|extract|rank|get|what\s+(?:is|are)|which\s+(?:is|are)|who\s+(?:is|are)"
    r"|make|create|produce|prepare|generate|write)"
)
_LEAD = (
    rf"(?:{_VERB}\s+)?(?:me\s+|us\s+)?(?:on\s+|about\s+)?"
    r"(?:(?:a|an|the)\s+(?:report|list|table|ranking)\s+(?:of|on|about)\s+)?"
)
_NO_FIELD = (
    r"(?:in|from|within|out\s+of|inside|listed|found|recorded|contained|descending|ascending|decreasing|increasing)\b"
)
_BY = (
    r"(?:(?:sorted|ordered|ranked|measured|judged)\s+)?(?:by|according\s+to)\s+(?:the\s+|their\s+|its\s+)?"
    rf"(?P<{{}}>{ATOM}|[\w-]+(?:\s+(?!{_NO_FIELD})[\w-]+){{{{0,3}}}})"
)
_DIRECTION = r"(?P<direction>\s+(?:in\s+)?(?:descending|ascending|decreasing|increasing|reverse)(?:\s+order)?)?"
_FROM = rf"(?:from|in|of|within|out\s+of|inside|recorded\s+in|listed\s+in|found\s+in|contained\s+in)\s+(?P<path>{ATOM})"
_REPORT = re.compile(
    rf"^{_LEAD}(?P<body>[^‹›]+?)(?:\s+{_BY.format('field')}{_DIRECTION})?\s+{_FROM}"
    rf"(?:\s*,?\s+{_BY.format('field2')}{_DIRECTION.replace('direction', 'direction2')})?$",
    re.I,
)
_WITH = re.compile(
    r"^(?P<body>.+?)\s+(?:with|having|that\s+have|which\s+have|who\s+have)\s+(?:the\s+)?(?P<order>\w+)\s+(?P<field>[\w-]+(?:\s+[\w-]+){0,3})$",
    re.I,
)
_RECENT = re.compile(r"\b(?:most|more)\s+recent(?:ly\s+\w+)?\b", re.I)
_DOZEN = re.compile(r"\ba\s+(?=dozen\b|hundred\b)", re.I)


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A noun phrase, as far as it has been read."""

    order: str = ""
    count: int = 0
    words: tuple[str, ...] = field(default=())


def parse_report(words: Words) -> Report | None:
    """The report that the words ask for, or None."""
    match = _REPORT.match(words.text)
    if not match:
        return None
    body, by = match["body"].strip(" ,"), match["field"] or match["field2"]
    order = ""
    with_field = _WITH.match(body)
    if with_field and with_field["order"].casefold() in _ORDER_OF:
        body, by = with_field["body"], by or with_field["field"]
        order = _ORDER_OF[with_field["order"].casefold()]
    phrase = _noun_phrase(body)
    if phrase is None:
        return None
    noun, filters = phrase.words[-1], phrase.words[:-1]
    direction = match["direction"] or match["direction2"] or ""
    order = _order(order or phrase.order, has_field=bool(by), count=phrase.count, direction=direction)
    count = phrase.count or (1 if phrase.order and not noun.casefold().endswith("s") else 0)
    return Report(words.path(match["path"]), order, count, words.shown(by or "").strip(), noun, filters)


def _order(said: str, *, has_field: bool, count: int, direction: str) -> str:
    """The order as said; a field alone orders from the largest, a count alone takes the first, nothing takes all."""
    if re.search(r"ascending|increasing", direction, re.I) and said in ("", "top"):
        return "smallest"
    if said:
        return said
    return "largest" if has_field else "first" if count else "all"


def _noun_phrase(body: str) -> _Phrase | None:
    plain = _DOZEN.sub("", _RECENT.sub("newest", body))
    phrase = _Phrase()
    relative: list[str] = []  # words after `that are`: they belong before the noun
    head: list[str] = []
    seen_relative = False
    for word in re.findall(r"\d{1,3}(?:,\d{3})+(?!\S)|[^\s,]+", plain):
        lower = word.casefold()
        number = to_number(word)
        if lower in ("that", "which", "who") and head:
            seen_relative = True
        elif lower in _FILLERS:
            continue
        elif number is not None and not phrase.count and not head:
            phrase = replace(phrase, count=number)
        elif lower in _ORDER_OF and not phrase.order and not head:
            phrase = replace(phrase, order=_ORDER_OF[lower])
        elif not re.fullmatch(r"[\w.+/-]{1,60}", word):
            return None
        else:
            (relative if seen_relative else head).append(word)
    if not head or len(head) + len(relative) > 5:
        return None
    return replace(phrase, words=(*head[:-1], *relative, head[-1]))


# --- counts -------------------------------------------------------------------------------------------------------

_ASK = (
    r"(?:count(?:\s+up)?|how\s+many|(?:tell|give|show|report)\s+(?:me\s+)?(?:the\s+)?(?:number|count)\s+of"
    r"|(?:the\s+)?(?:number|count)\s+of|what\s+is\s+the\s+number\s+of)"
)
_ARE = r"(?:\s+(?:are|is)\s+there|\s+are|\s+is|\s+there\s+are|\s+do(?:es)?\s+it\s+have)?"
_UNITS = {
    Unit.LINES: "lines line rows-of-text",
    Unit.WORDS: "words word",
    Unit.CHARACTERS: "characters character chars letters",
    Unit.BYTES: "bytes byte",
    Unit.RECORDS: "records record rows entries stanzas items",
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words.split()}
_OCCURRENCES = (
    r"(?:all\s+|every\s+)?(?:the\s+)?(?:occurrences?|mentions?|matches|instances|appearances|uses)\s+(?:of|for)"
)
_COUNT_MATCHES = (
    re.compile(rf"^{_ASK}\s+{_OCCURRENCES}\s+{PAT}{_ARE}\s+{PLACE}$", re.I),
    re.compile(
        rf"^{_ASK}\s+(?:times\s+)(?:does\s+|do\s+|is\s+|are\s+)?{PAT}\s+(?:occurs?|appears?|mentioned|found|used|said)\s+{PLACE}$",
        re.I,
    ),
    re.compile(
        rf"^count\s+how\s+(?:often|many\s+times)\s+{PAT}\s+(?:occurs?|appears?|is\s+mentioned)\s+{PLACE}$", re.I
    ),
    re.compile(rf"^how\s+often\s+(?:does|do|is)\s+{PAT}\s+(?:occur|appear|mentioned|found|used)\s+{PLACE}$", re.I),
    re.compile(rf"^{_ASK}\s+(?P<regex>)(?P<pat>{ATOM})\s+{PLACE}$", re.I),
)
_COUNT_LINES = (
    re.compile(rf"^{_ASK}\s+(?:all\s+)?(?:the\s+)?lines?\s+{PLACE}\s+{SAYS}\s+{PAT}$", re.I),
    re.compile(rf"^{_ASK}\s+(?:all\s+)?(?:the\s+)?lines?\s+{SAYS}\s+{PAT}{_ARE}\s+{PLACE}$", re.I),
)
_COUNT_THINGS = re.compile(
    rf"^{_ASK}\s+(?:all\s+)?(?:the\s+)?(?P<body>[^‹›]+?){_ARE}\s+(?:in|of|from|within|inside|listed\s+in)\s+(?:the\s+)?(?P<paths>{LIST})$",
    re.I,
)
_HAVE = re.compile(
    rf"^how\s+many\s+(?P<body>[^‹›]+?)\s+(?:do|does)\s+(?P<paths>{LIST})\s+(?:have|contain|hold|list)$", re.I
)


def parse_count(words: Words) -> Count | None:
    """The count that the words ask for, or None."""
    text, ignore_case = without_case(words.text)
    for shapes, unit in ((_COUNT_MATCHES, Unit.MATCHES), (_COUNT_LINES, Unit.MATCHING_LINES)):
        for shape in shapes:
            match = shape.match(text)
            if match:
                return Count(words.paths(match["paths"]), unit, to_pattern(match, words, ignore_case=ignore_case))
    match = _COUNT_THINGS.match(text) or _HAVE.match(text)
    return _count_things(words.paths(match["paths"]), match["body"]) if match else None


def _count_things(paths: tuple[str, ...], body: str) -> Count | None:
    phrase = _noun_phrase(body)
    if phrase is None or phrase.order or phrase.count:
        return None
    noun, filters = phrase.words[-1], phrase.words[:-1]
    unit = _UNIT_OF.get(noun.casefold(), Unit.RECORDS)
    return None if filters and unit is not Unit.RECORDS else Count(paths, unit, None, noun, _plain(filters))


def _plain(filters: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filters))
