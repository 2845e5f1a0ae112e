"""Rates of a session."""

from hypothesis import given
from hypothesis import strategies as st

from aaos.agent.pace import Bucket, Pace


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
