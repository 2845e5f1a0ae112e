"""Which of the things that a free goal names are to be written, by its words alone.

Written is what stands after `to`, `into` or `as` behind a verb of writing in the same sentence (`save the list to X`),
after `in` where the sentence says what goes there (`write it in X`), and what a verb of making names (`create X`).

Invariant: everything else that is named is only read: `explain how A relates to B` writes nothing. Linear in the text.
"""

import re

_PLACED = re.compile(
    r"\b(?:writ(?:e|ing)|sav(?:e|ing)|put(?:ting)?|stor(?:e|ing)|output|export|record|plac(?:e|ing)|send|copy|append|dump"
    r"|add|translat(?:e|ing)|convert|render|transcribe)\b",
    re.I,
)
_TO = re.compile(r"\b(?:to|into|as)\s+(?:the\s+|a\s+|new\s+)*(?:file\s+)?(?:called\s+|named\s+)?‹(\d+)›", re.I)
_IN = re.compile(r"\b(?:it|that|this|them|all|everything|results?|answer|down)\s+(?:in|at|under)\s+‹(\d+)›", re.I)
_MADE = re.compile(
    r"\b(?:write|create|make|generate|produce|draft|prepare)\s+(?:the\s+|a\s+|new\s+)*(?:file\s+)?(?:called\s+|named\s+)?‹(\d+)›",
    re.I,
)
_END = re.compile(r"[.;!?\n]")


def written(template: str) -> frozenset[int]:
    """The numbers of the atoms in a goal's template that are to be written."""
    found: set[str] = set()
    for sentence in _END.split(template):
        found.update(_MADE.findall(sentence))
        verb = _PLACED.search(sentence)
        if verb is not None:
            rest = sentence[verb.start() :]
            found.update(_TO.findall(rest))
            found.update(_IN.findall(rest))
    return frozenset(map(int, found))
