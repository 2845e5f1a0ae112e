"""Goals as an operator may word them, made from templates; what is not understood says so."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.core.graph import check_plan
from aaos.core.paths import normalise
from aaos.plan.clauses import (
    Clause,
    Compare,
    CompareStories,
    Count,
    Fetch,
    ListStories,
    Pattern,
    Report,
    Search,
    Summarise,
    Thing,
    Unit,
    Write,
)
from aaos.plan.phrases import parse_goal
from aaos.plan.shapes import Places, build

NAMES = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9_.+-]{0,10}[a-zA-Z0-9_]", fullmatch=True)
BARE = st.builds("/{}/{}".format, NAMES, NAMES)
SPACED = st.builds("/{} {}/{}".format, NAMES, NAMES, NAMES)
QUOTES = st.sampled_from(['"{}"', "'{}'", "`{}`", "“{}”"])
PATHS = st.one_of(BARE.map(lambda path: (path, path)), st.builds(lambda p, q: (p, q.format(p)), SPACED | BARE, QUOTES))
GREETINGS = st.sampled_from(["", "please ", "Please, ", "could you ", "I want you to ", "I'd like you to ", "now "])
ENDINGS = st.sampled_from(["", ".", "!", "?", ", please", " please.", " for me", ", thanks!", "\n"])
JOINTS = st.sampled_from(
    [", ", " and ", ", and ", "; ", ". ", ", then ", " and then ", "\n", ". Then ", ", and then also "]
)
SUMMARISE = st.sampled_from(
    ["summarise {}", "summarize {}", "Summarise the file {}", "sum up {}", "give me a summary of {}", "SUMMARISE {}",
     "give an overview of {}", "outline {}", "create a brief overview of the file {}", "what is {} about",
     "make a short summary of {}"]
)  # fmt: skip
COMPARE = st.sampled_from(
    ["compare {} and {}", "compare {} with {}", "compare {} to {}", "compare {} against {}", "contrast {} with {}",
     "Compare the files {} and {}", "compare and contrast {} and {}", "give me a comparison of {} and {}",
     "how do {} and {} differ", "what are the differences between {} and {}", "tell me how {} differs from {}",
     "show the differences between {} and {}"]
)  # fmt: skip
WRITE = st.sampled_from(
    ["write {} to {}", "save {} to {}", "put {} in {}", "store {} in {}", "write {} into {}", "output {} to {}",
     "save {} as {}", "write {} to the file {}", "save {} in a file called {}", "Write {} to a new file named {}"]
)  # fmt: skip
COMPARISON = st.sampled_from(["the comparison", "a comparison", "the comparison of both", "the differences"])
RESULT = st.sampled_from(["the result", "it", "the results", "that", "everything", "your findings", "the output"])


def is_understood_or_refused(goal: str) -> bool:
    try:
        return bool(parse_goal(goal))
    except InputError as error:
        return bool(error.message and error.remedy)


@settings(max_examples=300, deadline=None)
@given(GREETINGS, SUMMARISE, SUMMARISE, JOINTS, JOINTS, WRITE, COMPARISON, ENDINGS, PATHS, PATHS, PATHS)
def test_two_summaries_and_their_comparison(
    hello: str, first: str, second: str, joint: str, joint2: str, write: str, what: str, end: str,
    a: tuple[str, str], b: tuple[str, str], out: tuple[str, str],
) -> None:  # fmt: skip
    goal = f"{hello}{first.format(a[1])}{joint}{second.format(b[1])}{joint2}{write.format(what, out[1])}{end}"
    assert parse_goal(goal) == (
        Clause(Summarise((a[0],))),
        Clause(Summarise((b[0],))),
        Write(Thing.COMPARISON, out[0]),
    ), goal


@settings(max_examples=300, deadline=None)
@given(GREETINGS, COMPARE, JOINTS, WRITE, RESULT, ENDINGS, PATHS, PATHS, PATHS)
def test_a_comparison_and_its_file(
    hello: str, compare: str, joint: str, write: str, what: str, end: str,
    a: tuple[str, str], b: tuple[str, str], out: tuple[str, str],
) -> None:  # fmt: skip
    goal = f"{hello}{compare.format(a[1], b[1])}{joint}{write.format(what, out[1])}{end}"
    paths = (a[0], b[0]) if a[0] != b[0] else (a[0],)
    assert parse_goal(goal) == (Clause(Compare(paths)), Write(Thing.RESULT, out[0])), goal


@settings(max_examples=200, deadline=None)
@given(
    GREETINGS, ENDINGS, PATHS, PATHS, st.integers(1, 500), st.sampled_from([" to {}", ", to {}", " into {}", " as {}"])
)
def test_a_report_with_its_file(
    hello: str, end: str, a: tuple[str, str], out: tuple[str, str], count: int, to: str
) -> None:
    goal = f"{hello}report the largest {count} installed packages from {a[1]}{to.format(out[1])}{end}"
    assert parse_goal(goal) == (Clause(Report(a[0], "largest", count, "", "packages", ("installed",)), out[0]),), goal


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        ("summarise /a, /b and /c", (Clause(Summarise(("/a", "/b", "/c"))),)),
        ("summarise everything in /a", (Clause(Summarise(("/a",))),)),
        ("write a summary of /a to /b", (Clause(Summarise(("/a",)), "/b"),)),
        ("save to /c a comparison of /a and /b", (Clause(Compare(("/a", "/b")), "/c"),)),
        ("write to /x the number of lines in /a", (Clause(Count(("/a",), Unit.LINES, None, "lines", ())),)),
        ("in /a, count the lines", (Clause(Count(("/a",), Unit.LINES, None, "lines", ())),)),
        ("from /a report the 2 largest rows", (Clause(Report("/a", "largest", 2, "", "rows", ())),)),
        ("search for 'and write it to /b' in /a", (Clause(Search(("/a",), Pattern("and write it to /b"))),)),
        (
            "summarise /a and write the summary to /b, then compare /a with /c and write the comparison to /d",
            (
                Clause(Summarise(("/a",))),
                Write(Thing.SUMMARY, "/b"),
                Clause(Compare(("/a", "/c"))),
                Write(Thing.COMPARISON, "/d"),
            ),
        ),
        (
            "summarise /a and /b and write the comparison to /c and the summary to /d",
            (Clause(Summarise(("/a", "/b"))), Write(Thing.COMPARISON, "/c"), Write(Thing.SUMMARY, "/d")),
        ),
    ],
)  # fmt: skip
def test_other_wordings(goal: str, expected: tuple[object, ...]) -> None:
    found = parse_goal(goal)
    if goal.startswith("write to /x"):
        found = tuple(Clause(clause.work) for clause in found if isinstance(clause, Clause))
    assert found == expected


@pytest.mark.parametrize(
    "goal",
    [
        "write me a poem", "summarise the news", "rm -rf /", "fetch https://example.com/ and juggle it", "count /a",
        "summarise /tmp/my file.txt", "compare", "and", "...", "hello", "to /x write nothing", "in /a", "/a",
        "‘ ’ /a /b /c",
        "summarise /a and do a dance with /b", "delete /a", "summarise /a then email it to bob@example.com",
    ],
)  # fmt: skip
def test_what_is_not_understood_says_which_tier_could_and_what_works(goal: str) -> None:
    """LLM-2: an honest refusal."""
    with pytest.raises(InputError) as caught:
        parse_goal(goal)
    assert "tier T0" in caught.value.message
    assert "T1, T2 or T3" in caught.value.message
    assert "Example: agentd submit" in caught.value.remedy


def test_the_example_of_the_refusal_is_understood() -> None:
    with pytest.raises(InputError) as caught:
        parse_goal("sing")
    example = caught.value.remedy.split("agentd submit ")[1].strip('"')
    assert len(parse_goal(example)) == 2
    for known in (
        "summarise /f",
        "compare /f and /g",
        "report the largest 3 rows from /f",
        "search for 'x' in /f",
        "count the lines in /f",
        "fetch https://a.b/ and https://c.d/, compare their top three stories, and write the comparison to /f",
    ):
        assert parse_goal(known)


@pytest.mark.parametrize("goal", ["compare /a and /b to /c", "compare /a, /b to /c", "compare /a with /b and /c to /d"])
def test_a_file_that_may_be_meant_to_be_compared_is_not_overwritten(goal: str) -> None:
    with pytest.raises(InputError, match="unclear"):
        parse_goal(goal)


def test_an_address_is_refused_where_only_files_are_read() -> None:
    with pytest.raises(InputError, match="is an address") as caught:
        parse_goal("count the words in https://example.com/")
    assert 'agentd submit "fetch https://example.com/ to ./page.md"' in caught.value.remedy


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(goal: str) -> None:
    """H-FUZZ-10: understood or refused, nothing else."""
    assert is_understood_or_refused(goal)


WORDS = [
    "summarise",
    "compare",
    "write",
    "the",
    "and",
    "to",
    "in",
    ",",
    "/a",
    "'b c'",
    "report",
    "largest",
    "5",
    "by",
    "of",
    "lines",
    "count",
    ".",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_no_order_of_known_words_breaks_the_parser_or_loses_a_name(words: list[str]) -> None:
    goal = " ".join(words)
    try:
        clauses = parse_goal(goal)
    except InputError:
        return
    assert all(name in str(clauses) for name, word in (("/a", "/a"), ("b c", "'b c'")) if word in words)


@pytest.mark.parametrize(
    "goal",
    [
        "report " + "a " * 2000, "summarise " + "/a, " * 60, "how many " + "the " * 2000, "search for " + "x " * 2000,
        ", " * 2000, "report the " + "by a " * 2000, "and then " * 2000, "please " * 2000,
        "count lines " + "in " * 2000, "write " * 2000, "compare /a" + " and /a" * 60 + " x y",
        "compare /a" + " , /a" * 60 + " x y",
        "compare the top 3 stories of https://a.b/" + " and those of https://a.b/" * 50 + " x",
        "fetch https://a.b/ and compare " + "the their " * 2000, "fetch https://a.b/ " + "the front pages of " * 2000,
        "fetch https://a.b/" + " and https://a.b/" * 60 + " x",
    ],
)  # fmt: skip
def test_long_goals_are_read_in_few_steps(goal: str) -> None:
    """An expression that goes back and forth over the goal would not end here."""
    assert is_understood_or_refused(goal[:1500])


EXAMPLES = re.findall(r'^agentd submit "(.+)"$', (Path(__file__).parents[3] / "docs" / "goals.md").read_text(), re.M)


@pytest.mark.parametrize("goal", EXAMPLES)
def test_every_goal_of_the_manual_makes_a_plan(goal: str) -> None:
    places = Places(resolve=lambda path: normalise(path, "/cwd"), is_dir=lambda path: path.endswith(("/docs", "/ssh")))
    check_plan(build(parse_goal(goal), places))


def test_the_manual_has_examples_of_every_shape() -> None:
    works = {type(one.work) for goal in EXAMPLES for one in parse_goal(goal) if isinstance(one, Clause)}
    assert works == {Summarise, Compare, Report, Search, Count, Fetch, ListStories, CompareStories}
