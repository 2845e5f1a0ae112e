"""Which sentences are chosen."""

from hypothesis import given
from hypothesis import strategies as st

from aaos.llm.rules_summary import key_sentences, opening_sentence, ranked_sentences, text_terms
from aaos.llm.rules_text import outline

TEXT = """
                        The Harbour Rules

Ships must report to the harbour master before they enter the harbour. The harbour master gives each ship a berth.

Copyright 2020 by somebody. All rights reserved.

For example, a ship with fish goes to the north berth. Weather was fine that day, and people walked along the beach.

1. Berths. Each berth of the harbour has a number, and a ship must leave its berth when the harbour master says so.

see also the other page
"""
FOUND = outline(TEXT.split("\n"))


def test_the_telling_sentences_are_chosen_and_the_noise_is_not() -> None:
    chosen = [one.text for one in key_sentences(FOUND, text_terms(FOUND), 3)]
    assert chosen[0].startswith("Ships must report to the harbour master")
    assert any(text.startswith("Each berth of the harbour has a number") for text in chosen)
    assert not any("Copyright" in text or "see also" in text or "Weather" in text for text in chosen)


def test_the_opening_says_what_it_is() -> None:
    best = opening_sentence(FOUND, text_terms(FOUND))
    assert best is not None
    assert best.text.startswith("Ships must report")


def test_a_sentence_that_is_said_twice_is_chosen_once() -> None:
    twice = outline(
        ("The harbour master rules the harbour well.\n\n" * 5 + "Every ship in it pays a fee each week.").split("\n")
    )
    assert len(key_sentences(twice, text_terms(twice), 5)) == 2


def test_a_text_without_sentences_has_no_summary() -> None:
    empty = outline(["a b", "", "c"])
    assert key_sentences(empty, text_terms(empty), 5) == ()
    assert opening_sentence(empty, text_terms(empty)) is None


@given(
    st.lists(
        st.sampled_from(
            ["The ship must enter the harbour today.", "A berth is free for every ship.", "Rain fell.", ""]
        ),
        max_size=30,
    ),
    st.integers(1, 6),
)
def test_choices_are_of_the_text_bounded_ordered_and_the_same_every_time(lines: list[str], limit: int) -> None:
    found = outline(lines)
    about = text_terms(found)
    chosen = key_sentences(found, about, limit)
    assert len(chosen) <= limit
    assert set(chosen) <= set(found.sentences)
    assert list(chosen) == sorted(chosen, key=lambda one: (one.line, one.first))
    assert chosen == key_sentences(found, about, limit)
    assert set(chosen) == set(ranked_sentences(found, about, limit))
