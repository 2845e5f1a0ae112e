"""Children that nobody knows: a worker whose zygote died between the clone and the report."""

import os
import signal
from collections.abc import Mapping, Set
from pathlib import Path


def kill_strays(known: Set[int], *, spared_uid: int | None = None) -> tuple[int, ...]:
    """Kill and collect each child in its own pid namespace that is not `known`; their pids.

    Ordinary children (a subprocess of a library) share this process's pid namespace and are left alone, and so is who
    runs as `spared_uid`: the egress, which has another parent than the workers.
    """
    strays = tuple(pid for pid in _children() if pid not in known and _is_stray(pid, spared_uid))
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


def _is_stray(pid: int, spared_uid: int | None) -> bool:
    """Whether it has an id in a namespace below this one; true of its zombie too. Source: proc_pid_status(5)."""
    status = _status(str(pid))
    depth = len(status.get("NSpid", "").split())
    return depth > len(_status("self")["NSpid"].split()) and status["Uid"].split()[0] != str(spared_uid)


def _status(pid: str) -> Mapping[str, str]:
    try:
        lines = Path("/proc", pid, "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}  # collected in between
    return {name: value for name, _, value in (line.partition(":") for line in lines)}
