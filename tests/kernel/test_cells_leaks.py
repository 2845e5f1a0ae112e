"""However cells end, nothing is left of them: no process, zombie, fd, mount, namespace, id or parked remainder."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aaos.core.errors import AaosError
from aaos.core.ports import Root
from tests.kernel.cells import cell, python, shell, silent
from tests.kernel.harness import OWNER, TREE, Stand, granted
from tests.kernel.test_launch_leaks import left

AT_ONCE = 100


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """A workspace of OWNER with control files, granted for writing."""
    workspace = tmp_path / "workspace"
    for path in (workspace, workspace / ".git"):
        path.mkdir()
        os.chown(path, OWNER, OWNER)
    with granted(workspace, writable=True, as_owner=True) as opened:
        yield opened


def _leaves_nothing(stand: Stand, work: Callable[[], Coroutine[object, object, None]]) -> None:
    """Do it once to warm up, then as often as it takes to see a leak."""
    stand.run(work())
    before = left(stand)
    stand.run(work())
    assert left(stand) == before
    assert stand.workers() == []


def test_a_hundred_at_once_leave_nothing(stand: Stand, root: Root) -> None:
    """ISO-11, ISO-12: all of them with a write grant, input and output."""

    async def many() -> None:
        requests = [
            cell("/bin/sh", "-c", f"read x; echo $x {n} > {n}; echo $x {n}", roots=[root], cwd=root.path, stdin=b"in\n")
            for n in range(AT_ONCE)
        ]
        results = await asyncio.gather(*(stand.launcher.cells.run_cell(request, silent) for request in requests))
        assert [result.stdout for result in results] == [f"in {n}\n".encode() for n in range(AT_ONCE)]

    _leaves_nothing(stand, many)
    assert len(os.listdir(root.path)) == AT_ONCE + 1


def test_cells_that_end_badly_leave_nothing(stand: Stand, root: Root) -> None:
    """ISO-11: at a limit, by a signal, refused, never started."""

    async def badly() -> None:
        cells = stand.launcher.cells
        requests = [
            shell("while :; do :; done", wall_s=0.2),
            shell("while :; do echo a line; done", output_bytes=10_000),
            shell("kill -9 $$"),
            shell("exit 9"),
            python("import os, time\nos.fork()\nos.fork()\ntime.sleep(9)", wall_s=0.3),
            cell("/bin/sh", cwd="/nowhere"),
            cell("/nowhere"),
            cell("/bin/sh", roots=[root, root]),
        ]
        ended = await asyncio.gather(*(cells.run_cell(each, silent) for each in requests * 3), return_exceptions=True)
        assert Counter(type(each).__name__ for each in ended) == {
            "CellResult": 15,
            "ToolError": 3,
            "NotFoundError": 3,
            "ConfinementError": 3,
        }

    _leaves_nothing(stand, badly)


def test_cells_cancelled_at_any_moment_leave_nothing(stand: Stand, root: Root) -> None:
    """ISO-11: before, while and after it is confined, and while it ends."""
    chance = random.Random(3)  # noqa: S311  # moments, not secrets

    async def rounds() -> None:
        for _ in range(40):
            request = python("import time\ntime.sleep(0.02)", wall_s=5)
            running = asyncio.create_task(stand.launcher.cells.run_cell(request, silent))
            await asyncio.sleep(chance.uniform(0, 0.08))
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    _leaves_nothing(stand, rounds)


def test_cells_killed_at_any_moment_leave_nothing(stand: Stand) -> None:
    """ISO-11: their first process, from outside."""
    chance = random.Random(4)  # noqa: S311  # moments, not secrets

    async def rounds() -> None:
        for _ in range(25):
            before = set(stand.workers())
            running = asyncio.create_task(stand.launcher.cells.run_cell(shell("sleep 9", "/usr/bin/sleep"), silent))
            async with asyncio.timeout(20):
                while not (new := set(stand.workers()) - before):  # noqa: ASYNC110  # the kernel's event
                    await asyncio.sleep(0)
            await asyncio.sleep(chance.uniform(0, 0.03))
            os.kill(new.pop(), signal.SIGKILL)
            with suppress(AaosError):
                assert (await running).end == "lost"

    _leaves_nothing(stand, rounds)


def test_cells_whose_zygote_dies_leave_nothing() -> None:
    """ISO-11: with cells in flight; those that run go on, the others are an error or made by the next zygote."""
    stand = Stand()
    try:

        async def in_flight() -> None:
            cells = stand.launcher.cells
            running = [
                asyncio.create_task(cells.run_cell(shell("sleep 0.5; echo end", "/usr/bin/sleep"), silent))
                for _ in range(12)
            ]
            await asyncio.sleep(0.15)
            os.kill(stand.zygote(), signal.SIGKILL)
            ended = await asyncio.gather(*running, return_exceptions=True)
            assert {type(each).__name__ for each in ended} <= {"CellResult", "WorkerLostError", "ConfinementError"}
            again = await cells.run_cell(shell("echo again"), silent)
            assert again.stdout == b"again\n"

        stand.run(in_flight())
        assert stand.workers() == []
        assert stand.launcher._yard._ids.leased == 0
    finally:
        stand.close()


DAEMON = """
import asyncio, sys
from tests.kernel.cells import python, silent
from tests.kernel.harness import launcher
async def main():
    async with launcher() as made:
        source = "import os, time\\nos.fork()\\nos.fork()\\nprint('at work', flush=True)\\ntime.sleep(60)"
        started = asyncio.Event()
        cells = [asyncio.create_task(made.cells.run_cell(python(source), lambda *_: started.set())) for _ in range(3)]
        await started.wait()
        await asyncio.sleep(0.5)
        confined = [event.fields for event in made.cells._audit.events if "host_uid" in event.fields]
        print(*[fields["host_uid"] for fields in confined], flush=True)
        await asyncio.wait(cells)
asyncio.run(main())
"""


def test_when_agentd_is_killed_its_cells_are_gone() -> None:
    """ISO-11: kill -9, and every process of theirs ends with it."""
    process = subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, cwd=TREE, text=True)
    try:
        assert process.stdout is not None
        uids = process.stdout.readline().split()
        assert len(uids) == 3
        assert len(_processes_of(uids)) >= 3 * 2
    finally:
        process.kill()
        process.communicate()
    deadline_s = time.monotonic() + 5
    while _processes_of(uids) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert _processes_of(uids) == []


def _processes_of(uids: list[str]) -> list[int]:
    """Processes that run as one of these users."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(FileNotFoundError, ProcessLookupError):
            lines = status.read_text().splitlines()
            if any(line.startswith("Uid:") and line.split()[1] in uids for line in lines):
                found.append(int(status.parent.name))
    return found
