"""How fast a worker may speak."""

import pytest

from aaos.agent.order import AbiBrokenError
from aaos.agent.pace import CHECKPOINTS, LOGS, MAX_BUSY, REQUESTS, Throttle


def test_a_burst_of_requests_passes_and_a_flood_is_the_end() -> None:
    """H-BRK-10"""
    throttle = Throttle(0.0)
    assert all(throttle.may_request(0.0) for _ in range(int(REQUESTS.burst)))
    assert not any(throttle.may_request(0.0) for _ in range(MAX_BUSY))
    assert throttle.refused_requests == MAX_BUSY
    with pytest.raises(AbiBrokenError, match="in a row"):
        throttle.may_request(0.0)


def test_one_quiet_moment_begins_the_row_of_refusals_anew() -> None:
    throttle = Throttle(0.0)
    while throttle.may_request(0.0):
        pass
    assert throttle.may_request(1.0)
    assert throttle.refused_requests == 0


def test_logs_beyond_their_rate_are_lost_and_a_flood_of_them_is_the_end() -> None:
    """H-RES-14"""
    throttle = Throttle(0.0)
    assert sum(throttle.may_log(0.0) for _ in range(1_000)) == LOGS.burst
    while throttle.refused_logs < MAX_BUSY * LOGS.per_s:
        throttle.may_log(0.0)
    with pytest.raises(AbiBrokenError, match="log lines"):
        throttle.may_log(0.0)


def test_checkpoints_are_few() -> None:
    throttle = Throttle(0.0)
    assert sum(throttle.may_checkpoint(0.0) for _ in range(100)) == CHECKPOINTS.burst
