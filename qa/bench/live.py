"""A thousand live agents under one agentd: what they take of the machine, and whether it still answers.

Each is a run of its own whose program waits. Memory is what the machine has less of, so it counts page tables, the
kernel's slabs and agentd's own part; nothing else should run meanwhile.
"""

import os
import time
from pathlib import Path
from typing import Any

from aaos.cli.client import Client
from aaos.core.errors import BusyError
from qa.bench.kit import median, p
from qa.bench.report import Report
from qa.daemon import PrivateDaemon, private_daemon

WORKERS = 1000
ASKED = 15
DEADLINE_S = 120.0
SETTINGS = "[limits]\nmax_runs = 1100\nmax_agents = 1100\n[worker]\nparked = 0\n"
WAITS = "import socket\nagentd = socket.socket(fileno=3)\nagentd.recv(65536)\nagentd.recv(65536)\n"


def take(report: Report) -> None:
    """Run and tell."""
    with private_daemon(SETTINGS) as agentd:
        idle, free = workers(agentd.process.pid), available_kib()
        begun = time.perf_counter()
        runs = submit_all(agentd)
        await_workers(agentd, idle + WORKERS)
        took_s = time.perf_counter() - begun
        used = free - available_kib()
        live = workers(agentd.process.pid) - idle
        one = [timed(agentd, "status", runs[n * len(runs) // ASKED]) for n in range(ASKED)]
        all_of_them = [timed(agentd, "list") for _ in range(ASKED)]
    report.table(
        f"{live} live workers under one agentd",
        [
            ("all live after", "each takes", "agentd status p50", "p99", "agentd list p50"),
            (
                f"{took_s:.1f} s",
                f"{used / live:.0f} KiB",
                *(f"{one_ms:.0f} ms" for one_ms in (median(one), p(one, 99), median(all_of_them))),
            ),
        ],
    )
    gib = {"gib": 2**20 / (used / live)} if used > 0 else {}  # else others gave back more meanwhile than these took
    report.judge({"live": live, "status": median(one), **gib})


def submit_all(agentd: PrivateDaemon) -> list[str]:
    """The ids of the runs. One user may submit 200 at once and then 20 a second, so it takes most of a minute."""
    params: dict[str, Any] = {"goal": "wait", "cwd": "/", "read": [], "write": [], "net": [], "tool": []}
    runs: list[str] = []
    deadline = time.monotonic() + DEADLINE_S
    with Client(agentd.socket) as client:
        while len(runs) < WORKERS and time.monotonic() < deadline:
            try:
                accepted = client.call("submit", params | {"program": WAITS})
            except BusyError:
                time.sleep(0.2)
                continue
            assert isinstance(accepted, dict)
            runs.append(str(accepted["run"]))
    return runs


def await_workers(agentd: PrivateDaemon, count: int) -> None:
    """Until so many processes of agentd live. Raises RuntimeError when they do not come."""
    deadline = time.monotonic() + DEADLINE_S
    while workers(agentd.process.pid) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{workers(agentd.process.pid)} processes of agentd live, {count} were asked for")
        time.sleep(0.1)


def workers(pid: int) -> int:
    """How many children a process has."""
    return sum(len((task / "children").read_text().split()) for task in Path(f"/proc/{pid}/task").iterdir())


def available_kib() -> int:
    """What the machine could give to others. Source: proc_meminfo(5)."""
    os.sync()
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def timed(agentd: PrivateDaemon, *words: str) -> float:
    """Milliseconds of a whole `agentd` command, the start of its interpreter included."""
    begun = time.perf_counter()
    finished = agentd.run(*words)
    assert finished.status == 0, finished.output
    return (time.perf_counter() - begun) * 1e3


if __name__ == "__main__":
    take(Report())
