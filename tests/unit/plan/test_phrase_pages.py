"""Goals about pages as an operator may word them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.plan.clauses import Clause, Compare, CompareStories, Fetch, ListStories, Parsed, Summarise, Thing, Write
from aaos.plan.phrase_pages import MAX_STORIES, STORIES_UNLESS_SAID
from aaos.plan.phrases import parse_goal
from tests.unit.plan.test_phrases import is_understood_or_refused

A, B = "https://a.example/", "http://b.example:8080/news"
PAIR = (A, B)
COUNTS = st.sampled_from([("three", 3), ("3", 3), ("five", 5), ("10", 10), ("a dozen", 12)])
NOUNS = st.sampled_from(["stories", "headlines", "news stories", "articles", "news items", "front-page stories"])
FETCHES = st.sampled_from(
    [
        "fetch {} and {}",
        "Fetch {}, {}",
        "read the front pages of {} and {}",
        "please get the pages {} and {}",
        "visit {} and {}",
        "download {} and {}",
        "fetch two pages: {} and {}",
        "open the front page of {} and the front page of {}",
        "could you fetch the web pages {} and {}",
        "go to {} and {}",
        "fetch the websites {} and {}",
        "load {} as well as {}",
    ]
)
COMPARES = st.sampled_from(
    [
        "compare their top {} {}",
        "compare the top {} {}",
        "compare the {} top {}",
        "compare their {} most important {}",
        "compare the top {} {} of both",
        "compare the first {} {} on both pages",
        "contrast the {} biggest {}",
        "compare the top {} {} of the pages",
        "give me a comparison of their top {} {}",
        "compare the top {} {} on each",
    ]
)
WRITES = st.sampled_from(
    [
        "write the comparison to {}",
        "save the comparison as {}",
        "write a comparison into {}",
        "put the comparison in the file {}",
        "store the comparison in {}",
    ]
)
JOINTS = st.sampled_from([", ", " and ", ", and ", "; ", ". ", ", then ", " and then ", "\n"])
QUOTES = st.sampled_from(["{}", '"{}"', "'{}'", "“{}”", "({})", "<{}>"])


@settings(max_examples=400, deadline=None)
@given(FETCHES, COMPARES, WRITES, COUNTS, NOUNS, JOINTS, JOINTS, QUOTES)
def test_the_canonical_goal_in_many_wordings(
    fetch: str, compare: str, write: str, count: tuple[str, int], noun: str, joint: str, joint2: str, quote: str
) -> None:
    """RUN-1"""
    pages = fetch.format(quote.format(A), quote.format(B))
    goal = f"{pages}{joint}{compare.format(count[0], noun)}{joint2}{write.format('./cmp.md')}."
    wanted = (Clause(Fetch(PAIR)), Clause(CompareStories((), count[1])), Write(Thing.COMPARISON, "./cmp.md"))
    assert parse_goal(goal) == wanted


@pytest.mark.parametrize(
    ("goal", "clauses"),
    [
        ("compare the top 5 headlines of {A} and {B}", [Clause(CompareStories(PAIR, 5))]),
        ("compare the top 5 headlines of {A} with those of {B}", [Clause(CompareStories(PAIR, 5))]),
        ("compare the top 5 headlines on {A} and on {B}", [Clause(CompareStories(PAIR, 5))]),
        ("compare the headlines of {A} and {B}", [Clause(CompareStories(PAIR, STORIES_UNLESS_SAID))]),
        ("compare {A}'s top 3 stories with {B}'s", [Clause(CompareStories(PAIR, 3))]),
        ("compare {A}’s top 3 stories with {B}’s", [Clause(CompareStories(PAIR, 3))]),
        ("compare {A} and {B} by their top 3 stories", [Clause(CompareStories(PAIR, 3))]),
        ("how do the top 3 stories of {A} and {B} differ?", [Clause(CompareStories(PAIR, 3))]),
        ("which stories do {A} and {B} share?", [Clause(CompareStories(PAIR, STORIES_UNLESS_SAID))]),
        ("compare the top 5 headlines of {A} and {B} to ./x.md", [Clause(CompareStories(PAIR, 5), "./x.md")]),
        ("write a comparison of the top 2 stories of {A} and {B} to ./x", [Clause(CompareStories(PAIR, 2), "./x")]),
        (
            "fetch {A} and {B}, and write a comparison of their top 2 stories to ./x",
            [Clause(Fetch(PAIR)), Clause(CompareStories((), 2), "./x")],
        ),
        ("compare the top 999 stories of {A} and {B}", [Clause(CompareStories(PAIR, MAX_STORIES))]),
        ("list the headlines of {A}", [Clause(ListStories((A,), STORIES_UNLESS_SAID))]),
        ("what are the top ten stories on {A}?", [Clause(ListStories((A,), 10))]),
        ("give me the 3 biggest stories on {A} and {B} to ./x.md", [Clause(ListStories(PAIR, 3), "./x.md")]),
        ("go to {A} and get the top 3 headlines", [Clause(Fetch((A,))), Clause(ListStories((), 3))]),
        ("fetch {A}", [Clause(Fetch((A,)))]),
        ("fetch {A} to ./x.md", [Clause(Fetch((A,)), "./x.md")]),
        ("download the page {A} as ./x.md", [Clause(Fetch((A,)), "./x.md")]),
        ("save the text of {A} to ./x.md", [Clause(Fetch((A,)), "./x.md")]),
        ("fetch {A} and {B} and write the pages to ./x.md", [Clause(Fetch(PAIR)), Write(Thing.RESULT, "./x.md")]),
        ("fetch {A} and write to ./x.md", [Clause(Fetch((A,))), Write(Thing.RESULT, "./x.md")]),
        ("summarise {A} to ./x.md", [Clause(Summarise((), (A,)), "./x.md")]),
        ("summarise {A} and /b", [Clause(Summarise(("/b",), (A,)))]),
        (
            "fetch {A}, summarise it, and write the summary to ./x.md",
            [Clause(Fetch((A,))), Clause(Summarise(())), Write(Thing.SUMMARY, "./x.md")],
        ),
        ("compare {A} with {B}", [Clause(Compare((), PAIR))]),
        ("compare {A} with ./old.md", [Clause(Compare(("./old.md",), (A,)))]),
        ("fetch {A} and {B} and compare them", [Clause(Fetch(PAIR)), Clause(Compare(()))]),
        ("fetch {A}. fetch {B}. compare the pages", [Clause(Fetch((A,))), Clause(Fetch((B,))), Clause(Compare(()))]),
        ("what is {A} about?", [Clause(Summarise((), (A,)))]),
    ],
)
def test_what_can_be_said_of_pages(goal: str, clauses: list[Parsed]) -> None:
    """RUN-1"""
    assert list(parse_goal(goal.replace("{A}", A).replace("{B}", B))) == clauses


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("fetch http://127.1/", "127.0.0.1"),
        ("fetch http://user@a.example/", "host alone"),
        ("fetch ftp://a.example/", "https://"),
        ("fetch {A} and ./x", "tier T0"),
        ("count the words in {A}", "./page.md"),
        ("compare the top 3 stories of {A} and ./x", "agentd submit"),
        ("compare the headlines", "agentd submit"),
        ("compare {A} and {B} to ./x.md", "write the comparison to"),
    ],
)
def test_what_cannot_be_done_says_what_can(goal: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_goal(goal.replace("{A}", A).replace("{B}", B))
    assert said in caught.value.remedy + caught.value.message


def test_files_keep_their_meaning() -> None:
    """Words about stories are about pages only in goals that name one."""
    (clause,) = parse_goal("list the top 5 stories from ./x.csv")
    assert "Report" in type(getattr(clause, "work", None)).__name__
    (search,) = parse_goal("search for 'https://a.example/' in /f")
    assert "Search" in type(getattr(search, "work", None)).__name__


_WORDS = f"""fetch compare their the top three stories of and on both pages , . write it to list first 3 news with
    front ‹x› headlines ./f.md {A} {B}""".split()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_WORDS), max_size=40))
def test_no_mixture_of_words_breaks_the_parser(words: list[str]) -> None:
    """H-FUZZ-10"""
    assert is_understood_or_refused(" ".join(words))
