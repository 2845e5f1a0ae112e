"""HTML as readable text: headings, links, lists, cells of tables, quotes and preformatted text in Markdown.

Invariant: the work is linear in the size of the page and does not recurse, however the page is nested; text and time
are bounded, since a few bytes of HTML can ask for much text. What the page hides (scripts, styles, `hidden`) is not in
the text. Tags are told from text by `markup`; what nests in what is libxml2's, by `lxml`.
"""

import re
import time
from dataclasses import dataclass, field
from urllib.parse import urljoin

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from aaos.egress.markup import plain_markup
from aaos.egress.nesting import Nesting

_DROPPED = frozenset(
    "script style template noscript head iframe object embed svg math canvas audio video map select datalist input"
    " button textarea dialog".split()
)
_LINES = frozenset(
    "address body br center dd details dt div fieldset figcaption figure footer form header hgroup hr html legend li"
    " main nav summary tbody tfoot thead tr".split()
)
_PARAGRAPHS = frozenset("article aside blockquote dl h1 h2 h3 h4 h5 h6 ol p pre section table ul".split())
_HEADINGS = {f"h{level}": f"{'#' * level} " for level in range(1, 7)}
_SPACE = re.compile(r"[ \t\r\n\f]+")
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_HAS_TITLE = re.compile(r"^# ", re.MULTILINE)
MAX_HREF = 2_048
MAX_LEVELS = 8
MAX_TEXT = 4_194_304
MAX_CPU_S = 5.0


def readable(html: str, base: str) -> tuple[str, bool]:
    """The page as Markdown, and whether the parser could read all of it. Links are made absolute against `base`."""
    parser = HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    nesting = Nesting()
    plain = plain_markup(html.replace("\0", ""), nesting)
    try:
        root = document_fromstring(plain.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):  # nothing but comments, or nothing at all
        return "", True
    is_fatal = any(entry.level == etree.ErrorLevels.FATAL for entry in parser.error_log)
    is_whole = not (nesting.is_too_deep or is_fatal)
    page = _Page(_joined(base, root.xpath("string(//base/@href)")) or base)
    is_whole = page.render(root) and is_whole
    text = page.text()
    title = _SPACE.sub(" ", root.xpath("string(//head/title)")).strip()
    if title and not _HAS_TITLE.search(text):
        text = f"# {title}\n\n{text}"
    return text, is_whole


@dataclass(slots=True)
class _Page:
    """What was written so far: whole lines, and the fragments of the line that is being written."""

    base: str
    lines: list[str] = field(default_factory=list)
    line: list[str] = field(default_factory=list)
    prefix: str = ""  # of the next line that has text: a heading's or a list item's mark
    numbers: list[int] = field(default_factory=list)  # of each open list: of its next item, 0 without numbers
    link: str = ""  # the address of the open link, until a line has it
    link_start: int = 0  # the fragment where its text begins
    size: int = 0
    quotes: int = 0
    pre: int = 0

    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines).strip("\n")

    def render(self, root: HtmlElement) -> bool:
        """Write the text of the tree below `root`; whether all of it was written within the bounds."""
        until_s = time.thread_time() + MAX_CPU_S
        hidden: HtmlElement | None = None
        for event, element in etree.iterwalk(root, events=("start", "end")):
            if event == "start":
                if hidden is None and _is_hidden(element):
                    hidden = element
                if hidden is None:
                    self._open(element)
                    self._say(element.text)
            elif hidden is None or hidden is element:
                if hidden is None:
                    self._close(element)
                hidden = None
                self._say(element.tail)
            if self.size > MAX_TEXT or time.thread_time() > until_s:
                return False
        self._end_line()
        return True

    def _open(self, element: HtmlElement) -> None:
        tag = element.tag
        self._break(tag)
        if tag in _HEADINGS:
            self.prefix = _HEADINGS[tag]
        elif tag in ("ul", "ol"):
            self.numbers.append(1 if tag == "ol" else 0)
        elif tag == "li":
            self.prefix = self._item_mark()
        elif tag == "blockquote":
            self.quotes += 1
        elif tag == "pre":
            self.lines.append("```")
            self.pre += 1
        elif tag == "a":
            self._end_link()
            self.link, self.link_start = _joined(self.base, element.get("href")), len(self.line)
        elif tag == "img":
            self._say(element.get("alt"))
        elif tag in ("td", "th") and any(part.strip() for part in self.line):
            self.line.append(" | ")

    def _close(self, element: HtmlElement) -> None:
        tag = element.tag
        if tag == "a":
            self._end_link()
            self.link = ""
        self._break(tag)
        if tag in _HEADINGS or tag == "li":
            self.prefix = ""
        elif tag in ("ul", "ol") and self.numbers:
            self.numbers.pop()
        elif tag == "blockquote":
            self.quotes -= 1
        elif tag == "pre":
            self.lines += ["```", ""]
            self.pre -= 1

    def _say(self, text: str | None) -> None:
        if not text:
            return
        if not self.pre:
            self.line.append(_SPACE.sub(" ", text))
            return
        first, *others = text.split("\n")
        self.line.append(first)
        for other in others:
            self._end_line()
            self.line.append(other)

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._end_line()
            if self.lines and self.lines[-1] and not self.pre:
                self.lines.append("")
        elif tag in _LINES:
            self._end_line()

    def _end_line(self) -> None:
        self._end_link()
        text = "".join(self.line)
        self.line.clear()
        self.link_start = 0
        self.size += len(text) + 1
        if self.pre:
            self.lines.append(text.rstrip("\r"))
            return
        text = _SPACE.sub(" ", text).strip()
        if text:
            indent = "  " * min(len(self.numbers) - bool(self.prefix), MAX_LEVELS)
            self.lines.append(f"{'> ' * min(self.quotes, MAX_LEVELS)}{indent}{self.prefix}{text}")
            self.prefix = ""

    def _end_link(self) -> None:
        """Make a link of the fragments since it began; it stays open while there are none."""
        text = "".join(self.line[self.link_start :]).strip() if self.link else ""
        if text:
            self.line[self.link_start :] = [f"[{text}]({self.link})"]
            self.size += len(self.link)
            self.link = ""

    def _item_mark(self) -> str:
        if not self.numbers or not self.numbers[-1]:
            return "- "
        self.numbers[-1] += 1
        return f"{self.numbers[-1] - 1}. "


def _is_hidden(element: HtmlElement) -> bool:
    if not isinstance(element.tag, str) or element.tag in _DROPPED:
        return True
    style = element.get("style")
    return element.get("hidden") is not None or bool(style and _HIDDEN_STYLE.search(style[:MAX_HREF]))


def _joined(base: str, href: str | None) -> str:
    """The absolute http address of a link, or "" for one that leads to no other page."""
    reference = (href or "").strip()
    if not reference or reference.startswith("#") or len(reference) > MAX_HREF:
        return ""
    try:
        address = urljoin(base, reference)
    except ValueError:
        return ""
    return _SPACE.sub("%20", address) if address.startswith(("http://", "https://")) else ""
