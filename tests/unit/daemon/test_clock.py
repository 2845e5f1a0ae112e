"""The two clocks."""

import time

from aaos.daemon.clock import SystemClock


def test_one_clock_never_goes_back_and_the_other_is_utc() -> None:
    clock = SystemClock()
    assert clock.monotonic_s() <= clock.monotonic_s()
    assert abs(clock.now_s() - time.time()) < 5
