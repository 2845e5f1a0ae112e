"""Placeholders and numbers."""

import pytest

from aaos.core.errors import InputError
from aaos.plan.goal import read_goal
from aaos.plan.phrase_parts import Words, to_number


def words(goal: str) -> Words:
    text = read_goal(goal)
    return Words(text.template, text)


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("20", 20),
        ("1,000", 1000),
        ("Twenty", 20),
        ("dozen", 12),
        ("0", 0),
        ("999999999999", None),
        ("٣", None),
        ("few", None),
    ],
)
def test_numbers_in_figures_and_words(word: str, number: int | None) -> None:
    assert to_number(word) == number


def test_paths_are_given_once_in_order() -> None:
    found = words("/b and /a, '/b'")
    assert found.paths(found.text) == ("/b", "/a")
    assert found.show() == "/b and /a, /b"


def test_an_address_is_no_path() -> None:
    with pytest.raises(InputError, match="is an address") as caught:
        words("read https://example.com/").path("‹0›")
    assert "save the page" in caught.value.remedy


@pytest.mark.parametrize(
    ("goal", "hint"),
    [("read /my file.txt", "quotes"), ("read it", "names no file"), ("read https://a/", "network"), ("read /a", "")],
)
def test_hints_say_what_may_be_wrong(goal: str, hint: str) -> None:
    said = words(goal).hint()
    assert hint in said
    assert bool(hint) == bool(said)
