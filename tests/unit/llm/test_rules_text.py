"""Headings and sentences with their lines."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.llm.rules_text import MAX_SENTENCES, outline


def sentences(text: str) -> list[tuple[int, str]]:
    return [(one.line, one.text) for one in outline(text.split("\n")).sentences]


def headings(text: str) -> list[tuple[int, str]]:
    return [(one.line, one.text) for one in outline(text.split("\n")).headings]


def test_sentences_run_over_lines_and_know_where_they_begin() -> None:
    text = "The first sentence goes on\nin the next line. A second one\nfollows it.\n\nA third stands alone!"
    assert sentences(text) == [
        (1, "The first sentence goes on in the next line."),
        (2, "A second one follows it."),
        (5, "A third stands alone!"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "See e.g. the manual of Dr. Smith, J. R. Jones et al. for it.",
        "Version 3.5 of U.S. law vs. the rest, cf. Sec. 4, No. 7.",
        "It is called foo.bar and costs 3.50 today.",
    ],
)
def test_abbreviations_and_numbers_end_no_sentence(text: str) -> None:
    assert [found for _, found in sentences(text)] == [text]


def test_other_ends_of_sentences() -> None:
    assert [found for _, found in sentences('He said "go." Then he went. 「これ」です。次です。 (Really?) Yes!')] == [
        'He said "go."',
        "Then he went.",
        "「これ」です。",
        "次です。",
        "(Really?)",
        "Yes!",
    ]


def test_headings_by_their_forms() -> None:
    text = """# Marked
text of it here.
## Second ##

Underlined
==========
body text.

                  Centred Title
                  of two lines

1. Numbered

ALL CAPITALS

4. Run in title. Then its text goes on here.
"""
    assert headings(text) == [
        (1, "Marked"),
        (3, "Second"),
        (5, "Underlined"),
        (9, "Centred Title of two lines"),
        (12, "1. Numbered"),
        (14, "ALL CAPITALS"),
        (16, "Run in title."),
    ]


def test_lists_quotes_rules_and_fenced_code() -> None:
    text = "- First item here\n- Second item here\n> Quoted words.\n\n---\n```\nfenced code. More.\n```\nAfter it."
    assert [found for _, found in sentences(text)] == [
        "First item here",
        "Second item here Quoted words.",
        "After it.",
    ]


def test_long_texts_are_bounded_and_say_so() -> None:
    found = outline(["A sentence here. Another one."] * MAX_SENTENCES)
    assert len(found.sentences) == MAX_SENTENCES
    assert not found.is_complete


@given(st.text(st.sampled_from("aB. \n#-=>*1()\"'\t\r"), max_size=300))
def test_sentences_are_made_of_the_words_of_the_text_in_order(text: str) -> None:
    """Nothing is added, and no word comes twice."""
    found = outline(text.split("\n"))
    pairs = [(one.line, one.text) for one in found.headings] + [(one.line, one.text) for one in found.sentences]
    letters = iter(re.sub(r"[^aB1]", "", text))
    said = re.sub(r"[^aB]", "", "".join(words for _, words in sorted(pairs, key=lambda pair: pair[0])))
    assert all(char in letters for char in said)
    assert all(1 <= line <= len(text.split("\n")) for line, _ in pairs)
