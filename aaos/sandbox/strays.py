"""Children that nobody knows: a worker whose zygote died between the clone and the report."""

import os
import signal
from collections.abc import Set
from pathlib import Path


def kill_strays(known: Set[int]) -> tuple[int, ...]:
    """Kill and collect each child in its own pid namespace that is not `known`; their pids.

    Ordinary children (a subprocess of a library) share this process's pid namespace and are left alone.
    """
    strays = tuple(pid for pid in _children() if pid not in known and _is_confined(pid))
    for pid in strays:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return strays


def _children() -> list[int]:
    return [pid for task in Path("/proc/self/task").iterdir() for pid in _children_of(task)]


def _children_of(task: Path) -> list[int]:
    try:
        return [int(pid) for pid in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []  # the thread has just ended; its children are another's now


def _is_confined(pid: int) -> bool:
    """Whether it has an id in a namespace below this one; true of its zombie too. Source: proc_pid_status(5)."""
    return _namespace_depth(str(pid)) > _namespace_depth("self")


def _namespace_depth(pid: str) -> int:
    try:
        lines = Path("/proc", pid, "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # collected in between
    return next((len(line.split()) for line in lines if line.startswith("NSpid:")), 0)
