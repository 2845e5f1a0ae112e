"""Rates."""

from hypothesis import given
from hypothesis import strategies as st

from aaos.core.pace import Bucket, Pace


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    """H-BRK-10"""
    bucket = Bucket(Pace(per_s=10, burst=3), now_s=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(0.1)
    assert not bucket.take(0.1)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    """H-CAP-07"""
    bucket = Bucket(Pace(per_s=10, burst=1), now_s=100.0)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert not bucket.take(100.05)


@given(st.lists(st.floats(0, 2), max_size=200))
def test_never_more_than_burst_and_rate(gaps: list[float]) -> None:
    bucket, now_s, passed = Bucket(Pace(per_s=5, burst=4), now_s=0.0), 0.0, 0
    for gap in gaps:
        now_s += gap
        passed += bucket.take(now_s)
    assert passed <= 4 + 5 * now_s + 1e-6


def test_what_was_spent_beyond_the_burst_is_owed() -> None:
    bucket = Bucket(Pace(per_s=10, burst=5), now_s=0.0)
    assert bucket.spend(5, 0.0) == 0
    assert bucket.spend(20, 0.0) == 2.0
    assert not bucket.take(1.9)
    assert bucket.spend(0, 2.0) == 0


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 10)), max_size=100))
def test_who_waits_as_long_as_it_owes_keeps_to_the_rate(spent: list[tuple[float, float]]) -> None:
    bucket, now_s, total = Bucket(Pace(per_s=100, burst=1_000), now_s=0.0), 0.0, 0.0
    for amount, idle_s in spent:
        owed_s = bucket.spend(amount, now_s)
        total += amount
        now_s += owed_s + idle_s
        assert total <= 1_000 + 100 * now_s + 1e-3 * total
