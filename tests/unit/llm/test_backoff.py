"""Waits between attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.llm.backoff import MAX_ATTEMPTS, MAX_WAIT_S, retry_after_s, wait_s

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 2.5 ", 2.5),
        ("1000000000", MAX_WAIT_S),
        ("999999999999999999999", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("1e3", None),
        ("NaN", None),
        ("٣", None),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("Fri, 14 Nov 2053 22:13:10 GMT", MAX_WAIT_S),
        ("Tue, 14 Nov 99999 22:13:10 GMT", None),
        ("Tue, 99 Nov 2023 99:99:99 GMT", None),
        ("x" * 10_000, None),
    ],
)
def test_retry_after_is_read_or_left_out(value: str | None, seconds: float | None) -> None:
    """H-LLM-01"""
    assert retry_after_s(value, now_s=NOW_S) == seconds


@given(st.text(max_size=90))
def test_no_retry_after_does_harm(value: str) -> None:
    """H-LLM-01"""
    seconds = retry_after_s(value, now_s=NOW_S)
    assert seconds is None or 0 <= seconds <= MAX_WAIT_S


@given(st.integers(1, 10_000), st.none() | st.floats(0.01, MAX_WAIT_S), st.floats(0, 0.999))
def test_waits_are_bounded_and_spread(attempt: int, asked_s: float | None, chance: float) -> None:
    seconds = wait_s(attempt, asked_s, chance=chance)
    assert (asked_s or 0) <= seconds <= MAX_WAIT_S + 1
    assert wait_s(attempt, asked_s, chance=0.9) > wait_s(attempt, asked_s, chance=0.1)


def test_waits_grow() -> None:
    waits = [wait_s(attempt, None, chance=0.0) for attempt in range(1, MAX_ATTEMPTS)]
    assert waits == sorted(waits)
    assert waits[0] < 1
