"""Foreign text in documents: inert, bounded, readable."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.llm.rules_markdown import (
    amount,
    bullets,
    cell,
    code,
    demoted,
    document,
    inert,
    listed,
    number,
    one_line,
    size,
    table,
)

ANY = st.text(max_size=200)
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e]")


@given(ANY, st.integers(10, 100))
def test_foreign_text_is_one_bounded_line_without_controls(text: str, limit: int) -> None:
    """H-SEC-09."""
    for made in (one_line(text, limit), inert(text, limit), code(text, limit)):
        assert "\n" not in made
        assert not UNSAFE.search(made)
    assert len(one_line(text, limit)) <= limit


@given(ANY)
def test_no_markup_of_a_file_is_markup_of_a_document(text: str) -> None:
    """Every character that could begin a link, code, HTML, emphasis, table or heading has a backslash before it."""
    made = inert(text)
    bare = re.sub(r"\\.", ".", made)  # what stood around an escape must not meet
    assert not re.search(r"[`*\[\]<|]|~~|&#?\w+;", bare)
    assert not re.match(r"(#{1,6}|[-+>=]|\d+[.)])(\s|$)", made)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("plain text, with 5 words.", "plain text, with 5 words."),
        ("file_read and _private_", "file_read and \\_private\\_"),
        ("# head", "\\# head"),
        ("1. item", "1\\. item"),
        ("- item", "\\- item"),
        ("-5 degrees", "-5 degrees"),
        ("<b>[x](javascript:y)</b> &amp; A&B", "\\<b>\\[x\\](javascript:y)\\</b> \\&amp; A&B"),
        ("a | b", "a \\| b"),
        ("\x1b[31mred", "\\\\e\\[31mred"),
    ],
)
def test_examples(text: str, made: str) -> None:
    assert inert(text) == made


@given(ANY)
def test_code_spans_hold_their_text_whatever_the_backticks(text: str) -> None:
    made = code(text, 300)
    fence = re.match(r"`+", made)
    if fence is None:
        assert made == "(empty)"
        return
    inner = made[len(fence[0]) : -len(fence[0])]
    assert fence[0] not in re.findall(r"`+", inner)


@given(st.lists(st.lists(ANY, min_size=2, max_size=2), max_size=5))
def test_a_table_has_its_rows_and_columns_whatever_is_in_the_cells(rows: list[list[str]]) -> None:
    made = table(["a", "b"], [[inert(one), code(two)] for one, two in rows], right=frozenset({1}))
    lines = made.split("\n")
    assert len(lines) == len(rows) + 2
    assert lines[1] == "| --- | ---: |"
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in lines)


def test_numbers_for_people() -> None:
    assert [number(value) for value in (0, 1234, -5, 0.5, 1234.5, 1e20)] == [
        "0",
        "1,234",
        "-5",
        "0.5",
        "1,234.5",
        "100,000,000,000,000,000,000.00",
    ]
    assert [size(value) for value in (0, 1, 1023, 1024, 35_149, 3 * 2**30)] == [
        "0 bytes",
        "1 byte",
        "1,023 bytes",
        "1.0 KiB",
        "34.3 KiB",
        "3.0 GiB",
    ]
    assert [amount(1, "entry", "entries"), amount(2, "entry", "entries"), amount(2000, "line")] == [
        "1 entry",
        "2 entries",
        "2,000 lines",
    ]
    assert [listed([]), listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_documents_and_their_parts() -> None:
    assert document("# a", "", "  ", "b\n") == "# a\n\nb\n"
    assert demoted("# a\ntext # b\n## c") == "## a\ntext # b\n### c"
    assert bullets(["a", "b"]) == "- a\n- b"
    assert cell("a | b \\| c") == "a \\| b \\| c"
