"""Placeholders and numbers."""

import pytest

from aaos.core.errors import InputError
from aaos.plan.goal import read_goal
from aaos.plan.phrase_parts import Sources, Words, to_number


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


def test_a_list_may_name_files_and_addresses() -> None:
    """An address is taken in its normal form, each thing once; one with several meanings is refused."""
    found = words("x /a, HTTP://B.example:80/x/../y#z, /c, http://b.example/y and /a").sources(
        "‹0›, ‹1›, ‹2›, ‹3› and ‹4›"
    )
    assert found == Sources(("/a", "/c"), ("http://b.example/y",))
    with pytest.raises(InputError, match="odd form"):
        words("x http://127.1/").urls("‹0›")
    with pytest.raises(InputError, match="no address") as caught:
        words("x https://a.example/ ./b").urls("‹0› and ‹1›")
    assert "https://" in caught.value.remedy


@pytest.mark.parametrize(
    ("goal", "hint"),
    [("read /my file.txt", "quotes"), ("read it", "names no file"), ("juggle https://a/", "fetched"), ("read /a", "")],
)
def test_hints_say_what_may_be_wrong(goal: str, hint: str) -> None:
    said = words(goal).hint()
    assert hint in said
    assert bool(hint) == bool(said)
