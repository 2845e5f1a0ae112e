"""From request to serving worker, against bubblewrap with a Python that says hello; interleaved in one run.

The timed path is the product's own `launch()`: one write grant, audit row, both attestations. Three of ours: `cold` is
a launcher that parks nothing; `parked` takes a worker that waits; `sustained` is what a launcher that parks workers
does over several bursts in a row, the time for stopping them and for parking the next ones included. Prints medians,
and ratios.
"""

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from aaos.sandbox.session import WorkerSession
from qa.bench.kit import Bench, bench, median, missing_layers, p
from qa.bench.report import Report

ROUNDS = 60
AT_ONCE = 16
BATCHES = 6
BURSTS = 4
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


async def launch_for_long(kit: Bench, first: int) -> float:
    """Workers per second over BURSTS of AT_ONCE, each stopped before the next, until as many are parked as before."""
    parked = kit.launcher.parked
    begun = time.perf_counter()
    for burst in range(BURSTS):
        await launch_many(kit, first + burst * AT_ONCE)
    await kit.filled(parked)
    return BURSTS * AT_ONCE / (time.perf_counter() - begun)


@dataclass(slots=True)
class Taken:
    """Samples of one contender: milliseconds of single starts, starts per second of AT_ONCE together and for long."""

    single_ms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    sustained: list[float] = field(default_factory=list)

    def row(self, name: str) -> tuple[str, ...]:
        """Its figures."""
        rates = (f"{median(rates):.0f}" if rates else "" for rates in (self.rates, self.sustained))
        return name, f"{median(self.single_ms):.2f}", f"{p(self.single_ms, 95):.2f}", *rates

    def ratio_to(self, other: "Taken", name: str) -> tuple[str, ...]:
        """How it stands to another, whose rate is the same for long."""
        halves = (median(other.single_ms) / median(self.single_ms), p(other.single_ms, 95) / p(self.single_ms, 95))
        times = (median(rates) / median(other.rates) for rates in (self.rates, self.sustained))
        return name, *(f"1/{half:.1f}" for half in halves), *(f"{rate:.1f}x" for rate in times)


@dataclass(slots=True)
class Contest:
    """All contenders, and the steps of ours."""

    cold: Taken = field(default_factory=Taken)
    parked: Taken = field(default_factory=Taken)
    hello: Taken = field(default_factory=Taken)
    serves: Taken = field(default_factory=Taken)
    steps: list[dict[str, int]] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """How many times faster ours are; the bursts and what is sustained are those of a launcher that parks."""
        figures: dict[str, float] = {}
        for name, other in (("hello", self.hello), ("serves", self.serves)):
            figures |= {
                f"cold/{name}": median(other.single_ms) / median(self.cold.single_ms),
                f"parked/{name}": median(other.single_ms) / median(self.parked.single_ms),
                f"burst/{name}": median(self.parked.rates) / median(other.rates),
                f"sustained/{name}": median(self.parked.sustained) / median(other.rates),
            }
        return figures

    async def play(self, cold: Bench, parking: Bench) -> None:
        """All in turn, so that a change of speed meets them alike, and each only when nothing is being parked.

        bubblewrap is waited for in a thread: a loop that is blocked for long takes its zygotes for stuck.
        """
        for number in range(ROUNDS):
            await self._play_single(cold, parking, 100 + number)
        for batch in range(BATCHES):
            first = 10_000 + batch * 1_000
            self.cold.rates.append(await launch_many(cold, first))
            await parking.filled(AT_ONCE)
            self.parked.rates.append(await launch_many(parking, first))
            await parking.filled(AT_ONCE)
            self.hello.rates.append(await asyncio.to_thread(bwrap_many, HELLO))
            self.serves.rates.append(await asyncio.to_thread(bwrap_many, SERVES))
            self.cold.sustained.append(await launch_for_long(cold, first + 100))
            await parking.filled(AT_ONCE)
            self.parked.sustained.append(await launch_for_long(parking, first + 100))

    async def _play_single(self, cold: Bench, parking: Bench, number: int) -> None:
        self.cold.single_ms.append((await launch_once(cold, number))[0])
        await parking.filled(AT_ONCE)
        elapsed, steps = await launch_once(parking, number)
        self.parked.single_ms.append(elapsed)
        self.steps.append(steps)
        await parking.filled(AT_ONCE)
        self.hello.single_ms.append(await asyncio.to_thread(bwrap_once, HELLO))
        self.serves.single_ms.append(await asyncio.to_thread(bwrap_once, SERVES))


async def take(report: Report) -> None:
    """Run and tell."""
    if shutil.which("bwrap") is None:
        raise SystemExit("bwrap is not installed: apt install bubblewrap")
    contest = Contest()
    async with bench(missing_layers()) as cold, bench(missing_layers(), parked=AT_ONCE) as parking:
        await launch_many(parking, 0)  # shows the need that the stock then meets
        await launch_many(cold, 0)
        bwrap_once(SERVES)
        await contest.play(cold, parking)
    rows = [("cold", contest.cold), ("parked", contest.parked)]
    report.table(
        f"request to serving worker, n={ROUNDS}, layers left out: {', '.join(sorted(missing_layers())) or 'nothing'}",
        [
            ("", "median ms", "p95 ms", f"{AT_ONCE} at once, per s", "sustained, per s"),
            *(taken.row(f"launch(), {name}") for name, taken in rows),
            contest.hello.row("bwrap + python that says hello"),
            contest.serves.row("bwrap + python that imports json, socket"),
            *(taken.ratio_to(contest.hello, f"{name} to hello") for name, taken in rows),
            *(taken.ratio_to(contest.serves, f"{name} to json, socket") for name, taken in rows),
        ],
    )
    steps = [(name, f"{median([step[name] for step in contest.steps]):.0f}") for name in contest.steps[0]]
    report.table("where the time goes, parked ones (medians)", [("step", "µs"), *steps])
    report.judge(contest.figures())


if __name__ == "__main__":
    asyncio.run(take(Report()))
