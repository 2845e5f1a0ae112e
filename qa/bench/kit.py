"""What the benchmarks share: a launcher of its own, write-granted roots, medians, and a table."""

import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aaos.core.config import Settings, WorkerSettings
from aaos.core.events import Event, EventKind
from aaos.core.ids import AgentId, Gid, RunId, SubtaskId, Uid
from aaos.core.layers import Layer
from aaos.core.ports import Held, LaunchRequest, Root
from aaos.sandbox.launch import ZygoteLauncher
from aaos.store.audit import Audit
from aaos.store.database import Database
from qa.daemon import left_out

OWNER = 1234  # of the write-granted directory; any id but 0


@dataclass(frozen=True, slots=True)
class Bench:
    """A launcher with a real audit in a database, and a directory to grant."""

    launcher: ZygoteLauncher
    audit: Audit
    root: Root
    scratch: Path

    async def filled(self, parked: int) -> None:
        """Wait until so many workers are parked."""
        while self.launcher.parked < parked:  # noqa: ASYNC110  # the launcher tells nobody
            await asyncio.sleep(0.002)

    def request(self, number: int, entry: str = "loop", program: bytes | None = None) -> LaunchRequest:
        """One agent with one write grant."""
        agent = AgentId(f"a-bench-{number}")
        return LaunchRequest(RunId("r-bench"), SubtaskId("bench"), agent, entry, (self.root,), program)


@asynccontextmanager
async def bench(without: frozenset[Layer], *, parked: int = 0) -> AsyncIterator[Bench]:
    """A launcher for the length of a benchmark, with up to so many workers parked."""
    with tempfile.TemporaryDirectory(prefix="aaos-bench-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        granted = scratch / "granted"
        granted.mkdir()
        os.chown(granted, OWNER, OWNER)
        settings = Settings(worker=WorkerSettings(parked=parked))
        database = Database.open(scratch / "state")
        audit = Audit(database)
        launcher = ZygoteLauncher(settings, audit, without=without, template_dir=scratch / "template")
        audit.record(Event(EventKind.CONFINEMENT_REDUCED, fields={"missing": " ".join(sorted(without))}))
        await launcher.start()
        fd = os.open(granted, os.O_PATH | os.O_CLOEXEC)
        root = Root(str(granted), fd, True, True, True, Uid(OWNER), Gid(OWNER), Held.KERNEL)
        supervision = asyncio.create_task(launcher.supervise())
        try:
            yield Bench(launcher, audit, root, scratch)
        finally:
            supervision.cancel()
            await asyncio.wait((supervision,))
            await launcher.stop()
            os.close(fd)
            database.close()


def missing_layers() -> frozenset[Layer]:
    """What this machine cannot have and the benchmark therefore goes without."""
    return frozenset(Layer(name) for name in left_out())


@contextmanager
def awake() -> Iterator[None]:
    """Keep every processor from halting, with a loop at the lowest priority on each: on a virtual machine waking one
    costs more than what is measured. The loops end with the block, or after a minute."""
    spin = "import os, time; os.nice(19); end = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    loops = [subprocess.Popen([sys.executable, "-I", "-S", "-c", spin]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def p(values: Sequence[float], percent: int) -> float:
    """A percentile by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def table(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    """Print aligned rows under a title."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{title}  [{platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}]")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
