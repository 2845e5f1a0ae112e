"""All figures that are asked for, taken in one run, into qa/bench/RESULTS.md: `./dev bench results`.

A part that fails is named there with its error, and the others stand. It takes about four minutes; nothing else should
run meanwhile, and the load before it is written down.
"""

import asyncio
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from qa.bench import abi, cycles, live, memory, others, spawn
from qa.bench.kit import missing_layers
from qa.bench.report import Report, Rows, judged

RESULTS = Path(__file__).with_name("RESULTS.md")
PARTS: dict[str, Callable[[Report], object]] = {
    "spawn": lambda report: asyncio.run(spawn.take(report)),
    "abi": abi.take,
    "memory": lambda report: asyncio.run(memory.take(report)),
    "live": live.take,
    "cycles": lambda report: asyncio.run(cycles.take(report)),
    "others": others.take,
}


def main() -> int:
    """Run everything and write the page; 1 when a part could not be run."""
    report, failed, load, begun = Report(), dict[str, str](), os.getloadavg()[0], time.monotonic()
    for name, take in PARTS.items():
        try:
            take(report)
        except Exception as error:  # noqa: BLE001  # the boundary of one part: the others stand
            failed[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            print(f"bench {name}: {failed[name]}", file=sys.stderr)
    RESULTS.write_text("\n".join(page(report, failed, load=load, took_s=time.monotonic() - begun)) + "\n")
    return 1 if failed else 0


def page(report: Report, failed: dict[str, str], *, load: float, took_s: float) -> Iterator[str]:
    """The lines of the page."""
    yield "# Results"
    yield ""
    yield "Written by `./dev bench results`, or `./dev deb bench results` on what Debian 13 ships; what holds and what"
    yield "does not, as measured in one run."
    yield ""
    yield f"- when: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, in {took_s:.0f} s"
    yield f"- machine: Linux {platform.release()}, {os.cpu_count()} cores, load {load:.2f} before the run"
    yield f"- Python: {platform.python_version()}"
    yield f"- layers that were left out because the machine lacks them: {', '.join(sorted(missing_layers())) or 'none'}"
    yield from _table("Asked and measured", judged(report.figures))
    for title, rows in report.tables:
        yield from _table(title[0].upper() + title[1:], rows)
    if failed:
        yield from _table("Not measured", [("part", "error"), *failed.items()])


def _table(title: str, rows: Rows) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    for number, row in enumerate(rows):
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
        if not number:
            yield f"|{' --- |' * len(row)}"


if __name__ == "__main__":
    sys.exit(main())
