"""From request to a program that runs, in a cell, against bubblewrap with the same program; interleaved in one run.

The timed path is the product's own `run_cell()`: one write grant, both attestations, two audit rows, until the first
line of the program is heard; and until nothing of the cell is left. Two of ours: `cold` is a launcher that parks
nothing, `parked` takes a cell that waits. bubblewrap has a root built alike: /usr, the same places of /etc, /proc,
devices, a scratch directory, the granted one. Then a hundred cells at once, after which nothing may be left.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aaos.core.cell import CellEnd, CellLimits, CellRequest, CellResult
from aaos.core.ids import AgentId, CallId, RunId, SubtaskId
from qa.bench.kit import Bench, bench, median, missing_layers, p, table

ROUNDS = 60
AT_ONCE = 100
PROGRAM, WORD = "/usr/bin/echo", b"hello\n"
PATHS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs")
LIMITS = CellLimits(
    wall_s=60.0,
    cpu_s=10,
    memory_bytes=2**28,
    pids=16,
    nofile=128,
    fsize_bytes=2**24,
    output_bytes=2**16,
    tmpfs_bytes=2**24,
)


def request(kit: Bench) -> CellRequest:
    """One program with one write grant."""
    return CellRequest(
        run=RunId("r-bench"),
        subtask=SubtaskId("bench"),
        agent=AgentId("a-bench"),
        call=CallId("a-bench-1-0"),
        program=PROGRAM,
        argv=(PROGRAM, "hello"),
        env={"PATH": "/usr/bin"},
        cwd=kit.root.path,
        stdin=b"",
        roots=(kit.root,),
        readable=(),
        exec_paths=(),
        exec_writable=False,
        egress=(),
        limits=LIMITS,
    )


def bwrap(kit: Bench) -> Sequence[str]:
    """The same for bubblewrap."""
    binds = [word for path in PATHS if Path(path).exists() for word in ("--ro-bind", path, path)]
    links = [word for name in ("bin", "lib", "lib64", "sbin") for word in ("--symlink", f"usr/{name}", f"/{name}")]
    return (
        *("bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--ro-bind", "/usr", "/usr"),
        *(*binds, *links, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),  # noqa: S108  # its own
        *("--bind", kit.root.path, kit.root.path, "--chdir", kit.root.path, PROGRAM, "hello"),
    )


@dataclass(slots=True)
class Taken:
    """Milliseconds from the request to the first line, and to the end."""

    first_ms: list[float] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)

    def add(self, begun: float, first: float) -> None:
        """One more, which ends now."""
        self.first_ms.append((first - begun) * 1e3)
        self.whole_ms.append((time.perf_counter() - begun) * 1e3)

    def row(self, name: str) -> tuple[str, ...]:
        """Its figures."""
        return name, *(f"{figure:.2f}" for of in (self.first_ms, self.whole_ms) for figure in (median(of), p(of, 95)))

    def ratio_to(self, other: "Taken", name: str) -> tuple[str, ...]:
        """How it stands to another: below 1 is faster."""
        pairs = ((self.first_ms, other.first_ms), (self.whole_ms, other.whole_ms))
        return name, *(
            f"{ours / theirs:.2f}x" for a, b in pairs for ours, theirs in ((median(a), median(b)), (p(a, 95), p(b, 95)))
        )


async def cell_once(kit: Bench, taken: Taken) -> None:
    """One cell from its request to its end."""
    heard: list[float] = []

    begun = time.perf_counter()
    result = await kit.launcher.cells.run_cell(request(kit), lambda *_: heard.append(time.perf_counter()))
    taken.add(begun, heard[0])
    require(result)


def bwrap_once(command: Sequence[str], taken: Taken) -> None:
    """One run of bubblewrap from its start to its end."""
    begun = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        first = time.perf_counter()
        process.wait()
    taken.add(begun, first)
    if line != WORD:
        raise SystemExit("bwrap did not run the program")


def require(result: CellResult) -> None:
    """Raises SystemExit for a cell that did not do its work."""
    if (result.end, result.exit_code, result.stdout) != (CellEnd.EXITED, 0, WORD):
        raise SystemExit(f"a cell did not run the program: {result}")


async def many(kit: Bench) -> tuple[float, str]:
    """Cells per second, AT_ONCE requested together until each is over; and what is left of them."""
    before = held()
    begun = time.perf_counter()
    results = await asyncio.gather(
        *(kit.launcher.cells.run_cell(request(kit), lambda *_: None) for _ in range(AT_ONCE))
    )
    rate = AT_ONCE / (time.perf_counter() - begun)
    for result in results:
        require(result)
    after = held()
    return rate, "nothing" if after == before else f"{before} became {after}"


def held() -> dict[str, int]:
    """What this process holds: open files, children, mounts."""
    tasks = [task / "children" for task in Path("/proc/self/task").iterdir()]
    return {
        "fds": len(os.listdir("/proc/self/fd")),
        "children": sum(len(task.read_text().split()) for task in tasks),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
    }


async def main() -> None:
    """Run and print."""
    if shutil.which("bwrap") is None:
        raise SystemExit("bwrap is not installed: apt install bubblewrap")
    cold, parked, theirs = Taken(), Taken(), Taken()
    rates: list[float] = []
    async with bench(missing_layers()) as none, bench(missing_layers(), parked=1) as one:
        await many(none)
        await cell_once(one, Taken())
        for _ in range(ROUNDS):
            await cell_once(none, cold)
            await one.filled(1)
            await cell_once(one, parked)
            await asyncio.to_thread(bwrap_once, bwrap(none), theirs)
            await one.filled(1)
        for _ in range(3):
            rate, left = await many(none)
            rates.append(rate)
    table(
        f"request to running program, n={ROUNDS}, layers left out: {', '.join(sorted(missing_layers())) or 'nothing'}",
        [
            ("", "first line, median ms", "p95", "all of it, median ms", "p95"),
            cold.row("cell, cold"),
            parked.row("cell, parked"),
            theirs.row("bwrap"),
            cold.ratio_to(theirs, "cold to bwrap"),
            parked.ratio_to(theirs, "parked to bwrap"),
        ],
    )
    table(
        f"{AT_ONCE} cells at once, nothing parked",
        [("cells per s, median of 3", "left afterwards"), (f"{median(rates):.0f}", left)],
    )


if __name__ == "__main__":
    asyncio.run(main())
