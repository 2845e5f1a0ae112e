"""One template is one argument; no value becomes an option, a second argument or another placeholder."""

from dataclasses import replace
from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.tools.rendering import MAX_ARGUMENT_BYTES, render
from aaos.tools.wrapper import Argument, Parameter, ParameterKind, Wrapper

TEXT = Parameter("text", ParameterKind.STRING)
LIST = Parameter("list", ParameterKind.STRINGS, is_required=False)
FLAG = Parameter("flag", ParameterKind.BOOLEAN, default=False)
PLAIN = Wrapper("w", "s", "/usr/bin/prog", "p", {"text": TEXT, "list": LIST, "flag": FLAG}, (Argument(("{text}",)),))
GUARDED = replace(
    PLAIN,
    arguments=(
        Argument(("--mark={text}",)),
        Argument(("--all",), "flag"),
        Argument(("--",)),
        Argument(("{text}",)),
        Argument(("{list}",), "list"),
    ),
)


@pytest.mark.parametrize("value", ["-x", "--x", "-", "--", "-c core.pager=sh", "--upload-pack=sh"])
def test_a_value_that_begins_with_a_dash_is_refused(value: str) -> None:
    """ISO-12, H-SUB-01"""
    with pytest.raises(InputError):
        render(PLAIN, {"text": value, "list": None, "flag": False})


def test_behind_the_end_of_options_a_dash_is_text() -> None:
    """ISO-12"""
    argv = render(GUARDED, {"text": "-x", "list": ["-a", "b c"], "flag": True}).argv
    assert argv == ("prog", "--mark=-x", "--all", "--", "-x", "-a", "b c")
    assert render(GUARDED, {"text": "y", "list": None, "flag": False}).argv == ("prog", "--mark=y", "--", "y")


def test_an_end_of_options_that_is_not_there_ends_nothing() -> None:
    """ISO-12: the group with `--` was left out."""
    wrapper = replace(PLAIN, arguments=(Argument(("--",), "flag"), Argument(("{text}",))))
    assert render(wrapper, {"text": "-x", "list": None, "flag": True}).argv == ("prog", "--", "-x")
    with pytest.raises(InputError):
        render(wrapper, {"text": "-x", "list": None, "flag": False})


def test_a_value_that_says_end_of_options_ends_nothing() -> None:
    """ISO-12: only the wrapper's own does."""
    wrapper = replace(PLAIN, arguments=(Argument(("x{text}",)), Argument(("{list}",), "list")))
    with pytest.raises(InputError):
        render(wrapper, {"text": "--", "list": ["--", "-x"], "flag": False})


@given(text=st.text(min_size=1, max_size=40), items=st.lists(st.text(alphabet=printable, min_size=1), max_size=4))
def test_values_are_arguments_whole_and_in_order(text: str, items: list[str]) -> None:
    """ISO-12, H-SUB-14: quotes, blanks, `$(…)`, braces and line ends are text."""
    if not text.isprintable():
        return
    argv = render(GUARDED, {"text": text, "list": items, "flag": False}).argv
    assert argv == ("prog", f"--mark={text}", "--", text, *items)


@pytest.mark.parametrize("value", ["{list}", "{{text}}", "{text.__class__}", "%s", "$(id)", "`id`", "a;b", "a\nb"])
def test_what_is_put_in_is_not_looked_at_again(value: str) -> None:
    """H-SEC-06, H-SUB-14"""
    wrapper = replace(PLAIN, stdin="<{text}>")
    rendered = render(wrapper, {"text": value, "list": None, "flag": False})
    assert rendered.argv == ("prog", value)
    assert rendered.stdin == f"<{value}>".encode()


def test_arguments_that_are_too_long_are_refused() -> None:
    """TOL-4"""
    with pytest.raises(InputError):
        render(PLAIN, {"text": "x" * (MAX_ARGUMENT_BYTES + 1), "list": None, "flag": False})
