"""What is shown to whoever approves: the change, bounded, cut where the content has no say."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.tools import preview

MOST_CHARS = (preview.SHOWN_LINES + 1) * (preview.LINE_CHARS + 64)


def test_a_change_is_shown_as_its_difference() -> None:
    shown = preview.of_change(b"one\ntwo\n", b"one\n2\n")
    assert "-two" in shown
    assert len(shown.split("\n")) == 6
    assert "+2" in shown
    assert preview.of_change(b"same", b"same") == "nothing changes"
    assert preview.of_change(None, b"new\n").split("\n")[-1] == "+new"
    assert "-[no line feed at the end]" in preview.of_change(b"same", b"same\n")


def test_a_long_text_is_cut_in_the_middle() -> None:
    """H-API-07: a hundred thousand lines hide neither the first nor the last."""
    lines = [f"line {number}" for number in range(100_000)]
    shown = preview.of_change(None, "\n".join(lines).encode())
    assert "line 0" in shown
    assert "line 99999" in shown
    assert "lines are not shown here]" in shown
    assert len(shown) < MOST_CHARS


def test_a_long_line_is_cut_in_the_middle() -> None:
    """H-API-07"""
    shown = preview.of_change(b"", b"rm -rf " + b" " * 60_000 + b"/\n")
    assert "rm -rf" in shown
    assert shown.endswith("/")
    assert "[cut: " in shown


@given(st.binary(max_size=2_000), st.binary(max_size=2_000))
def test_any_content_gives_a_bounded_text(before: bytes, after: bytes) -> None:
    assert len(preview.of_change(before, after)) <= MOST_CHARS
    assert len(preview.of_size(10**9, after)) <= MOST_CHARS


def test_lines_that_are_alike_take_no_time() -> None:
    """H-API-07, H-RES-11: the largest texts that are compared, at their worst."""
    chance = random.Random(1)  # noqa: S311  # a test's
    sides = ["\n".join(chance.choice("ab") for _ in range(preview.DIFF_LINES)).encode() for _ in range(2)]
    assert len(preview.of_change(*sides)) <= MOST_CHARS


def test_other_calls_show_their_arguments() -> None:
    assert preview.of_arguments({"url": "http://a.example/"}) == "url:\n  http://a.example/"


def test_a_program_is_shown_whole_or_not_held() -> None:
    """H-API-07: what stands in the middle of a long script is what would be hidden there."""
    harmless = "echo good morning\n" * 300
    shown = preview.of_arguments({"script": f"{harmless}{'x' * 5_000}; rm -rf /data; {harmless}", "n": [1, 2]})
    assert "; rm -rf /data; echo good morning" in shown
    assert shown.startswith("n:\n  [1, 2]\nscript:\n  echo good morning\n  echo")
    assert "cut" not in shown
    with pytest.raises(InputError, match="cannot be shown whole"):
        preview.of_arguments({"script": "x" * preview.WHOLE_CHARS})
