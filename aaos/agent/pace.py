"""Rates of one session: how fast a worker may speak before it is told `busy`, and when it is ended.

Invariant: over any span of t seconds at most burst + rate*t events pass. Pure given the monotonic clock it is handed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate: `per_s` events a second on average, `burst` at once."""

    per_s: float
    burst: float


REQUESTS = Pace(per_s=20_000, burst=40_000)
LOGS = Pace(per_s=10, burst=50)
CHECKPOINTS = Pace(per_s=1, burst=16)  # each one is kept: 64 KiB
MAX_BUSY = 1_000  # so many `busy` answers without one quiet moment in between, and the session ends


class Bucket:
    """A token bucket (RFC 2697 in its simplest form)."""

    __slots__ = ("_level", "_pace", "_seen_s")

    def __init__(self, pace: Pace, *, now_s: float) -> None:
        self._pace = pace
        self._level = pace.burst
        self._seen_s = now_s

    def take(self, now_s: float) -> bool:
        """Whether one more event may pass now; a clock that stands or goes back gives nothing."""
        passed_s = now_s - self._seen_s
        if passed_s > 0:
            self._level = min(self._pace.burst, self._level + passed_s * self._pace.per_s)
            self._seen_s = now_s
        if self._level < 1:
            return False
        self._level -= 1
        return True
