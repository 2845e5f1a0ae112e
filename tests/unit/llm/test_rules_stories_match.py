"""Which stories tell the same is seen by their words."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.llm.rules_stories import Story
from aaos.llm.rules_stories_match import MAX_DEPTH, match_stories
from tests.unit.llm import fronts
from tests.unit.llm.fronts import Told


def as_story(told: Told) -> Story:
    return Story(told.headline, 1, told.link, told.teaser)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 5))
def test_stories_told_again_are_matched_and_no_others(seed: int, count: int) -> None:
    """RUN-1: in other sentences, at other places."""
    chance = fronts.dice(seed)
    told = fronts.make_stories(chance, 12)
    again = [fronts.told_again(chance, story, host="https://other.example") for story in told[:count]]
    second = [*again, *told[6:12]]
    chance.shuffle(second)
    first = told[:6]
    wanted = {(at, second.index(other)) for at, other in enumerate(again)}
    found = match_stories([[as_story(one) for one in first], [as_story(one) for one in second]])
    assert {match.stories for match in found} == wanted
    assert all(match.pages == (0, 1) and len(match.words) >= 2 for match in found)


def test_the_words_of_a_match_are_on_both_pages() -> None:
    one = Story("Swing bridge closed for eight months", 1, teaser="Its bearings have cracks.")
    other = Story("Cracks: harbour bridge closes until November", 1, teaser="New bearings after eight months.")
    (match,) = match_stories([[one], [other]])
    assert set(match.words) == {"closed", "bridge", "eight", "month", "bearing", "crack"}


def test_one_shared_word_is_not_enough() -> None:
    first = Story("Council votes on the bridge budget", 1, teaser="Nine of twelve agreed.")
    second = Story("Painter shows a bridge in oils", 1, teaser="The gallery is open on Sundays.")
    assert match_stories([[first], [second]]) == ()


def test_the_same_link_is_the_same_story() -> None:
    first, second = (
        Story("One two three four", 1, "https://a.example/x"),
        Story("Five six seven", 1, "https://a.example/x"),
    )
    (match,) = match_stories([[first], [second]])
    assert (match.likeness, match.words) == (1.0, ())


def test_a_story_has_one_match_on_a_page() -> None:
    story = Story("Harbour bridge closed for repairs", 1)
    assert len(match_stories([[story, story], [story]])) == 1


def test_three_pages_are_matched_in_pairs() -> None:
    story = Story("Harbour bridge closed for repairs", 1)
    assert [match.pages for match in match_stories([[story], [story], [story]])] == [(0, 1), (0, 2), (1, 2)]
    assert match_stories([]) == ()
    assert match_stories([[], [story]]) == ()


def test_many_stories_take_no_longer() -> None:
    """H-LLM-02"""
    stories = [Story(f"Harbour bridge closed for repairs number {at}", 1, teaser="word " * 50) for at in range(300)]
    begin_s = time.process_time()
    found = match_stories([stories] * 20)
    assert time.process_time() - begin_s < 10.0
    assert all(place < MAX_DEPTH for match in found for place in match.stories)
