"""Phrases of search: `search FILE for 'text'`, `find lines with 'text' in FILE`, `where does 'text' occur in FILE`.

Invariant: quotes are taken off, nothing else is changed; only the words `pattern`, `regex`, `regular expression` and
`matching` make the text a pattern.
"""

import re

from aaos.plan.clauses import Pattern, Search
from aaos.plan.phrase_parts import ATOM, LIST, Words

WORD = r"[^‹›\s,;]+(?:\s+[^‹›\s,;]+){0,7}?"  # unquoted text of up to eight words
PAT = (
    r"(?P<regex>(?:the\s+)?(?:patterns?|regex(?:p|es)?|regular\s+expressions?)\s+)?"
    rf"(?:the\s+(?:words?|text|phrase|string)\s+)?(?P<pat>{ATOM}|{WORD})"
)
PLACE = (
    r"(?:in|within|inside|under|from|of|through|across|below)\s+"
    rf"(?:all\s+(?:the\s+)?(?:files\s+)?(?:in|under|of)\s+)?(?P<paths>{LIST})"
)
SAYS = (
    r"(?:(?:that\s+|which\s+)?(?P<match>match(?:es|ing)?)|(?:that\s+|which\s+)?(?:contain(?:s|ing)?|includ(?:e|es|ing)|mention(?:s|ing)?|say(?:s|ing)?"
    r"|ha(?:s|ve|ving))|with|for|of)"
)
_CASE = re.compile(
    r"[\s,]*(?:\(?(?:case[- ]insensitive(?:ly)?|ignoring(?:\s+the)?\s+case|in\s+any\s+case|whatever\s+the\s+case)\)?)",
    re.I,
)
_LINES = (
    r"(?:all\s+|every\s+|each\s+|any\s+)?(?:the\s+|of\s+the\s+)?"
    r"(?:lines?|occurrences?|mentions?|matches|entries|uses|places|hits|instances)"
)
_SHAPES = tuple(
    re.compile(shape, re.I)
    for shape in (
        rf"^(?:search|scan|grep|look\s+(?:in|through|at)|check)\s+(?:in\s+|through\s+)?(?P<paths>{LIST})\s+for\s+(?:{_LINES}\s+{SAYS}\s+)?{PAT}$",
        rf"^(?:search|look|grep|scan|check)\s+for\s+(?:{_LINES}\s+{SAYS}\s+)?{PAT}\s+{PLACE}$",
        rf"^(?:find|show|list|print|report|get|display|extract|give|tell|grep)\s+(?:me\s+)?{_LINES}\s+{SAYS}\s+{PAT}\s+{PLACE}$",
        rf"^(?:find|show|list|print|report|get|display|extract|give)\s+(?:me\s+)?{_LINES}\s+{PLACE}\s+{SAYS}\s+{PAT}$",
        rf"^{_LINES}\s+{SAYS}\s+{PAT}\s+{PLACE}$",
        rf"^(?:find|grep|locate)\s+(?:for\s+)?(?P<regex>)(?P<pat>{ATOM})\s+(?:{PLACE})$",
        rf"^grep\s+(?P<regex>)(?P<pat>{ATOM})\s+(?P<paths>{LIST})$",
        rf"^where\s+(?:does|do|is|are)\s+{PAT}\s+(?:occurs?|appears?|mentioned|found|used|said)\s+{PLACE}$",
        rf"^(?:which|what)\s+lines?\s+{PLACE}\s+{SAYS}\s+{PAT}$",
        rf"^(?:which|what)\s+lines?\s+{SAYS}\s+{PAT}\s+{PLACE}$",
    )
)


def parse_search(words: Words) -> Search | None:
    """The search that the words ask for, or None."""
    text, ignore_case = without_case(words.text)
    for shape in _SHAPES:
        match = shape.match(text)
        if match:
            return Search(words.paths(match["paths"]), to_pattern(match, words, ignore_case=ignore_case))
    return None


def without_case(text: str) -> tuple[str, bool]:
    """The words without `ignoring case`, and whether they said so."""
    bare, count = _CASE.subn("", text)
    return bare, count > 0


def to_pattern(match: re.Match[str], words: Words, *, ignore_case: bool) -> Pattern:
    """The pattern of a match: groups `pat`, `regex`, and `match` when the words say matching."""
    says_matching = bool(match.groupdict().get("match"))
    raw = match["pat"]
    is_atom = re.fullmatch(ATOM, raw) is not None
    text = words.atom(raw).text if is_atom else words.shown(raw)
    return Pattern(text, is_regex=bool(match["regex"]) or (says_matching and is_atom), ignore_case=ignore_case)
