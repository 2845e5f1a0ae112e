"""Front pages made up for tests: stories of invented words, in the layouts that pages have as text."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_SYLLABLES = "ba da fo gu ha ke li mo nu pa ra si ta vo we zi bor dan fel gar hul kam lin mor pol ras tim vun".split()
_SMALL = "the of to for with from near after into and".split()
MENU = ("Home", "World", "Business", "Arts and culture", "Sign in", "Subscribe", "My account", "Contact us", "Live")
SECTIONS = ("World", "More news", "Most read", "Science and nature", "In pictures", "Editor's picks", "Opinion")
FOOTER = ("About us", "Privacy policy", "Terms of use", "Cookie settings", "Imprint", "All rights reserved")


@dataclass(frozen=True)
class Told:
    """A story as its page has it."""

    headline: str
    teaser: str
    link: str


def dice(seed: int) -> random.Random:
    """What decides about a page; the same seed makes the same page."""
    return random.Random(seed)  # noqa: S311  # pages, not keys


def make_stories(chance: random.Random, count: int, *, host: str = "https://news.example") -> list[Told]:
    """Stories that share no words."""
    used: set[str] = set()
    return [_story(chance, used, f"{host}/{at}/{chance.randrange(10**6)}") for at in range(count)]


def told_again(chance: random.Random, story: Told, *, host: str) -> Told:
    """The same story in other sentences: most of its words in another order, with small words between."""
    words = [word for word in story.headline.lower().split() if word not in _SMALL]
    chance.shuffle(words)
    teaser = [word for word in story.teaser.lower().strip(".").split() if word not in _SMALL]
    chance.shuffle(teaser)
    headline = _sentence(chance, words[: max(4, len(words) - 1)])
    return Told(headline, f"{_sentence(chance, teaser)}.", f"{host}/again/{chance.randrange(10**6)}")


def _story(chance: random.Random, used: set[str], link: str) -> Told:
    words = [_word(chance, used) for _ in range(chance.randint(5, 8))]
    more = [_word(chance, used) for _ in range(chance.randint(6, 10))]
    teaser = [*more, *chance.sample(words, 2)]
    return Told(_sentence(chance, words), f"{_sentence(chance, teaser)}.", link)


def _word(chance: random.Random, used: set[str]) -> str:
    while True:
        word = "".join(chance.choice(_SYLLABLES) for _ in range(3))
        if word[:5] not in used:
            used.add(word[:5])
            return word


def _sentence(chance: random.Random, words: Sequence[str]) -> str:
    said: list[str] = []
    for word in words:
        if said and chance.random() < 0.4:
            said.append(chance.choice(_SMALL))
        said.append(word)
    text = " ".join(said)
    return text[:1].upper() + text[1:]


# --- layouts ------------------------------------------------------------------------------------------------------


def linked_headings(chance: random.Random, stories: Sequence[Told]) -> list[str]:
    lines: list[str] = []
    for story in stories:
        level = chance.choice(("##", "###"))
        lines += [
            f"{level} [{story.headline}]({story.link})",
            "",
            story.teaser,
            chance.choice(("", "World, 2 hours ago")),
            "",
        ]
        if chance.random() < 0.2:
            lines += [f"## {chance.choice(SECTIONS)}", ""]
    return lines


def cards(chance: random.Random, stories: Sequence[Told]) -> list[str]:
    """A card is one link: so its heading and its teaser are."""
    lines: list[str] = []
    for story in stories:
        lines += [f"### [{story.headline}]({story.link})", "", f"[{story.teaser}]({story.link})", ""]
    return lines


def headings_with_kickers(chance: random.Random, stories: Sequence[Told]) -> list[str]:
    lines: list[str] = []
    for story in stories:
        lines += [f"## [Local](https://news.example/local) [{story.headline}]({story.link})", story.teaser, ""]
    return lines


def list_of_links(chance: random.Random, stories: Sequence[Told]) -> list[str]:
    mark = chance.choice(("- ", "* ", "1. "))
    return [f"{mark}[{story.headline}]({story.link})" for story in stories]


def table_of_links(chance: random.Random, stories: Sequence[Told]) -> list[str]:
    """A table with rank, link and site, and a row of numbers below each."""
    lines: list[str] = []
    for at, story in enumerate(stories, 1):
        lines.append(
            f"{at}. | [{story.headline}]({story.link}) ([{chance.choice(_SYLLABLES)}.example](https://x.example/s))"
        )
        lines.append(
            f"{chance.randint(5, 900)} points by [ba](https://x.example/u) 3 hours ago | [{at} comments](https://x.example/c)"
        )
    return lines


def plain_headings(chance: random.Random, stories: Sequence[Told]) -> list[str]:
    lines: list[str] = []
    for story in stories:
        lines += [f"## {story.headline}", "", story.teaser, "", f"[Read more]({story.link})", ""]
    return lines


def underlined_headings(chance: random.Random, stories: Sequence[Told]) -> list[str]:
    lines: list[str] = []
    for story in stories:
        lines += [story.headline, "-" * len(story.headline), "", story.teaser, ""]
    return lines


def plain_text(chance: random.Random, stories: Sequence[Told]) -> list[str]:
    lines: list[str] = []
    for story in stories:
        lines += [story.headline, f"{story.teaser} {story.teaser}", ""]
    return lines


def plain_list(chance: random.Random, stories: Sequence[Told]) -> list[str]:
    return [f"{at}. {story.headline}" for at, story in enumerate(stories, 1)]


Layout = Callable[[random.Random, Sequence[Told]], list[str]]
LINKED: tuple[Layout, ...] = (
    linked_headings,
    cards,
    headings_with_kickers,
    list_of_links,
    table_of_links,
    plain_headings,
)
PLAIN: tuple[Layout, ...] = (underlined_headings, plain_text, plain_list)


def front(chance: random.Random, body: Sequence[str], *, title: str = "The Daily Example") -> list[str]:
    """A whole page: menus and title above the body, a footer below it."""
    menu = [f"[{name}](https://news.example/{at})" for at, name in enumerate(chance.sample(MENU, 6))]
    rows = ["- " + one for one in menu] if chance.random() < 0.5 else [" | ".join(menu)]
    head = chance.choice((f"# {title}", f"# [{title}](https://news.example/)", ""))
    footer = [f"- [{name}](https://news.example/f{at})" for at, name in enumerate(chance.sample(FOOTER, 4))]
    promo = "Sign up for our newsletter to get the morning edition by six."
    return ["Skip to content", "", *rows, "", head, "", *body, "", promo, "", *footer, "", "© The Daily Example"]
