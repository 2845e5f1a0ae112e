"""A bound on how many do one thing at the same time: of one user, and in all.

Invariant: who is beyond it is told so at once, with what to type next, and holds up nobody. Root has its own places
whatever the others do.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aaos.core.errors import BusyError
from aaos.core.ids import Uid

ROOT = Uid(0)


@dataclass(slots=True)
class AtOnce:
    """What is at work now, by user."""

    of_one: int
    in_all: int
    _busy: Counter[Uid] = field(default_factory=Counter)

    @contextmanager
    def place(self, uid: Uid, what: str, *, again: str) -> Iterator[None]:
        """One more until the block ends; `again` is the command that asks for it. Raises BusyError."""
        is_full = self._busy.total() >= self.in_all and uid != ROOT
        if is_full or self._busy[uid] >= self.of_one:
            message = f"{what}: {self._busy[uid]} of uid {uid} are at work, and {self._busy.total()} in all"
            raise BusyError(message, f"when one of them has ended: {again}")
        self._busy[uid] += 1
        try:
            yield
        finally:
            self._busy[uid] -= 1
            self._busy += Counter()  # who has none is not kept
