"""The documents about stories: the top stories of pages, and the comparison of the top stories of two pages or more.

Invariant: what a page says is quoted as inert text with its place on the page; a page without headlines is refused by
name, and one with fewer than were asked for says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aaos.core.errors import ProviderError
from aaos.llm.rules_markdown import amount, bullets, code, document, inert, listed, table
from aaos.llm.rules_pages import Page
from aaos.llm.rules_stories import Story, find_stories, find_title
from aaos.llm.rules_stories_match import Match, match_stories

WORDS_SHOWN = 6
MAX_TITLE_CHARS = 60


@dataclass(frozen=True, slots=True)
class Front:
    """A page with its stories; `top` are the first of them, as many as were asked for."""

    label: str
    page: Page
    stories: tuple[Story, ...]
    top: tuple[Story, ...]


def fronts(pages: Sequence[Page], count: int) -> tuple[Front, ...]:
    """The pages with their `count` top stories. Raises ProviderError: a page has no headlines."""
    found = []
    for label, page in zip(_labels(pages), pages, strict=True):
        stories = find_stories(page.text.lines)
        if not stories:
            raise ProviderError(
                f"no headlines were found on {page.url} ({page.text.measure} of text)",
                f'name a page that lists stories, or ask for its text: agentd submit "summarise {page.url}"',
            )
        found.append(Front(label, page, stories, stories[:count]))
    return tuple(found)


def stories_document(shown: Sequence[Front], count: int) -> str:
    """The top stories of one page or more."""
    names = listed([inert(front.label, 120) for front in shown])
    return document(
        f"# Top {amount(count, 'story', 'stories')} of {names}",
        *(_listed_front(front, count) for front in shown),
        f"*{_METHOD}*",
    )


def stories_comparison(shown: Sequence[Front], count: int) -> str:
    """Which of the top stories the pages share, which only one has, and all of them side by side."""
    matches = match_stories([front.stories for front in shown])
    names = listed([inert(front.label, 120) for front in shown])
    both = "both" if len(shown) == 2 else "several pages"
    common = _common(shown, matches)
    return document(
        f"# Top {amount(count, 'story', 'stories')} of {names} compared",
        _verdict(shown, common, count),
        "## Side by side",
        _table(shown, count),
        f"## On {both}",
        bullets(_shared(match, shown) for match in common) or "None of the top stories.",
        *(_only_on(at, shown, matches) for at in range(len(shown))),
        "## The pages",
        bullets(_page(front, count) for front in shown),
        "## How this was compared",
        _METHOD + _HOW_COMPARED,
    )


_METHOD = (
    "By form and by counting, without a model: stories are headlines in the order of the page, which is taken for their"
    " order of importance."
)
_HOW_COMPARED = (
    " Two stories count as the same when enough of their words are the same, rare words counting more and words of"
    " headlines twice. Whether what they say is the same was not judged."
)


def _verdict(shown: Sequence[Front], common: Sequence[Match], count: int) -> str:
    tops = sum(len(front.top) for front in shown)
    if len(shown) == 2:
        if not common:
            return f"The pages share none of their top {count} stories."
        return f"{amount(len(common), 'story is', 'stories are')} among the top {count} of both pages."
    pairs = amount(len(common), "pair")
    return (
        f"Of the {tops} top stories of {len(shown)} pages, {pairs} tell the same."
        if common
        else (f"None of the {tops} top stories of {len(shown)} pages is on two of them.")
    )


def _common(shown: Sequence[Front], matches: Sequence[Match]) -> list[Match]:
    """The matches between top stories, in the order of the pages."""
    found = [match for match in matches if all(_is_top(end, shown) for end in _ends(match))]
    return sorted(found, key=lambda match: (sum(match.stories), match.pages, match.stories))


def _ends(match: Match) -> tuple[tuple[int, int], tuple[int, int]]:
    """The two stories of a match: each the number of its page, and its place there."""
    return (match.pages[0], match.stories[0]), (match.pages[1], match.stories[1])


def _is_top(end: tuple[int, int], shown: Sequence[Front]) -> bool:
    page, story = end
    return story < len(shown[page].top)


def _table(shown: Sequence[Front], count: int) -> str:
    rows = []
    for at in range(min(count, max(len(front.top) for front in shown))):
        cells = [inert(front.top[at].headline, 250) if at < len(front.top) else "" for front in shown]
        rows.append([str(at + 1), *cells])
    return table(["", *(inert(front.label, 120) for front in shown)], rows, right=frozenset({0}))


def _shared(match: Match, shown: Sequence[Front]) -> str:
    said = [_said(end, shown) for end in _ends(match)]
    words = ", ".join(inert(word, 40) for word in match.words[:WORDS_SHOWN])
    return f"{' and '.join(said)}; both have: {words or 'the same link'}"


def _said(end: tuple[int, int], shown: Sequence[Front]) -> str:
    front, at = shown[end[0]], end[1]
    return f"“{inert(front.stories[at].headline, 250)}” ({inert(front.label, 120)}, place {at + 1})"


def _only_on(page: int, shown: Sequence[Front], matches: Sequence[Match]) -> str:
    """The top stories of one page that are not among the top stories of another, and where else they are."""
    front = shown[page]
    lines = []
    for at, story in enumerate(front.top):
        others = [other for match in matches if (other := _other_end(match, (page, at))) is not None]
        if not any(_is_top(other, shown) for other in others):
            further = "".join(f"; further down: {_said(other, shown)}" for other in others)
            lines.append(f"**{at + 1}.** {_told(story)}{further}")
    where = f"Only on {inert(front.label, 120)}"
    return document(f"## {where}", bullets(lines) or "None of its top stories.")


def _other_end(match: Match, end: tuple[int, int]) -> tuple[int, int] | None:
    first, second = _ends(match)
    return second if first == end else first if second == end else None


def _listed_front(front: Front, count: int) -> str:
    lines = [f"{at}. {_told(story)}" for at, story in enumerate(front.top, 1)]
    return document(f"## {inert(front.label, 120)}", _page(front, count), "\n".join(lines))


def _told(story: Story) -> str:
    teaser = f": {inert(story.teaser, 300)}" if story.teaser else ""
    link = f" {code(story.link)}" if story.link else ""
    return f"“{inert(story.headline, 250)}”{teaser}{link} *(line {story.line} of the page's text)*"


def _page(front: Front, count: int) -> str:
    fewer = f" **It has fewer than {count}.**" if len(front.top) < count else ""
    found = amount(len(front.stories), "headline")
    return f"{code(front.page.url)}: {found} in {front.page.text.measure}.{front.page.caveat}{fewer}"


def _labels(pages: Sequence[Page]) -> list[str]:
    """What each page is called: its own title, or else its host or its whole address, whatever tells it apart."""
    titles = [find_title(page.text.lines) for page in pages]
    hosts = [page.host for page in pages]
    labels = []
    for title, page in zip(titles, pages, strict=True):
        if 2 < len(title) <= MAX_TITLE_CHARS and titles.count(title) == 1:
            labels.append(title)
        else:
            labels.append(page.host if hosts.count(page.host) == 1 else page.place)
    return labels
