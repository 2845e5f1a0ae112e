"""The two clocks of this machine, as the tokens want them."""

import time


class SystemClock:
    """Implements `core.token.Clock`."""

    def monotonic_s(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    def now_s(self) -> float:
        """UTC in seconds since the epoch."""
        return time.time()
