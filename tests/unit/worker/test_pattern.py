"""The matcher of grep: the same lines as Python's `re`, in time that no pattern can blow up."""

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pattern import MAX_DEPTH, MAX_MOVES, MAX_REPEATS, Pattern, PatternError

ATOMS = ("a", "b", "B", "ä", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\w", r"\W", r"\s", "^", "$", r"\.", "[]x]", "[a-]")
REPEATS = ("*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*?", "{0}")


def patterns() -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from(ATOMS),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
            st.tuples(inner, st.sampled_from(REPEATS)).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        ),
        max_leaves=8,
    )


@given(patterns(), st.lists(st.text("abcAB1 .]-ä", max_size=9), min_size=1, max_size=6), st.booleans())
def test_it_finds_what_re_finds(text: str, lines: list[str], ignore_case: bool) -> None:
    pattern = Pattern(text, ignore_case=ignore_case)
    reference = re.compile(text, re.IGNORECASE if ignore_case else 0)
    for line in lines:
        assert pattern.search(line) is bool(reference.search(line)), (text, line)
        assert not pattern.search(line) or pattern.required in (line.lower() if ignore_case else line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("(a*)*b", "a" * 30_000),
        ("(a|a)*b", "a" * 30_000),
        ("(x+x+)+y", "x" * 30_000),
        ("(.*.*.*.*)*=", "x" * 30_000),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 30_000),
        ("(a|b)*a(a|b){150}c", "ab" * 5_000),
    ],
)
def test_no_pattern_makes_it_slow(text: str, line: str) -> None:
    """TOL-2: `re` needs longer than the age of the universe for most of these."""
    started_s = time.monotonic()
    assert not Pattern(text).search(line)
    assert time.monotonic() - started_s < 10


def test_the_moves_that_are_kept_are_bounded() -> None:
    pattern = Pattern("(a|b)*a(a|b){100}c")
    chance = random.Random(1)  # noqa: S311  # a seed, not a secret
    pattern.search("".join(chance.choice("ab") for _ in range(2 * MAX_MOVES)))
    assert sum(map(len, pattern._moves.values())) <= MAX_MOVES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(", "unclosed"),
        (")", "unmatched"),
        ("a)", "unmatched"),
        ("[", "ends too early"),
        ("[a", "ends too early"),
        ("\\", "ends too early"),
        ("*a", "nothing to repeat"),
        ("a|+", "nothing to repeat"),
        ("(?=a)", "look-around"),
        ("(?P<n>a)", "look-around"),
        (r"\bword\b", "not known"),
        (r"(a)\1", "not known"),
        ("[z-a]", "does not rise"),
        (r"[a-\d]", "does not rise"),
        ("a{3,1}", "counts rise"),
        ("a{1001}", "at most 1000"),
        ("a{501}", "more than 500 positions"),
        ("((((a{9}){9}){9}){9}){9}", "more than 500 positions"),
        ("(((){1000}){1000}){1000}", "more than 500 positions"),
        ("(" * 41 + ")" * 41, "nested deeper"),
        ("(" * 1_000, "nested deeper"),
        ("a" + "*" * 4, "more than 3 repeats"),
        ("(?:x+)" + "+" * 1_000, "more than 3 repeats"),
        ("[a-z]" + "{1,2}" * 4, "more than 3 repeats"),
    ],
)
def test_what_it_does_not_know_is_said(text: str, said: str) -> None:
    with pytest.raises(PatternError, match=said):
        Pattern(text)


def test_the_deepest_pattern_there_can_be_is_searched() -> None:
    """R9: nested as deep as may be, each group repeated as often as may be."""
    most = "{0,1}" * MAX_REPEATS
    deepest = "(" * (MAX_DEPTH - 1) + f"a{most}" + f"){most}" * (MAX_DEPTH - 1)
    assert Pattern(f"{deepest}b").search("xxb")


@pytest.mark.parametrize(("text", "line"), [("a{", "a{"), ("a{,3}", "a{,3}"), ("{x}", "{x}"), ("a{b}", "a{b}")])
def test_a_brace_without_counts_is_itself(text: str, line: str) -> None:
    assert Pattern(text).search(line)
