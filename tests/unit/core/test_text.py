"""Foreign text is harmless on a terminal, bounded, and a wrong name gets the nearest known one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.text import clip, escape_for_terminal, nearest, quoted, suggestion


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred", "\\e[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("a\u2028b\u2029c\x85", "a\\u2028b\\u2029c\\x85"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("line\r\nnext\ttab", "line\\r\\nnext\\ttab"),
    ],
)
def test_what_could_deceive_is_shown_as_an_escape(raw: str, shown: str) -> None:
    """TOL-6, H-FS-10"""
    assert escape_for_terminal(raw) == shown


def test_only_line_feed_and_tab_are_kept_on_request() -> None:
    assert escape_for_terminal("a\n\tb\r\x0b\x1b", keep_newlines=True) == "a\n\tb\\r\\x0b\\e"


@pytest.mark.parametrize("text", ["plain", "Grüße, 世界", "naïve – ×", "🙂", ""])
def test_readable_text_is_left_alone(text: str) -> None:
    assert escape_for_terminal(text) == text


def test_no_character_of_a_dangerous_category_survives() -> None:
    """TOL-6: all of Unicode, against the interpreter's own tables."""
    dangerous = ("Cc", "Cf", "Cs", "Zl", "Zp")
    kept = [
        c
        for c in range(0x110000)
        if unicodedata.category(chr(c)) in dangerous and escape_for_terminal(chr(c)) == chr(c)
    ]
    assert kept == []


@given(st.text())
def test_escaping_twice_changes_nothing(text: str) -> None:
    once = escape_for_terminal(text)
    assert escape_for_terminal(once) == once


def test_a_text_within_its_bounds_is_not_clipped() -> None:
    assert clip("a\nb\n", 4, max_lines=2) == ("a\nb\n", False)


def test_a_clipped_text_says_how_much_is_missing_and_how_to_get_it() -> None:
    """TOL-6"""
    text, truncated = clip("one\ntwo\nthree\n", 100, max_lines=2, hint="ask again with offset 2")
    assert truncated
    assert text == "one\ntwo\n[cut: 6 bytes are missing; ask again with offset 2]"


def test_a_character_is_never_cut_in_half() -> None:
    assert clip("ääää", 5)[0] == "ää\n[cut: 4 bytes are missing]"


@given(st.text(), st.integers(0, 40), st.integers(1, 5))
def test_what_is_kept_is_a_beginning_within_the_bounds(text: str, max_bytes: int, max_lines: int) -> None:
    clipped, truncated = clip(text, max_bytes, max_lines=max_lines)
    kept = clipped.rpartition("[cut: ")[0] if truncated else clipped
    assert text.startswith((kept, kept.removesuffix("\n")))
    assert len(kept.removesuffix("\n").encode()) <= max_bytes
    assert truncated == (len(text.encode()) > max_bytes or len(text.removesuffix("\n").split("\n")) > max_lines)


@pytest.mark.parametrize(
    ("name", "near"),
    [("max_invocation", "max_invocations"), ("Capabilites", "capabilities"), ("other_s", "other"), ("zzz", "")],
)
def test_the_nearest_name_is_found_or_none(name: str, near: str) -> None:
    """H-FUZZ-05"""
    assert nearest(name, ["max_invocations", "capabilities", "other"]) == near


def test_a_suggestion_names_the_nearest_or_lists_all() -> None:
    assert suggestion("socke", ["socket", "state"]) == "did you mean 'socket'?"
    assert suggestion("qqqq", ["b", "a"]) == "known: a, b"
    assert suggestion("x", []) == "none are known here"


HUGE = {
    "text": "x" * 10**6,
    "bytes": b"y" * 10**6,
    "number": 10**10_000,
    "mapping": {"k": "v" * 10**5},
    "list": ["z"] * 10**5,
    "escape": "\x1b]0;\n",
    "bool": True,
}


@pytest.mark.parametrize("value", HUGE.values(), ids=HUGE)
def test_a_foreign_value_in_a_message_is_short_and_harmless(value: object) -> None:
    shown = quoted(value)
    assert 0 < len(shown) <= 80
    assert shown.isprintable()
