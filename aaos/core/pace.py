"""Rates: how much of something may pass in a time.

Invariant: over any span of t seconds at most burst + rate*t pass; what was spent beyond that is owed. Pure given the
monotonic clock it is handed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate: `per_s` a second on average, `burst` at once."""

    per_s: float
    burst: float


class Bucket:
    """A token bucket (RFC 2697 in its simplest form)."""

    __slots__ = ("_level", "_pace", "_seen_s")

    def __init__(self, pace: Pace, *, now_s: float) -> None:
        self._pace = pace
        self._level = pace.burst
        self._seen_s = now_s

    def take(self, now_s: float) -> bool:
        """Whether one more may pass now."""
        self._fill(now_s)
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def spend(self, amount: float, now_s: float) -> float:
        """Take what has passed already; for how many seconds nothing more may pass."""
        self._fill(now_s)
        self._level -= amount
        return max(0.0, -self._level / self._pace.per_s)

    def _fill(self, now_s: float) -> None:
        """A clock that stands or goes back gives nothing."""
        passed_s = now_s - self._seen_s
        if passed_s > 0:
            self._level = min(self._pace.burst, self._level + passed_s * self._pace.per_s)
            self._seen_s = now_s
