"""Headlines are found on front pages of many layouts, and nothing that is none."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.llm.rules_stories import ENOUGH, MAX_STORIES, find_stories, find_title
from tests.unit.llm import fronts
from tests.unit.llm.fronts import LINKED, PLAIN, Layout

SEEDS = st.integers(0, 10**9)


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.sampled_from(LINKED), st.integers(ENOUGH, 12))
def test_the_stories_of_a_page_are_found_in_their_order(seed: int, layout: Layout, count: int) -> None:
    """RUN-1, LLM-2: headlines and links as the page has them, without its menus, sections and footers."""
    chance = fronts.dice(seed)
    told = fronts.make_stories(chance, count)
    found = find_stories(fronts.front(chance, layout(chance, told)))
    assert [(one.headline, one.link) for one in found] == [(one.headline, one.link) for one in told]


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from(PLAIN), st.integers(ENOUGH, 12))
def test_a_page_without_links_has_stories_as_well(seed: int, layout: Layout, count: int) -> None:
    chance = fronts.dice(seed)
    told = fronts.make_stories(chance, count)
    assert [one.headline for one in find_stories(layout(chance, told))] == [one.headline for one in told]


@settings(max_examples=60, deadline=None)
@given(
    SEEDS, st.sampled_from((fronts.linked_headings, fronts.cards, fronts.headings_with_kickers, fronts.plain_headings))
)
def test_a_teaser_goes_with_its_headline(seed: int, layout: Layout) -> None:
    chance = fronts.dice(seed)
    told = fronts.make_stories(chance, 6)
    found = find_stories(fronts.front(chance, layout(chance, told)))
    assert [one.teaser for one in found] == [one.teaser for one in told]


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_a_story_that_is_shown_twice_counts_once(seed: int) -> None:
    chance = fronts.dice(seed)
    told = fronts.make_stories(chance, 5)
    again = chance.sample(told, 3)
    body = [*fronts.linked_headings(chance, told), "## Most read", "", *fronts.list_of_links(chance, again)]
    assert [one.headline for one in find_stories(fronts.front(chance, body))] == [one.headline for one in told]


def test_links_below_the_headlines_are_stories_too() -> None:
    chance = fronts.dice(7)
    told = fronts.make_stories(chance, 8)
    body = [*fronts.linked_headings(chance, told[:4]), "## Most read", "", *fronts.list_of_links(chance, told[4:])]
    assert [one.headline for one in find_stories(fronts.front(chance, body))] == [one.headline for one in told]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["", "  ", "---"],
        ["# The Daily Example"],
        ["One sentence of text, and nothing else that would be a headline on any page."],
        [f"- [{name}](https://news.example/{at})" for at, name in enumerate(fronts.MENU)],
        ["## World", "## Science and nature", "## Opinion"],
        ["12 | 34 | 56 | 78 | 90", "12 34 56 78 90"],
    ],
)
def test_a_page_without_headlines_has_none(lines: list[str]) -> None:
    assert find_stories(lines) == ()


@pytest.mark.parametrize(
    ("text", "is_headline"),
    [
        ("Search for missing hikers goes on in the hills", True),
        ("Watch makers agree on one size of spring", True),
        ("Accept all cookies", False),
        ("Manage your account", False),
        ("Read more about this story", False),
        ("Bürgerentscheid über Marktplatz verschoben", True),
        ("港の橋が八か月閉鎖へ", True),
        ("Science and nature", False),
    ],
)
def test_a_phrase_of_menus_is_no_headline(text: str, is_headline: bool) -> None:
    page = [
        line for at in range(4) for line in (f"## [{text}{'' if not at else f' {at}'}](https://a.example/{at})", "")
    ]
    assert bool(find_stories(page[:2])) == is_headline


def test_a_link_to_the_front_page_is_no_story() -> None:
    assert find_stories(["# [The paper of the five harbours](https://a.example/)"]) == ()


def test_the_title_is_the_first_heading_of_level_one() -> None:
    assert find_title(["text", "## Two", "# [One *and* only](https://a.example/)", "# Late"]) == "One and only"
    assert find_title(["Underlined", "==="]) == "Underlined"
    assert find_title(["## Two"]) == ""


@pytest.mark.parametrize(
    "line",
    ["[" * 4_000, "[a" * 2_000, "[](http://" * 400, "[[]" * 1_300, "#" * 4_000, "* " * 2_000, "[x](http://a(" * 300,
     "_*" * 2_000, "| " * 2_000, "](http://a.b/)" * 280],
)  # fmt: skip
def test_a_hostile_page_takes_no_longer(line: str) -> None:
    """H-LLM-02: time is linear in what was read."""
    begin_s = time.process_time()
    find_stories([line] * 60)
    assert time.process_time() - begin_s < 3.0


@given(st.lists(st.text(alphabet="ab [](){}#*-_|!h:/.\n", max_size=60), max_size=30))
def test_no_page_breaks_the_search(lines: list[str]) -> None:
    """H-FUZZ-10"""
    found = find_stories([part for line in lines for part in line.split("\n")])
    assert len(found) <= MAX_STORIES
