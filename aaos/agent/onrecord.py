"""What changed in granted trees and is on record, so that the rest can be told (BRK-7).

Invariant: a publication is on record up to its own time and no later: what a worker writes into the file afterwards is
not. Bounded; what is forgotten is told again, never hidden.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from aaos.broker.changes import Changes, Window, changed_files
from aaos.core.ports import Root

MAX_PATHS = 10_000
MAX_WINDOWS = 1_000


class OnRecord:
    """For all agents of a daemon, as they may share directories."""

    def __init__(self) -> None:
        self._published: dict[str, int] = {}  # path -> when, in nanoseconds since the epoch
        self._windows: deque[Window] = deque(maxlen=MAX_WINDOWS)  # what programs changed

    def publish(self, path: str) -> None:
        """agentd has written it: what changed there up to now is on record."""
        self._published.pop(path, None)
        self._published[path] = time.time_ns()
        while len(self._published) > MAX_PATHS:
            del self._published[next(iter(self._published))]

    def programs(self, windows: Iterable[Window]) -> None:
        """What programs changed."""
        self._windows.extend(windows)

    def beside(self, roots: Sequence[Root], *, since_ns: int) -> Callable[[], Changes]:
        """A look at what else changed below `roots`; it blocks: call it in a thread."""
        known, windows = dict(self._published), tuple(self._windows)
        return partial(changed_files, roots, since_ns=since_ns, known=known, windows=windows)
