"""Wordings of a search."""

import pytest

from aaos.plan.clauses import Pattern, Search
from aaos.plan.goal import read_goal
from aaos.plan.phrase_parts import Words
from aaos.plan.phrase_search import parse_search


def search(phrase: str) -> Search | None:
    text = read_goal(phrase)
    return parse_search(Words(text.template, text))


@pytest.mark.parametrize("quote", ['"', "'", "`"])
@pytest.mark.parametrize(
    "phrase",
    [
        "search for {} in /a",
        "search /a for {}",
        "search through /a for {}",
        "look for {} in /a",
        "grep for {} in /a",
        "grep {} /a",
        "find {} in /a",
        "find lines containing {} in /a",
        "find all the lines with {} in /a",
        "find every line that contains {} in /a",
        "show me the lines that mention {} in /a",
        "list all occurrences of {} in /a",
        "print the lines in /a that contain {}",
        "where does {} occur in /a",
        "where is {} mentioned in /a",
        "which lines in /a contain {}",
        "which lines of /a mention {}",
        "search for the word {} in /a",
        "search /a for lines containing {}",
    ],
)
def test_wordings_of_one_search(phrase: str, quote: str) -> None:
    asked = phrase.format(f"{quote}Foo bar{quote}")
    assert search(asked) == Search(("/a",), Pattern("Foo bar")), asked


@pytest.mark.parametrize(
    "phrase",
    [
        "search for the pattern '^a+$' in /a",
        "search for the regular expression '^a+$' in /a",
        "search /a for the regex '^a+$'",
        "find lines matching '^a+$' in /a",
        "show all lines in /a that match '^a+$'",
    ],
)
def test_only_words_that_say_so_make_a_pattern(phrase: str) -> None:
    assert search(phrase) == Search(("/a",), Pattern("^a+$", is_regex=True))


@pytest.mark.parametrize(
    "case", ["ignoring case", "ignoring the case", "case-insensitively", "in any case", "(case insensitive)"]
)
def test_capitals_can_be_ignored(case: str) -> None:
    assert search(f"search for 'x' in /a {case}") == Search(("/a",), Pattern("x", ignore_case=True))


def test_unquoted_words_and_several_places() -> None:
    assert search("search for connection refused in /a, /b and /c") == Search(
        ("/a", "/b", "/c"), Pattern("connection refused")
    )
    assert search("find lines with 12.5% off in all files under /a") == Search(("/a",), Pattern("12.5% off"))


@pytest.mark.parametrize(
    "phrase", ["search", "search for 'x'", "find the largest packages in /a", "look at /a", "search /a"]
)
def test_what_is_no_search(phrase: str) -> None:
    assert search(phrase) is None
