"""Whether to look again for a moment before one sleeps: to wake a processor takes longer than a short wait.

Invariant: one looks for `window_s` at most, and only after waits that were short. Looking in vain doubles, up to a
bound, how many short waits must come before the next try, so that what is spent in vain stays a small part. Pure: the
caller looks, sleeps and holds the clock. It imports the standard library only: both sides of the wall wait like this.
"""

from typing import Final

_WAKE_S: Final = 0.000_1  # what a sleep takes longer than the wait for which one sleeps
_MOST_DOUBLED: Final = 8


class Linger:
    """What the waits so far say of the next one. `window_s` is how long what one waits for takes when it is quick."""

    __slots__ = ("_missing", "_vain", "window_s")

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._vain = 0
        self._missing = 1  # short sleeps, before it is worth while to look

    @property
    def is_worth(self) -> bool:
        """Whether the next wait should begin with a look."""
        return not self._missing

    def found(self) -> None:
        """Something came while one looked."""
        self._vain = 0

    def missed(self) -> None:
        """Nothing came while one looked."""
        self._missing = 1 << self._vain
        self._vain = min(self._vain + 1, _MOST_DOUBLED)

    def slept(self, wait_s: float) -> None:
        """Something came after so long a sleep, without a look before it."""
        if wait_s <= self.window_s + _WAKE_S and self._missing:
            self._missing -= 1
