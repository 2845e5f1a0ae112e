"""Web pages as tier T0 gets them: results of fetchers, each a head that agentd's own tool wrote, then the page's text.

Invariant: the head is what stands before the first empty line, and the page's text stands between two lines with a mark
that the page cannot know: nothing that it says can become part of the head.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from aaos.core.ids import SubtaskId
from aaos.llm.rules_file import FileText
from aaos.llm.rules_page_blocks import prose

_HEAD = re.compile(
    r"URL: (?P<url>https?://\S+)\nStatus: \d{3}\b(?P<terms>[^\n]*)(?P<more>(?:\n[^\n]+)*?)(?:\n\n|\n*\Z)"
)
_HTML = re.compile(r"Type: (?:text/html|application/xhtml\+xml)\b")
_FRAMED = re.compile(
    r"\[outside (?P<mark>[0-9a-f]{8,64}): [^\n]*\]\n(?P<text>.*)\n\[/outside (?P=mark)\](?P<rest>.*)\Z", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was fetched: `url` is where its text came from in the end."""

    url: str
    text: FileText

    @property
    def host(self) -> str:
        """The host, with its port when the address has one."""
        return urlsplit(self.url).netloc

    @property
    def place(self) -> str:
        """The address without its scheme, and without the slash of an address that is a host alone."""
        return self.url.partition("://")[2].rstrip("/")

    @property
    def prose(self) -> FileText:
        """The text as it is read, line for line: without menus and the addresses of its links."""
        return replace(self.text, lines=prose(self.text.lines))

    @property
    def caveat(self) -> str:
        """What a reader has to know when not all of the page was fetched; begins with a space, or empty."""
        return "" if self.text.is_whole else " **The page is longer: only its beginning was fetched.**"


def pages_of(inputs: Mapping[SubtaskId, str]) -> tuple[Page, ...]:
    """The pages among the results of earlier subtasks, in their order."""
    return tuple(page for text in inputs.values() if (page := _page(text)))


def others_of(inputs: Mapping[SubtaskId, str]) -> tuple[str, ...]:
    """The results that are no pages: documents."""
    return tuple(text for text in inputs.values() if not _head(text))


def page_text(text: str) -> str | None:
    """What stands on the page alone, or None when the text is no page's; a page that was cut ends with saying so."""
    page = _page(text)
    if page is None:
        return None
    body = "\n".join(page.text.lines)
    return body if page.text.is_whole else f"{body}\n\n[the page is longer: only its beginning was fetched]"


def _head(text: str) -> re.Match[str] | None:
    """The head of a page; None also for one with an address that is none, which no tool of ours wrote."""
    head = _HEAD.match(text)
    try:
        return head if head and urlsplit(head["url"]) else None
    except ValueError:
        return None


def _page(text: str) -> Page | None:
    head = _head(text)
    if head is None:
        return None
    framed = _FRAMED.match(text, head.end())
    body = framed["text"] if framed else text[head.end() :]
    is_whole = not head["more"] and not (framed and framed["rest"].strip())
    lines = tuple(body.split("\n")) if body.strip() else ()
    is_prose = _HTML.search(head["terms"]) is not None
    return Page(head["url"], FileText(head["url"], lines, is_whole=is_whole, is_prose=is_prose))
