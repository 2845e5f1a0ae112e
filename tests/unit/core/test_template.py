"""Placeholders are filled in one pass; what is put in is never read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.core.template import Placeholder, fill, fill_lines, parse_template, placeholders


def test_placeholders_and_doubled_braces_are_found() -> None:
    assert parse_template("a {b} {{c}} {inputs.*}{inputs.t-1}") == (
        "a ", Placeholder("b"), " ", "{", "c", "}", " ", Placeholder("inputs.*"), Placeholder("inputs.t-1"),
    )  # fmt: skip
    assert placeholders("{b}{a}{b}") == ("b", "a")
    assert fill("{{{a}}}", {"a": "x"}) == "{x}"


@pytest.mark.parametrize(
    "hostile", ["{other}", "{0}", "{{", "}", "{a.__class__}", "%s", "$x", "\\1", "\\g<0>", "{inputs.*}"]
)
def test_what_is_put_in_is_never_expanded(hostile: str) -> None:
    """H-FUZZ-06"""
    assert fill("<{a}|{other}>", {"a": hostile, "other": "secret"}) == f"<{hostile}|secret>"


@pytest.mark.parametrize(
    "text",
    ["{", "}", "a {b", "{b c}", "{}", "{0}", "{a.b}", "{a!r}", "{a:>9}", "{a[0]}", "{A}", "{inputs.}", "{inputs.A}",
     "{a}}", "{{a}", "{ a }", "{a\n}", "{inputs.*.x}", "{é}"],
)  # fmt: skip
def test_a_brace_that_is_no_placeholder_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^line 1: ") as caught:
        parse_template(text)
    assert "{{" in caught.value.remedy


def test_the_line_of_a_wrong_brace_is_named() -> None:
    with pytest.raises(InputError, match=r"^line 3: '\{oops here'"):
        parse_template("one\ntwo {a}\nx {oops here")


def test_a_placeholder_without_value_is_refused() -> None:
    with pytest.raises(InputError, match=r"nothing to put in place of \{b\}"):
        fill("{a}{b}", {"a": ""})


@given(st.lists(st.tuples(st.text(), st.sampled_from(["a", "b"]))), st.text(), st.text())
def test_filling_is_concatenation(pieces: list[tuple[str, str]], one: str, two: str) -> None:
    values = {"a": one, "b": two}
    text = "".join(literal.replace("{", "{{").replace("}", "}}") + f"{{{name}}}" for literal, name in pieces)
    assert fill(text, values) == "".join(literal + values[name] for literal, name in pieces)


def test_a_line_that_refers_to_nothing_but_the_absent_is_left_out() -> None:
    text = "Do {a}.\nFiles: {b}\nBoth: {a} {b}\nPlain\n\nLast: {b}"
    assert fill_lines(text, {"a": "x", "b": ""}, absent={"b"}) == "Do x.\nBoth: x \nPlain\n\n"
    assert fill_lines(text, {"a": "x", "b": "{a}\n{b}"}, absent=()) == fill(text, {"a": "x", "b": "{a}\n{b}"})
