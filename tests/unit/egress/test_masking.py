"""A secret is taken out of bytes, wherever they are cut, and nothing else is changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.egress.masking import Masking

SECRET, CODED = "tok/en-aab", "dG9rL2VuLWFhYg"


def said(pieces: list[bytes], *forms: str) -> bytes:
    masking = Masking(forms or (SECRET, CODED))
    return b"".join([*map(masking.feed, pieces), masking.end()])


def test_every_form_is_covered_and_the_length_stays() -> None:
    """TOL-9, H-SEC-03"""
    data = f"a {SECRET}{SECRET} b {CODED} tok/en-aa".encode()
    assert said([data]) == b"a " + b"*" * 20 + b" b " + b"*" * 14 + b" tok/en-aa"


@pytest.mark.parametrize("at", range(1, 30))
def test_no_cut_between_pieces_lets_it_through(at: int) -> None:
    """TOL-9"""
    data = f"tok/tok/en-aa{SECRET}tok".encode()
    assert said([data[:at], data[at:]]) == b"tok/tok/en-aa**********tok"
    assert said([data[i : i + 1] for i in range(len(data))]) == said([data])


def test_what_is_no_secret_is_held_back_only_as_long_as_it_may_be_one() -> None:
    masking = Masking([SECRET])
    assert masking.feed(b"hello tok") == b"hello "
    assert masking.feed(b"X") == b"tokX"
    assert masking.feed(b"plain") == b"plain"
    assert masking.end() == b""


def test_a_form_in_a_form_leaves_no_part() -> None:
    """The word before a secret is covered with it."""
    assert said([b"Bearer 12345678!"], "12345678", "Bearer 12345678") == b"*" * 15 + b"!"


@given(st.lists(st.sampled_from([b"a", b"b", b"ab", b"aab", b"\xff", b"aabaab"])))
def test_no_pieces_let_a_secret_through(pieces: list[bytes]) -> None:
    """H-SEC-03: of a secret that overlaps with itself."""
    shown = said(pieces, "aabaab")
    assert b"aabaab" not in shown
    assert len(shown) == len(b"".join(pieces))
    assert shown == Masking(["aabaab"]).whole(b"".join(pieces))
