"""Counts and their document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import ProviderError
from aaos.llm.rules_count import Counting, Unit, count, count_document
from aaos.llm.rules_file import FileText


@given(st.text(st.sampled_from("abAB \n"), max_size=80), st.sampled_from(["a", "ab", "aa"]))
def test_counts_are_those_of_the_text(text: str, wanted: str) -> None:
    lines = text.removesuffix("\n").split("\n") if text else []
    file = FileText("/x", tuple(lines), ends_with_newline=text.endswith("\n") or not text)
    truth = {
        Unit.LINES: len(lines),
        Unit.WORDS: len(text.split()),
        Unit.CHARACTERS: len(text),
        Unit.BYTES: len(text.encode()),
        Unit.MATCHES: text.count(wanted),
        Unit.MATCHING_LINES: sum(wanted in line for line in lines),
    }
    for unit, expected in truth.items():
        assert count(file, Counting(unit, wanted)).count == expected, unit
    assert count(file, Counting(Unit.MATCHES, wanted.upper(), ignore_case=True)).count == text.lower().count(wanted)


def test_records_are_counted_by_their_words() -> None:
    file = FileText("/x.csv", ("name,state,n", "a,on,1", "b,off,2", "c,on,3"))
    found = count(file, Counting(Unit.RECORDS, noun="switches", words=("on",)))
    assert found.count == 2
    assert "3 records read as CSV; 2 of them have `on` in `state`." in found.how


def test_records_of_prose_cannot_be_counted() -> None:
    with pytest.raises(ProviderError) as caught:
        count(FileText("/x", ("Just a text.", "With lines.")), Counting(Unit.RECORDS, noun="packages"))
    assert "count the lines containing" in caught.value.remedy


def test_documents() -> None:
    one, two = FileText("/a", ("x",)), FileText("/b|c", ("x", "y"), is_whole=False)
    counting = Counting(Unit.LINES)
    assert count_document(counting, [count(one, counting)]) == "# 1 line\n\nCounted in `/a`.\n"
    text = count_document(counting, [count(one, counting), count(two, counting)])
    assert "| `/b\\|c` | 2 |" in text
    assert "| together | 3 |" in text
    assert "Only the first 2 lines" in text


@pytest.mark.parametrize(
    ("counting", "told"),
    [
        (Counting(Unit.MATCHES, "a`b"), "occurrences of ``a`b``"),
        (Counting(Unit.MATCHING_LINES, "x", ignore_case=True), "lines with `x`, in any case"),
        (Counting(Unit.RECORDS, noun="*users*", words=("old",)), "old \\*users\\*"),
    ],
)
def test_units_are_told_inert(counting: Counting, told: str) -> None:
    assert counting.told == told
