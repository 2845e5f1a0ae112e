"""Formats of records: detected, read, and never guessed at."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.llm.rules_records import Format, field_key, find_records, parse

CELLS = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1, max_size=12)
SCALARS = st.one_of(st.integers(-999, 999), CELLS, st.booleans(), st.none())


def lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A: 1\nB: 2\n\nA: 3\nB: 4\n", Format.DEB822),
        ("a,b,c\n1,2,3\n4,5,6\n", Format.COMMA),
        ("a;b\n1;2\n4;5\n", Format.SEMICOLON),
        ("a\tb\n1\t2\n", Format.TAB),
        ("a|b|c\n1|2|3\n", Format.BAR),
        ('{"a":1}\n{"a":2}\n', Format.JSON_LINES),
        ('[\n {"a":1},\n {"a":2}\n]\n', Format.JSON_ARRAY),
        ('[{"a":1},{"a":2}]\n', Format.JSON_ARRAY),
        ("root:x:0:0:root:/root:/bin/sh\nbin:x:1:1::/:/bin/false\n", Format.COLON),
        ("# comment\nadm:x:4:a,b\nsys:x:3:\n", Format.COLON),
    ],
)
def test_formats_are_known_by_their_form(text: str, found: Format) -> None:
    records = find_records(lines(text))
    assert records is not None
    assert records.format is found
    assert records.malformed == 0


@pytest.mark.parametrize(
    "text",
    [
        "", "\n\n", "Just one line, with a comma.\n", "a\nb\nc\n",
        "Some prose, it has commas.\nAnd more of it, as prose does.\nThe end.\n",
        "Note: this is a sentence.\nIt goes on.\n", "#!/bin/sh\necho a\n", "def f(x):\n    return x\n",
        "[section]\nkey = value\n",
    ],
)  # fmt: skip
def test_other_texts_have_no_records(text: str) -> None:
    assert find_records(lines(text)) is None


@given(
    st.lists(
        st.dictionaries(st.from_regex(r"[A-Z][a-z-]{0,8}", fullmatch=True), CELLS, min_size=2, max_size=4),
        min_size=2,
        max_size=8,
    )
)
def test_stanzas_come_back_as_they_were_written(rows: list[dict[str, str]]) -> None:
    text = "\n".join("".join(f"{name}: {value}\n" for name, value in row.items()) for row in rows)
    records = parse(lines(text), Format.DEB822)
    assert [dict(row) for row in records.rows] == rows


@given(st.lists(st.tuples(CELLS, CELLS, st.integers()), min_size=2, max_size=8), st.sampled_from([",", ";", "\t"]))
def test_delimited_lines_come_back_as_they_were_written(rows: list[tuple[str, str, int]], mark: str) -> None:
    file = io.StringIO()
    csv.writer(file, delimiter=mark, lineterminator="\n").writerows([("name", "text", "count"), *rows])
    kind = {",": Format.COMMA, ";": Format.SEMICOLON, "\t": Format.TAB}[mark]
    records = parse(lines(file.getvalue()), kind)
    assert records.fields == ("name", "text", "count")
    assert [tuple(row.values()) for row in records.rows] == [(a, b, str(c)) for a, b, c in rows]


@given(st.lists(st.dictionaries(CELLS, SCALARS, min_size=1, max_size=4), min_size=1, max_size=8))
def test_json_lines_come_back_as_text(rows: list[dict[str, object]]) -> None:
    records = parse([json.dumps(row) for row in rows], Format.JSON_LINES)
    shown = {None: "", True: "true", False: "false"}
    for row, given_row in zip(records.rows, rows, strict=True):
        for name, value in given_row.items():
            plain = shown[value] if value is None or isinstance(value, bool) else str(value)
            assert row[name] == plain


def test_stanzas_join_continued_lines_and_count_what_is_wrong() -> None:
    records = parse(
        lines("A: 1\n more\n .\nB:\nno field here\n\n continued without a field\nA: 2\nA: 3\n# note\n"), Format.DEB822
    )
    assert [dict(row) for row in records.rows] == [{"A": "1\nmore\n.", "B": ""}, {"A": "2"}]
    assert records.malformed == 3


def test_fields_of_passwd_and_group_have_their_names() -> None:
    records = find_records(
        ["root:x:0:0:root:/root:/bin/sh", "bin:x:1:1::/:/bin/false", "broken:x:1"] * 5 + ["a:x:1:1::/:/x"] * 50
    )
    assert records is not None
    assert records.fields == ("login", "password", "uid", "gid", "gecos", "home", "shell")
    assert records.malformed == 5
    odd = find_records(["a:b:c:d:e", "f:g:h:i:j"])
    assert odd is not None
    assert odd.fields[0] == "field 1"


def test_a_table_without_a_header_has_numbered_columns() -> None:
    records = find_records(["1,2,3", "4,5,6"])
    assert records is not None
    assert records.fields == ("column 1", "column 2", "column 3")
    assert len(records.rows) == 2


@pytest.mark.parametrize(
    "text",
    [
        '"' + "x" * 200_000,
        "a,b,c\n" * 3 + '"never closed,1\n' * 40,
        "{" * 5000,
        '{"a":' * 3000,
        "[" + '{"a":1},' * 10,
        ":::::\n" * 5,
        "a: \x00\nb: \x1b[2J\n",
    ],
)
def test_broken_files_are_read_as_far_as_they_go(text: str) -> None:
    """H-FUZZ-10: counted or refused, never an unexpected error."""
    find_records(lines(text))
    for kind in Format:
        parse(lines(text), kind)


@given(st.text(st.sampled_from('a:1,;\t|\n "{}[]#.'), max_size=200))
def test_no_text_breaks_the_readers(text: str) -> None:
    find_records(lines(text))
    for kind in Format:
        parse(lines(text), kind)


def test_names_are_compared_without_their_marks() -> None:
    assert field_key("Installed-Size") == field_key("installed size") == field_key("INSTALLED_SIZE")
