"""500 spawn and stop cycles, then a count of what is left: what is parked, as before. Exits 1 otherwise."""

import asyncio
import os
import sys
from pathlib import Path

from qa.bench.kit import bench, missing_layers
from qa.bench.report import Report

CYCLES = 500
WARM_UP = 100
PARKED = 4


def left_behind(scratch: Path) -> dict[str, int]:
    """Counts of everything that a worker could leave."""
    children = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    namespaces = {os.stat(f"/proc/{pid}/ns/net").st_ino for pid in ("self", *children) if _lives(pid)}
    return {
        "fds": sum(not link.startswith(f"{scratch}/state/") for link in _links()),  # the database opens its own at need
        "children": len(children),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "network namespaces": len(namespaces),
        "files": sum(1 for _ in scratch.rglob("*")),
    }


def _links() -> list[str]:
    fds = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return [os.readlink(fd) for fd in fds if os.path.lexists(fd)]


def _lives(pid: str) -> bool:
    return os.path.exists(f"/proc/{pid}/ns/net")


async def take(report: Report) -> int:
    """Run and tell; how many things were left."""
    async with bench(missing_layers(), parked=PARKED) as kit:
        for number in range(WARM_UP):
            await (await kit.launcher.launch(kit.request(number))).close("bench")
        await kit.filled(PARKED)
        before = left_behind(kit.scratch)
        for number in range(CYCLES):
            await (await kit.launcher.launch(kit.request(WARM_UP + number))).close("bench")
        await kit.filled(PARKED)
        after = left_behind(kit.scratch)
    rows = [(name, str(before[name]), str(after[name])) for name in before]
    report.table(f"{CYCLES} spawn and stop cycles", [("", "before", "after"), *rows])
    left = sum(abs(after[name] - before[name]) for name in before)
    report.judge({"left": left})
    return left


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(take(Report())) else 0)
