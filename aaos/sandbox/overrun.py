"""What a worker or a cell ran into: memory that ran out, processes that it may not have. Each is told once.

Invariant: it reads the counts of one leaf and never changes it. The kernel counts before it kills, so that what is
there when a worker has ended is all there was; nothing needs to look in between.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from aaos.core.errors import LimitError
from aaos.core.events import EventKind, Scalar
from aaos.sandbox.cgroup import Leaf

Record = Callable[[EventKind, Mapping[str, Scalar]], None]


class Bounds(Protocol):
    """The limits that a leaf was made with."""

    @property
    def memory_bytes(self) -> int: ...
    @property
    def pids(self) -> int: ...


class Overrun:
    """The limits of one leaf, and whether they were met."""

    def __init__(self, leaf: Leaf, limits: Bounds, record: Record) -> None:
        self._leaf = leaf
        self._limits = limits
        self._record = record
        self._told: set[str] = set()

    def look(self) -> LimitError | None:
        """Tell what is new; the error, when memory has run out."""
        met = self._leaf.trouble()
        limits = {"oom_kill": self._limits.memory_bytes, "pids_max": self._limits.pids}
        for name in (name for name, count in met.items() if count and name not in self._told):
            self._told.add(name)
            self._tell(name, met[name], limits[name])
        return _out_of_memory(self._limits.memory_bytes) if met["oom_kill"] else None

    def _tell(self, name: str, count: int, value: int) -> None:
        if name == "oom_kill":
            self._record(EventKind.AGENT_OOM, {"memory_bytes": value})
        else:
            self._record(EventKind.LIMIT_REACHED, {"limit": "pids", "value": value, "count": count})


def _out_of_memory(memory_bytes: int) -> LimitError:
    message = f"the agent was ended at its memory limit of {memory_bytes / 2**20:g} MiB"
    return LimitError(message, "ask for less in one subtask, or raise worker.memory_bytes in agentd.toml")
