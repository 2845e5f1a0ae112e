"""What is taken out of a goal as a path, a quoted text or an address."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.plan.goal import MAX_ATOMS, MAX_FREE_CHARS, MAX_GOAL_CHARS, Atom, AtomKind, read_goal

QUOTES = ('""', "''", "``", "“”", "‘’", "«»")
NAMES = st.text(
    st.characters(whitelist_categories=["L", "N"], whitelist_characters=" ._-+,()é"), min_size=1, max_size=20
)


def texts(goal: str) -> list[str]:
    return [atom.text for atom in read_goal(goal).atoms]


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        ("summarise /etc/services", ["/etc/services"]),
        ("summarise /etc/services.", ["/etc/services"]),
        ("is it in /etc/services? or (/etc/hosts)!", ["/etc/services", "/etc/hosts"]),
        ("read /a,/b, /c; /d: done", ["/a", "/b", "/c", "/d"]),
        ("compare notes.md and docs/plan.txt with ./x", ["notes.md", "docs/plan.txt", "./x"]),
        ("up ../a and home ~/b or ~ or $HOME/c", ["../a", "~/b", "~", "$HOME/c"]),
        ("keep /data/.. as it is", ["/data/.."]),
        ("a file named /tmp/what?.txt", ["/tmp/what?.txt"]),
        ("fetch https://example.com/x.html, please", ["https://example.com/x.html"]),
        (
            "fetch https://example.com/a_(b), (https://example.com/c).",
            ["https://example.com/a_(b)", "https://example.com/c"],
        ),
        (
            "compare “https://example.com/a”’s with 'https://example.com/b c'",
            ["https://example.com/a", "https://example.com/b c"],
        ),
        ("this and/or that, e.g. nothing, i.e. none", []),
        ("don't touch the operators' files", []),
        ("version 3.5 of it", []),
    ],
)
def test_names_in_goals(goal: str, expected: list[str]) -> None:
    """H-FS-12: punctuation belongs to the sentence, dots alone to the path."""
    assert texts(goal) == expected


@given(name=NAMES, quotes=st.sampled_from(QUOTES))
def test_a_quoted_path_is_taken_as_it_is(name: str, quotes: str) -> None:
    path = f"/tmp/{name}"
    found = read_goal(f"summarise {quotes[0]}{path}{quotes[1]} and stop")
    assert found.atoms == (Atom(path, AtomKind.QUOTED),)
    assert found.template == "summarise ‹0› and stop"


def test_addresses_are_known_as_such() -> None:
    assert [atom.kind for atom in read_goal("http://a/b file:///etc/passwd /etc/passwd").atoms] == [
        AtomKind.URL,
        AtomKind.URL,
        AtomKind.PATH,
    ]


@pytest.mark.parametrize(
    "goal", ["", "  \n", "x" * (MAX_GOAL_CHARS + 1), "a\0b", "a\x1b[2J", "a ‹0› b", "/a " * (MAX_ATOMS + 1)]
)
def test_goals_that_cannot_be_read_are_refused_with_a_remedy(goal: str) -> None:
    with pytest.raises(InputError) as caught:
        read_goal(goal)
    assert caught.value.remedy


@given(st.text(max_size=200))
def test_no_text_is_lost(goal: str) -> None:
    try:
        found = read_goal(goal)
    except InputError:
        return
    filled = found.template
    for at, atom in enumerate(found.atoms):
        filled = filled.replace(f"‹{at}›", atom.text, 1)
    letters = [char for char in goal if char.isalnum()]
    assert [char for char in filled if char.isalnum()] == letters


def test_a_free_goal_may_be_longer_and_is_bounded_too() -> None:
    text = "please " * 1_000 + "/a.txt"
    with pytest.raises(InputError, match="too long"):
        read_goal(text)
    assert read_goal(text, is_free=True).atoms[0].text == "/a.txt"
    with pytest.raises(InputError, match="too long"):
        read_goal("x" * (MAX_FREE_CHARS + 1), is_free=True)


@pytest.mark.parametrize("piece", ["/a,/", "‘x", "«x", '"', "'a", "a/", "(a", "x.y", "~", "http://", "a,"])
def test_the_largest_goal_is_read_whatever_it_repeats(piece: str) -> None:
    """H-API-14: neither the stack nor the time runs out."""
    text = (piece * MAX_FREE_CHARS)[:MAX_FREE_CHARS]
    with contextlib.suppress(InputError):
        assert read_goal(text, is_free=True).template
