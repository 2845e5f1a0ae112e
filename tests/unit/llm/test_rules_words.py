"""Words, stems and terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.llm.rules_words import TERMS_KEPT, characteristic, content_stems, shared, stem, terms, words


@pytest.mark.parametrize(
    ("word", "root"),
    [
        ("Licenses", "license"),
        ("copies", "copy"),
        ("works", "work"),
        ("status", "status"),
        ("class", "class"),
        ("GPL's", "gpl"),
        ("is", "is"),
        ("heroes", "heroe"),
    ],
)
def test_stems(word: str, root: str) -> None:
    assert stem(word) == root


def test_words_are_found_between_marks() -> None:
    assert words("It's a well-known file_read(x1) — naïve!") == [
        "It's",
        "a",
        "well-known",
        "file",
        "read",
        "x1",
        "naïve",
    ]
    assert content_stems("The licenses of the works are for you") == ["license", "work"]


def test_terms_count_by_stem_and_show_the_commonest_spelling() -> None:
    found = terms(["The GPL covers works.", "A work of the GPL", "work work"])
    assert found.counts == {"gpl": 2, "work": 4, "cover": 1}
    assert found.spelling["work"] == "work"
    assert found.spelling["gpl"] == "GPL"
    assert found.top(2) == ("work", "gpl")
    assert found.total == 7


def test_what_one_text_uses_more_than_the_others_is_characteristic() -> None:
    one, two = terms(["apple tree " * 20]), terms(["pear tree " * 20])
    assert characteristic(one, [two], 5) == ("apple",)
    assert characteristic(two, [one], 5) == ("pear",)
    assert shared([one, two], 5) == ("tree",)


@given(st.lists(st.text(max_size=60), max_size=20))
def test_counts_add_up_and_are_the_same_every_time(texts: list[str]) -> None:
    found = terms(texts)
    assert found == terms(texts)
    assert found.counts.total() == found.total
    assert len(found.counts) <= TERMS_KEPT
    assert set(found.spelling) == set(found.counts)
    assert characteristic(found, [found], 10) == ()
