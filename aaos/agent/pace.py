"""How fast one worker may speak before it is told `busy`, and when it is ended.

Invariant: a flood costs its sender the session after `MAX_BUSY` refusals without one quiet moment in between, and the
audit one event. Pure given the monotonic clock it is handed.
"""

from aaos.agent.order import AbiBrokenError
from aaos.core.pace import Bucket, Pace

REQUESTS = Pace(per_s=20_000, burst=40_000)
LOGS = Pace(per_s=10, burst=50)
CHECKPOINTS = Pace(per_s=1, burst=16)  # each one is kept: 64 KiB
MAX_BUSY = 1_000


class Throttle:
    """What one session may still say. Each question counts; a False answer is a refusal."""

    def __init__(self, now_s: float) -> None:
        self._requests = Bucket(REQUESTS, now_s=now_s)
        self._logs = Bucket(LOGS, now_s=now_s)
        self._saves = Bucket(CHECKPOINTS, now_s=now_s)
        self.refused_requests = 0  # in a row
        self.refused_logs = 0

    def may_request(self, now_s: float) -> bool:
        """Raises AbiBrokenError for a flood."""
        if self._requests.take(now_s):
            self.refused_requests = 0
            return True
        self.refused_requests += 1
        if self.refused_requests > MAX_BUSY:
            message = f"{self.refused_requests} requests in a row over the rate of {REQUESTS.per_s:g} a second"
            raise AbiBrokenError(message)
        return False

    def may_log(self, now_s: float) -> bool:
        """Raises AbiBrokenError for a flood."""
        if self._logs.take(now_s):
            return True
        self.refused_logs += 1
        if self.refused_logs > MAX_BUSY * LOGS.per_s:
            raise AbiBrokenError(f"{self.refused_logs} log lines over the rate of {LOGS.per_s:g} a second")
        return False

    def may_checkpoint(self, now_s: float) -> bool:
        """A checkpoint is a request too, and counted there."""
        return self._saves.take(now_s)
