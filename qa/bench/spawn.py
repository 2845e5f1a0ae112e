"""From request to serving worker, against bubblewrap with a Python that says hello; interleaved in one run.

The timed path is the product's own `launch()`: one write grant, audit row, both attestations. Prints medians, ratios.
"""

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from aaos.sandbox.session import WorkerSession
from qa.bench.kit import Bench, bench, median, missing_layers, p, table

ROUNDS = 60
AT_ONCE = 16
BATCHES = 6
BWRAP = (
    *("bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"),
    *(sys.executable, "-I", "-c"),
)
HELLO = (*BWRAP, "print('hello', flush=True); input()")
SERVES = (
    *BWRAP,
    "import json, os, socket; print('hello', flush=True); input()",
)  # what a worker needs to answer a frame


def bwrap_once(command: Sequence[str]) -> float:
    """Milliseconds from start to hello."""
    begun = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == b"hello\n"
        elapsed = (time.perf_counter() - begun) * 1e3
        process.stdin.close()
    return elapsed


def bwrap_many(command: Sequence[str]) -> float:
    """Workers per second, AT_ONCE started together until each has said hello."""
    begun = time.perf_counter()
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(AT_ONCE)
    ]
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == b"hello\n"
    rate = AT_ONCE / (time.perf_counter() - begun)
    for process in started:
        process.communicate()
    return rate


async def launch_once(kit: Bench, number: int) -> tuple[float, dict[str, int]]:
    """Milliseconds from request to a session, and its steps in microseconds."""
    begun = time.perf_counter()
    session = await kit.launcher.launch(kit.request(number))
    elapsed = (time.perf_counter() - begun) * 1e3
    await session.close("bench")
    return elapsed, dict(session.attestation.steps_us)


async def launch_many(kit: Bench, first: int) -> float:
    """Workers per second, AT_ONCE requested together until each serves."""
    begun = time.perf_counter()
    sessions: list[WorkerSession] = await asyncio.gather(
        *(kit.launcher.launch(kit.request(first + number)) for number in range(AT_ONCE))
    )
    rate = AT_ONCE / (time.perf_counter() - begun)
    await asyncio.gather(*(session.close("bench") for session in sessions))
    return rate


@dataclass(slots=True)
class Taken:
    """Samples of one contender: milliseconds of single starts, starts per second of AT_ONCE together."""

    single_ms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def row(self, name: str) -> tuple[str, ...]:
        """Its figures."""
        return name, f"{median(self.single_ms):.2f}", f"{p(self.single_ms, 95):.2f}", f"{median(self.rates):.0f}"

    def ratio_to(self, other: "Taken", name: str) -> tuple[str, ...]:
        """How it stands to another."""
        halves = (median(other.single_ms) / median(self.single_ms), p(other.single_ms, 95) / p(self.single_ms, 95))
        return name, *(f"1/{half:.1f}" for half in halves), f"{median(self.rates) / median(other.rates):.1f}x"


async def take(kit: Bench, steps: list[dict[str, int]]) -> tuple[Taken, Taken, Taken]:
    """All three contenders in turn, so that a change of the machine's speed meets them alike."""
    ours, hello, serves = Taken(), Taken(), Taken()
    for number in range(ROUNDS):
        elapsed, step = await launch_once(kit, 100 + number)
        ours.single_ms.append(elapsed)
        steps.append(step)
        hello.single_ms.append(bwrap_once(HELLO))
        serves.single_ms.append(bwrap_once(SERVES))
    for batch in range(BATCHES):
        ours.rates.append(await launch_many(kit, 1000 + batch * AT_ONCE))
        hello.rates.append(bwrap_many(HELLO))
        serves.rates.append(bwrap_many(SERVES))
    return ours, hello, serves


async def main() -> None:
    """Run and print."""
    if shutil.which("bwrap") is None:
        raise SystemExit("bwrap is not installed: apt install bubblewrap")
    steps: list[dict[str, int]] = []
    async with bench(missing_layers()) as kit:
        for number in range(5):
            await launch_once(kit, number)
            bwrap_once(SERVES)
        ours, hello, serves = await take(kit, steps)
    table(
        f"request to serving worker, n={ROUNDS}, layers left out: {', '.join(sorted(missing_layers())) or 'nothing'}",
        [
            ("", "median ms", "p95 ms", f"{AT_ONCE} at once, per s"),
            ours.row("launch()"),
            hello.row("bwrap + python that says hello"),
            serves.row("bwrap + python that imports json, socket"),
            ours.ratio_to(hello, "launch() to hello"),
            ours.ratio_to(serves, "launch() to json, socket"),
        ],
    )
    rows = [(name, f"{median([step[name] for step in steps]):.0f}") for name in steps[0]]
    table("where the time goes (medians)", [("step", "µs"), *rows])


if __name__ == "__main__":
    asyncio.run(main())
