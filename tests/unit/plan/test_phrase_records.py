"""Wordings of reports and counts, made from their parts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.plan.clauses import Count, Pattern, Report, Unit
from aaos.plan.goal import read_goal
from aaos.plan.phrase_parts import Words
from aaos.plan.phrase_records import parse_count, parse_report

VERBS = ("report", "list", "show", "show me", "print", "give me", "find", "what are", "tell me", "display")
ORDERS = {
    "largest": ("largest", "biggest", "greatest", "highest", "heaviest"),
    "smallest": ("smallest", "lowest", "least"),
    "newest": ("newest", "latest", "most recent"),
    "oldest": ("oldest", "earliest"),
    "first": ("first",),
    "last": ("last",),
    "top": ("top",),
}
NUMBERS = {"20": 20, "ten": 10, "1,000": 1000, "a dozen": 12, "5": 5}
PREPOSITIONS = ("from", "in", "of", "out of", "listed in", "within")


def report(phrase: str) -> Report | None:
    text = read_goal(phrase)
    return parse_report(Words(text.template, text))


def count(phrase: str) -> Count | None:
    text = read_goal(phrase)
    return parse_count(Words(text.template, text))


@settings(max_examples=300)
@given(
    verb=st.sampled_from(VERBS),
    order=st.sampled_from([(order, word) for order, words in ORDERS.items() for word in words]),
    number=st.sampled_from(sorted(NUMBERS)),
    is_number_first=st.booleans(),
    filters=st.lists(st.sampled_from(["installed", "essential", "python", "amd64"]), max_size=2, unique=True),
    noun=st.sampled_from(["packages", "users", "records", "rows", "stanzas"]),
    field=st.sampled_from(["", "size", "Installed-Size", "installed size", '"unit price"']),
    is_field_last=st.booleans(),
    preposition=st.sampled_from(PREPOSITIONS),
    article=st.sampled_from(["", "the "]),
)
def test_every_wording_of_a_report_means_the_same(
    verb: str,
    order: tuple[str, str],
    number: str,
    is_number_first: bool,
    filters: list[str],
    noun: str,
    field: str,
    is_field_last: bool,
    preposition: str,
    article: str,
) -> None:
    pair = f"{number} {order[1]}" if is_number_first else f"{order[1]} {number}"
    by = f" by {field}" if field else ""
    place = f"{preposition} /var/data"
    words = " ".join([*filters, noun])
    phrase = (
        f"{verb} {article}{pair} {words} {place}{by}"
        if is_field_last
        else f"{verb} {article}{pair} {words}{by} {place}"
    )
    expected = Report("/var/data", order[0], NUMBERS[number], field.strip('"'), noun, tuple(filters))
    assert report(phrase) == expected, phrase


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("list all users from /a", Report("/a", "all", 0, "", "users", ())),
        ("report 20 packages from /a", Report("/a", "first", 20, "", "packages", ())),
        ("report the largest package from /a", Report("/a", "largest", 1, "", "package", ())),
        ("report the largest packages from /a", Report("/a", "largest", 0, "", "packages", ())),
        ("list packages from /a sorted by size", Report("/a", "largest", 0, "size", "packages", ())),
        ("list rows from /a ordered by price ascending", Report("/a", "smallest", 0, "price", "rows", ())),
        ("list rows by price in descending order from /a", Report("/a", "largest", 0, "price", "rows", ())),
        ("report the 5 users with the highest uid in /a", Report("/a", "largest", 5, "uid", "users", ())),
        ("give the 3 packages that are installed in /a", Report("/a", "first", 3, "", "packages", ("installed",))),
        ("a report of the 3 oldest rows in /a", Report("/a", "oldest", 3, "", "rows", ())),
        ("the ten longest lines in /a", Report("/a", "largest", 10, "", "lines", ())),
    ],
)
def test_other_wordings_of_reports(phrase: str, expected: Report) -> None:
    assert report(phrase) == expected


@pytest.mark.parametrize(
    "phrase", ["report", "report /a", "report the from /a", "list the a b c d e f g from /a", "list rows"]
)
def test_what_is_no_report(phrase: str) -> None:
    assert report(phrase) is None


@pytest.mark.parametrize(
    "ask", ["count the", "count", "how many", "tell me the number of", "the number of", "what is the number of"]
)
@pytest.mark.parametrize(
    ("things", "unit", "words"),
    [
        ("lines", Unit.LINES, ()),
        ("words", Unit.WORDS, ()),
        ("characters", Unit.CHARACTERS, ()),
        ("bytes", Unit.BYTES, ()),
        ("records", Unit.RECORDS, ()),
        ("packages", Unit.RECORDS, ()),
        ("installed packages", Unit.RECORDS, ("installed",)),
    ],
)
def test_wordings_of_a_count(ask: str, things: str, unit: Unit, words: tuple[str, ...]) -> None:
    for verb in ("", " are there", " are"):
        found = count(f"{ask} {things}{verb} in /a and /b")
        assert found == Count(("/a", "/b"), unit, None, things.rsplit(maxsplit=1)[-1], words)


@pytest.mark.parametrize(
    ("phrase", "unit"),
    [
        ("count the occurrences of 'x y' in /a", Unit.MATCHES),
        ("count 'x y' in /a", Unit.MATCHES),
        ("how many times does 'x y' occur in /a", Unit.MATCHES),
        ("how often does 'x y' appear in /a", Unit.MATCHES),
        ("count how often 'x y' appears in /a", Unit.MATCHES),
        ("how many lines contain 'x y' in /a", Unit.MATCHING_LINES),
        ("count the lines containing 'x y' in /a", Unit.MATCHING_LINES),
        ("count the lines in /a that contain 'x y'", Unit.MATCHING_LINES),
        ("how many lines in /a mention 'x y'", Unit.MATCHING_LINES),
    ],
)
def test_wordings_of_counted_matches(phrase: str, unit: Unit) -> None:
    assert count(phrase) == Count(("/a",), unit, Pattern("x y"))


def test_how_many_does_it_have() -> None:
    assert count("how many lines does /a have") == Count(("/a",), Unit.LINES, None, "lines", ())


@pytest.mark.parametrize(
    "phrase", ["count", "count /a", "count the largest packages in /a", "how many blue lines are in /a"]
)
def test_what_is_no_count(phrase: str) -> None:
    assert count(phrase) is None
