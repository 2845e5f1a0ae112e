"""A daemon that waits: how soon it serves, what it and its processes hold, and how long `agentd list` takes."""

import time
from pathlib import Path

from qa.bench.kit import median, table
from qa.bench.memory import pss_kib
from qa.daemon import PrivateDaemon, private_daemon

LISTS = 20
SETTLE_S = 3.0  # workers are parked after the daemon serves


def main() -> None:
    """Print the table."""
    began_s = time.monotonic()
    with private_daemon() as agentd:
        ready_ms = (time.monotonic() - began_s) * 1e3
        lists_ms = [_list_ms(agentd) for _ in range(LISTS)]
        time.sleep(SETTLE_S)
        daemon = agentd.process.pid
        others = _descendants(daemon)
        rows = [
            ("from its start to its socket", f"{ready_ms:.0f} ms"),
            (f"agentd list ({LISTS} times)", f"median {median(lists_ms):.0f} ms, worst {max(lists_ms):.0f} ms"),
            ("resident set of the daemon", f"{_rss_kib(daemon) / 1024:.1f} MiB"),
            ("proportional set of the daemon", f"{pss_kib(daemon) / 1024:.1f} MiB"),
            (f"proportional set of its {len(others)} others", f"{sum(map(pss_kib, others)) / 1024:.1f} MiB"),
        ]
    table("a daemon that waits", rows)


def _list_ms(agentd: PrivateDaemon) -> float:
    began_s = time.perf_counter()
    done = agentd.run("list")
    assert done.status == 0, done.output
    return (time.perf_counter() - began_s) * 1e3


def _rss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def _descendants(pid: int) -> list[int]:
    """Zygote, egress and parked workers."""
    children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _words(task / "children")]
    return [each for child in children for each in (child, *_descendants(child))]


def _words(path: Path) -> list[str]:
    return path.read_text().split()


if __name__ == "__main__":
    main()
