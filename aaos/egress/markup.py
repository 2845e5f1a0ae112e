"""HTML as its parser gets it: tags with the attributes that are used, text, and nothing else.

Invariant: the work is linear in the size of the page. libxml2 compares each attribute of a tag with all before it, so
that one tag of 256 KiB takes seconds and one of 4 MiB an hour; here a tag is left with four attributes at most. Tags
are told from text as browsers do, and written so that no other reader could tell them otherwise. Scripts, styles and
comments are left out whole. Source: WHATWG HTML, section 13.2.5 (tokenization).
"""

import re
from collections.abc import Iterator

from aaos.egress.nesting import Nesting

USED = frozenset({"alt", "hidden", "href", "style"})

_SPACE = r"[ \t\r\n\f]"
_ATTRIBUTE = (
    r"(?P<NAME>[^ \t\r\n\f/>][^ \t\r\n\f/>=]*+)"
    rf"(?:{_SPACE}*+={_SPACE}*+"
    r"(?:\"(?P<DOUBLE>[^\"]*+)\"?+|'(?P<SINGLE>[^']*+)'?+|(?P<BARE>[^ \t\r\n\f>\"'][^ \t\r\n\f>]*+))?+)?+"
)
_NAMELESS = re.sub(r"\?P<[A-Z]+>", "?:", _ATTRIBUTE)
_NAME = r"[A-Za-z][A-Za-z0-9:._-]*+"
_MARK = re.compile(
    r"<!--(?:-?>|(?:[^-]++|-(?!-!?>))*+(?:--!?>)?+)"
    rf"|</({_NAME})[^>]*+>?+"
    rf"|<({_NAME})[^ \t\r\n\f/>]*+((?:[ \t\r\n\f/]*+{_NAMELESS})*+)([ \t\r\n\f/]*+)>?+"
    r"|<(?:[!?]|/(?![A-Za-z]))[^>]*+>?+"
)
_USED = re.compile(rf"[ \t\r\n\f/]*+{_ATTRIBUTE}")
_RAW = {name: re.compile(rf"</{name}(?=[ \t\r\n\f/>])[^>]*+>?+", re.IGNORECASE) for name in ("script", "style")}
_TEXT = {name: re.compile(rf"</{name}(?=[ \t\r\n\f/>])", re.IGNORECASE) for name in ("title", "textarea")}


def plain_markup(html: str, nesting: Nesting | None = None) -> str:
    """The page with what `readable` uses of it, for a parser that reads tags in whatever way; without all that
    follows on a tag that is nested too deep, which `nesting` tells."""
    return "".join(_pieces(html, nesting or Nesting()))


def _pieces(html: str, nesting: Nesting) -> Iterator[str]:
    at = 0
    while (mark := _MARK.search(html, at)) is not None:
        yield html[at : mark.start()].replace("<", "&lt;")
        at = mark.end()
        ended, begun, attributes, rest = mark.groups()
        if ended:
            nesting.end(ended.lower())
            yield f"</{ended}>"
        elif begun:
            name, is_closed = begun.lower(), rest.endswith("/")
            if name in _RAW:
                at = at if is_closed else _end(_RAW[name], html, at, is_after=True)
                continue
            if not is_closed:
                nesting.begin(name)
            if nesting.is_too_deep:
                return
            yield f"<{begun}{_used(attributes)}{'/' if is_closed else ''}>"
            if name in _TEXT and not is_closed:
                end = _end(_TEXT[name], html, at, is_after=False)
                yield html[at:end].replace("<", "&lt;")
                at = end
    yield html[at:].replace("<", "&lt;")


def _end(closing: re.Pattern[str], html: str, at: int, *, is_after: bool) -> int:
    """Where an element ends whose content has no tags: before its closing tag or after it; or with the page."""
    found = closing.search(html, at)
    if found is None:
        return len(html)
    return found.end() if is_after else found.start()


def _used(attributes: str) -> str:
    """The attributes that are used, the first of each name, written so that they end where they should."""
    if not attributes:
        return ""
    kept: dict[str, str] = {}
    for found in _USED.finditer(attributes):
        name = found["NAME"].lower()
        if name in USED and name not in kept:
            value = found["DOUBLE"] or found["SINGLE"] or found["BARE"] or ""
            kept[name] = value.replace('"', "&quot;").replace("<", "&lt;")
            if len(kept) == len(USED):
                break
    return "".join(f' {name}="{value}"' for name, value in kept.items())
