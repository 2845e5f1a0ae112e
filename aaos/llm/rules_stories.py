"""The stories of a news page: its headlines in their order, each with its link and its teaser.

What can be a headline is told from menus, names of sections and buttons by its form: it has several words, it is not a
phrase of menus, and it does not stand in a row of short links. A page lists its stories as headings that are links, as
headings, as links that stand alone, or, in plain text, as lines above their text; the first of these kinds that the
page has at least ENOUGH of is its kind. The order of the page is taken for the order of importance, since that is how
front pages are made.

Invariant: linear in the size of the text, bounded by MAX_BLOCKS; headlines and teasers are the page's own words.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice

from aaos.llm.rules_page_blocks import Block, blocks

MAX_BLOCKS = 8_000
MAX_STORIES = 300
MAX_HEADLINE_CHARS = 250
ENOUGH = 3
LOOK_AHEAD = 6  # blocks after a headline that may hold its teaser

_ENDS = re.compile(r"[.…:;,]$")
_IDEOGRAPHS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_LETTERS = re.compile(r"[^\W\d_]")
_MENU_WORDS = 6  # a menu's phrase is short; `Search the rubble …` may be a headline
_MENU = re.compile(
    r"(?:skip|jump|go|back)\s+to\b|sign\s+(?:in|up)\b|log\s?(?:in|out)\b|subscribe\b|(?:our\s+|daily\s+|free\s+)*newsletters?\b"
    r"|(?:about|accept|advertise|all|app|contact|cookies?|copyright|download|follow|get|help|imprint|legal|listen|live|load|manage"
    r"|menu|more|my|play|privacy|read|search|see|select|share|show|site|submit|terms|view|watch|your)"
    r"(?:\s+(?:a|about|all|and|app|apps|cent(?:er|re)|conditions|content|cookies?|from|full|here|in|live|map|more|notice|now|of|on"
    r"|our|page|policy|preferences|settings|site|stories|story|terms|the|this|to|tv|us|use|with|your|account))*$"
    r"|(?:latest|top|breaking|more|related|recent|other|featured|popular|trending)\s+(?:news|headlines?|stories|articles|posts|topics)$"
    r"|(?:the\s+)?most\s+(?:read|popular|viewed|shared|commented)\b|editor['’]?s['’]?\s+(?:picks?|choice)|in\s+(?:pictures|brief|depth)$"
    r"|©|\(c\)\s|all\s+rights\s+reserved|powered\s+by\b",
    re.I,
)


class Form(IntEnum):
    """How a headline stands on its page; the lower, the more telling."""

    LINKED_HEADING = 0
    HEADING = 1
    LINK = 2
    TITLE = 3


@dataclass(frozen=True, slots=True)
class Story:
    """A headline; `line` is where it stands in the page's text, from 1; `link` and `teaser` may be empty."""

    headline: str
    line: int
    link: str = ""
    teaser: str = ""


def find_title(lines: Sequence[str]) -> str:
    """The page's own name: its first heading of level 1, or ""."""
    return next((block.text for block in islice(blocks(lines), MAX_BLOCKS) if block.level == 1), "")


def find_stories(lines: Sequence[str]) -> tuple[Story, ...]:
    """The stories of a page, the most prominent first; none when it has no headlines."""
    page = tuple(islice(blocks(lines), MAX_BLOCKS))
    forms = {at: form for at in range(len(page)) if (form := _form(page, at)) is not None}
    stories = (_story(page, at, forms) for at in _in_order(forms))
    return tuple(islice(_without_repeats(stories), MAX_STORIES))


def _in_order(forms: dict[int, Form]) -> list[int]:
    """Where the headlines are: those of the page's kind first; after linked headings, other links are stories too."""
    by_form = {form: [at for at, one in forms.items() if one is form] for form in Form}
    kind = next((form for form in Form if len(by_form[form]) >= ENOUGH), None)
    if kind is None:
        return sorted(at for form in Form if form is not Form.TITLE for at in by_form[form]) or by_form[Form.TITLE]
    return by_form[kind] + (by_form[Form.LINK] if kind is Form.LINKED_HEADING else [])


# --- what can be a headline ---------------------------------------------------------------------------------------


def _form(page: Sequence[Block], at: int) -> Form | None:
    block = page[at]
    main = block.main_link
    if not _is_headline(main.text if main else block.text) or (main and main.is_home):
        return None
    if block.level:
        return Form.LINKED_HEADING if main else None if _is_over_others(page, at) else Form.HEADING
    if main:
        return None if _ENDS.search(main.text) or _is_in_menu(page, at) else Form.LINK
    return Form.TITLE if not block.links and _is_title(page, at) else None


def _is_headline(text: str) -> bool:
    """Whether it has the length and the words of a headline."""
    count, length = len(text.split()), len(text)
    if length > MAX_HEADLINE_CHARS or len(_LETTERS.findall(text)) < length // 2:
        return False
    if count <= _MENU_WORDS and _MENU.match(text):
        return False
    is_long = count >= 4 or (count == 3 and length >= 24) or (count == 2 and length >= 28)
    return is_long or len(_IDEOGRAPHS.findall(text)) >= 6


def _is_over_others(page: Sequence[Block], at: int) -> bool:
    """Whether a heading names a part of the page: deeper headings or links follow at once; or the page itself."""
    block, following = page[at], page[at + 1 : at + 3]
    if following and following[0].level > block.level:
        return True
    if len(following) == 2 and all(one.main_link and not one.level for one in following):
        return True
    is_first = not any(one.level for one in page[:at])
    return is_first and block.level == 1 and any(one.level > 1 for one in page[at + 1 :])


def _is_in_menu(page: Sequence[Block], at: int) -> bool:
    """Whether the lines beside a link, with no empty line between, are links too short for headlines."""
    beside = [page[at - 1]] if at and not page[at].is_apart else []
    beside += [one for one in page[at + 1 : at + 2] if not one.is_apart]
    links = [one for one in beside if one.main_link and not one.level]
    return bool(links) and not any(_is_headline(one.text) for one in links)


def _is_title(page: Sequence[Block], at: int) -> bool:
    """Whether a line of plain text stands above its own text, or in a list of such lines."""
    block = page[at]
    if _ENDS.search(block.text) or len(block.text.split()) > 20:
        return False
    following = page[at + 1] if at + 1 < len(page) else None
    if block.is_item:
        return True
    return block.is_apart and following is not None and len(following.text) > len(block.text)


# --- what goes with it --------------------------------------------------------------------------------------------


def _story(page: Sequence[Block], at: int, forms: dict[int, Form]) -> Story:
    block = page[at]
    main = block.main_link
    link = main.url if main else ""
    teaser = ""
    for place in range(at + 1, min(at + 1 + LOOK_AHEAD, len(page))):
        follower = page[place]
        is_own = bool(follower.main_link and follower.main_link.url == link)
        if follower.level or (place in forms and not is_own) or (block.is_item and follower.is_apart):
            break
        if not link and follower.main_link:
            link = follower.main_link.url
        if not teaser and (is_own or not follower.main_link) and _is_teaser(follower.text):
            teaser = follower.text
    return Story(main.text if main else block.text, block.line, link, teaser)


def _is_teaser(text: str) -> bool:
    return len(text.split()) >= _MENU_WORDS and not _MENU.match(text)


def _without_repeats(stories: Iterable[Story]) -> Iterable[Story]:
    """A story that the page shows several times counts once, where it is first."""
    seen: set[str] = set()
    for story in stories:
        marks = {story.headline.casefold(), story.link.partition("#")[0]} - {""}
        if seen.isdisjoint(marks):
            yield story
        seen |= marks
