"""R12: what others wait beside four hostile cells (processes, memory, disk, output), in the same run as without them.

A client asks for `status` twenty times a second, and for `version`, which the loop answers at once: its time bounds the
loop's lag. An agent calls a permitted file_read as often. A private daemon; where there is no cgroup v2 the cells have
the limits of processes alone.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from qa.bench.kit import table
from qa.beside import ASKS, READS
from qa.daemon import REPOSITORY, PrivateDaemon, left_out, private_daemon

SECONDS = 20
ENDS_S = 120
NOBODY = 65534
HOSTILE = REPOSITORY / "qa/hostile/greedy_cells.py"
FIGURES = ("status", "version", "file_read")


def main() -> None:
    """Run and print."""
    with tempfile.TemporaryDirectory(prefix="aaos-bench-") as name, private_daemon() as agentd:
        place = Path(name)
        place.chmod(0o755)
        (place / "work").mkdir()
        os.chown(place / "work", NOBODY, NOBODY)
        (place / "read").write_text("x" * 4096)
        agentd.write("reads.py", READS)
        idle = taken(agentd, place)
        hogs = _submitted(
            agentd,
            f"take forks memory disk flood in {place}/work",
            "--write",
            f"{place}/work",
            "--read",
            f"{place}/work",
            "--tool",
            "python_run",
            "--program",
            str(HOSTILE),
        )
        _until(agentd, hogs, "cell.confined")
        beside = taken(agentd, place)
        ends = [line for line in agentd.run("logs", hogs).output.splitlines() if "says:" in line]
        agentd.run("stop", hogs)
    rows: list[tuple[str, ...]] = [("", "idle p50", "p99", "max", "beside p50", "p99", "max", "p99 ratio")]
    for figure in FIGURES:
        shown = (f"{of[figure][at]:.1f}" for of in (idle, beside) for at in ("p50", "p99", "max"))
        rows.append((figure, *shown, f"{beside[figure]['p99'] / idle[figure]['p99']:.1f}x"))
    table("beside four hostile cells, ms", rows)
    print(f"without {', '.join(left_out()) or 'nothing'}; what the cells came to:")
    print("\n".join(sorted(f"{count:4} x {end}" for end, count in Counter(ends).items())))


def taken(agentd: PrivateDaemon, place: Path) -> dict[str, dict[str, float]]:
    """The latencies of both, at the same time."""
    reads = _submitted(
        agentd, f"read for {SECONDS} {place}/read", "--read", f"{place}/read", "--program", agentd.path("reads.py")
    )
    asked = subprocess.run(
        [sys.executable, "-I", "-c", ASKS, agentd.socket, reads, str(SECONDS)],
        check=True,
        capture_output=True,
        text=True,
    )
    return {**json.loads(asked.stdout), "file_read": json.loads(_result(agentd, reads))}


def _submitted(agentd: PrivateDaemon, goal: str, *how: str) -> str:
    told = agentd.run("submit", "--detach", "--json", *how, goal)
    return str(json.loads(told.output.splitlines()[0])["run"])


def _until(agentd: PrivateDaemon, run: str, kind: str) -> None:
    for _ in range(100):
        if agentd.run("logs", run).output.count(kind) >= 4:
            return
    raise SystemExit(f"{run}: four cells have not begun: {agentd.run('logs', run).output}")


def _result(agentd: PrivateDaemon, run: str) -> str:
    for _ in range(ENDS_S * 2):
        seen = json.loads(agentd.run("status", "--json", run).output)
        if seen["error"] is not None:
            raise SystemExit(f"{run}: {seen['error']}")
        if seen["result"] is not None:
            return str(seen["result"])
        time.sleep(0.5)
    raise SystemExit(f"{run} has not ended")


if __name__ == "__main__":
    main()
