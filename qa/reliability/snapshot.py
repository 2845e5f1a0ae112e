"""What a daemon and its machine hold at one moment, counted: two moments without work between them must be alike.

Invariant: looking changes nothing. What varies by design is left out by name: SQLite opens its log a second time at
need, and parked workers come and go.
"""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from qa.daemon import PrivateDaemon

POOLS = 40  # threads: 32 of asyncio at most, which come as they are needed and stay, and a few with one purpose
KINDS = ("user", "mnt", "pid", "net", "ipc", "uts")


def snapshot(agentd: PrivateDaemon) -> Mapping[str, int]:
    """Counts by name; memory in KiB."""
    pid = agentd.process.pid
    inside = descendants(pid)
    counts: dict[str, int] = {
        f"fds of kind {kind}": count for kind, count in sorted(_fds(pid, agentd.directory).items())
    }
    counts["threads beyond its pools"] = max(len(os.listdir(f"/proc/{pid}/task")) - POOLS, 0)
    counts["children"] = len(inside)
    counts["zombies"] = sum(_state(child) == "Z" for child in inside)
    counts["mounts of agentd"] = sum(agentd.directory.name in line for line in _lines(f"/proc/{pid}/mountinfo"))
    counts["namespaces below agentd"] = len({_namespace(child, kind) for child in inside for kind in KINDS})
    counts["places in its directory"] = sum(1 for path in agentd.directory.rglob("*") if not _is_log(path))
    counts["its sockets"] = sum(agentd.directory.name in line for line in _lines("/proc/net/unix"))
    return counts


def resident_kib(pid: int) -> int:
    """The memory of a process, its own pages: what a leak makes larger."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1])
    return 0


def left_behind(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What became more, and by how much; there may be less, as when a worker is not parked again yet."""
    return {name: count - before.get(name, 0) for name, count in sorted(after.items()) if count > before.get(name, 0)}


def descendants(pid: int) -> list[int]:
    """All processes below it."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = [int(child) for child in children.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in below:
            found += [child, *descendants(child)]
    return found


def _fds(pid: int, directory: Path) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if not target.startswith(f"{directory}/state/"):
            kinds[target.partition(":")[0] if ":" in target else "file"] += 1
    return kinds


def _is_log(path: Path) -> bool:
    return path.name.endswith(("-wal", "-shm"))


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _namespace(pid: int, kind: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
