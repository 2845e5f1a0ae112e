"""Processor time of a cell, seen from outside: of its leaf, or of its processes where there is none.

Invariant: it asks the kernel and not the cell. Without a leaf it counts what lives and what was waited for; a process
whose parent asked not to be told of its end is counted as long as it lives.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from aaos.sandbox.cgroup import Leaf

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_UTIME = 11  # field 14 of proc_pid_stat(5), counted from the state, which follows the name; then stime, cutime, cstime


def cpu_us(init: int, leaf: Leaf | None, *, max_processes: int, proc: Path = Path("/proc")) -> int:
    """Microseconds of everything in the cell whose PID 1 is `init`."""
    if leaf is not None:
        return leaf.cpu_us()
    return sum(_ticks(proc / str(pid)) for pid in family(init, max_processes, proc)) * _TICK_US


def family(init: int, limit: int, proc: Path = Path("/proc")) -> Iterator[int]:
    """A process and all below it: orphans are PID 1's children, so nobody is left out."""
    queue, seen = [init], 0
    while queue and seen < limit:
        pid = queue.pop()
        seen += 1
        yield pid
        queue.extend(_children(proc / str(pid)))


def _children(process: Path) -> list[int]:
    try:
        tasks = list((process / "task").iterdir())
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    except OSError:  # it has just ended, and so its children are another's
        return []


def _ticks(process: Path) -> int:
    try:
        text = (process / "stat").read_text("utf-8", "replace")
    except OSError:
        return 0
    return sum(map(int, text.rpartition(")")[2].split()[_UTIME : _UTIME + 4]))
