"""Text that comes in pieces, passed on in fewer: for a stream that people read.

Invariant: what is passed on is the text in its order, in pieces of at most `PIECE_CHARS`, one in `EVERY_S` while it
comes; whatever a provider sends, no more than that is kept.
"""

import time
from collections.abc import Callable

EVERY_S = 0.1
PIECE_CHARS = 2_048


class Pieces:
    """Call it with each piece; `flush` passes on the rest."""

    def __init__(self, tell: Callable[[str], None], *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._now_s = now_s
        self._held = ""
        self._told_s = now_s() - EVERY_S

    def __call__(self, piece: str) -> None:
        self._held += piece
        now_s = self._now_s()
        if len(self._held) >= PIECE_CHARS or now_s - self._told_s >= EVERY_S:
            self._told_s = now_s
            self.flush()

    def flush(self) -> None:
        """Pass on what is held."""
        held, self._held = self._held, ""
        for begin in range(0, len(held), PIECE_CHARS):
            self._tell(held[begin : begin + PIECE_CHARS])
