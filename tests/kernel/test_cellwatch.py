"""What a program does without end or measure, and how soon its cell is over; agentd's loop goes on all the while."""

import asyncio
import time

import pytest

from aaos.core.cell import CellEnd, CellResult
from aaos.core.events import EventKind
from aaos.sandbox.cells import REAP_WITHIN_S
from tests.kernel.cells import PYTHON, cell, python, run, shell, silent
from tests.kernel.harness import Stand

GRACE_S = 2.0
LOOP_LAG_S = 0.2


def _timed(stand: Stand, request: object, **limits: object) -> tuple[CellResult, float]:
    begun = time.monotonic()
    result = run(stand, request)  # type: ignore[arg-type]  # requests only
    return result, time.monotonic() - begun


IGNORES = "import signal, time\nfor n in (1, 2, 3, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: time.sleep(9)"
GRANDCHILD = """
import os, time
if os.fork():
    print("gone", flush=True)
    time.sleep(60)
os.setsid()
if os.fork():
    os._exit(0)
while True: time.sleep(9)
"""


@pytest.mark.parametrize("source", [IGNORES, GRANDCHILD, "import time\ntime.sleep(99)"])
def test_a_cell_is_over_at_its_deadline(stand: Stand, source: str) -> None:
    """H-RES-08, H-SBX-18: who ignores signals, who hides in a session of its own and holds the pipes."""
    result, took_s = _timed(stand, python(source, wall_s=0.7))
    assert (result.end, result.exit_code) == (CellEnd.WALL, None)
    assert 0.7 <= took_s < 0.7 + GRACE_S
    assert stand.workers() == []


def test_a_grandchild_does_not_outlive_its_program(stand: Stand) -> None:
    """H-RES-08: it holds the pipe, and the call ends when the program does."""
    result, took_s = _timed(
        stand, python("import os, time\nif os.fork() == 0:\n    time.sleep(60)\nprint('done')", wall_s=15)
    )
    assert (result.end, result.exit_code, result.stdout) == (CellEnd.EXITED, 0, b"done\n")
    assert took_s < 5
    assert stand.workers() == []


def test_processor_time_of_one_process_is_bounded(stand: Stand) -> None:
    """ISO-12: by the kernel."""
    result, _ = _timed(stand, python("while True: pass", cpu_s=1, wall_s=19))
    assert result.end is CellEnd.CPU
    assert 700 <= result.cpu_ms < 2500


def test_processor_time_of_many_processes_is_bounded_together(stand: Stand) -> None:
    """ISO-12: each is below the limit of one, by the look from outside."""
    source = "import os\nfor _ in range(5): os.fork() or (i for i in ()).close()\nwhile True: pass"
    result, _ = _timed(stand, python(source, cpu_s=2, wall_s=19, pids=40))
    assert result.end is CellEnd.CPU
    assert 1900 <= result.cpu_ms < 4500


@pytest.mark.parametrize(
    "script",
    [
        "while :; do echo a line of output; done",
        "exec /usr/bin/cat /dev/zero",  # never a newline
        "exec /usr/bin/cat /dev/zero >&2",
        "exec >&-; exec /usr/bin/cat /dev/zero >&2",  # stdout closed, stderr flooded
    ],
)
def test_a_flood_of_output_ends_the_cell_at_its_limit(stand: Stand, script: str) -> None:
    """H-RES-07: what is kept is the beginning, and that there was more is told."""
    result, took_s = _timed(stand, shell(script, "/usr/bin/cat", output_bytes=70_000))
    assert result.end is CellEnd.OUTPUT
    assert (result.stdout_cut, result.stderr_cut) in ((True, False), (False, True))
    assert len(result.stdout) + len(result.stderr) == 70_000
    assert took_s < 10


def test_both_streams_are_drained(stand: Stand) -> None:
    """H-RES-07: more than a pipe holds on each, one after the other and mixed: no deadlock."""
    source = """
import os
for _ in range(40):
    os.write(2, b"e" * 20_000)
for _ in range(40):
    os.write(1, b"o" * 20_000)
"""
    result, _ = _timed(stand, python(source, output_bytes=800_000))
    assert (result.end, len(result.stdout), len(result.stderr)) == (CellEnd.EXITED, 800_000, 800_000)
    assert (result.stdout_cut, result.stderr_cut) == (False, False)


def test_closing_all_streams_ends_nothing(stand: Stand) -> None:
    """H-RES-07"""
    result, _ = _timed(stand, python("import os, time\nfor n in range(3): os.close(n)\ntime.sleep(0.3)\nos._exit(5)"))
    assert (result.end, result.exit_code) == (CellEnd.EXITED, 5)


def test_input_that_nobody_reads_holds_up_nothing(stand: Stand) -> None:
    """H-RES-07"""
    result, took_s = _timed(stand, cell("/bin/true", stdin=b"x" * 3_000_000))
    assert (result.end, result.exit_code) == (CellEnd.EXITED, 0)
    assert took_s < 5


FORK_BOMB = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
"""
THREAD_BOMB = """
import threading, time
while True:
    try:
        threading.Thread(target=time.sleep, args=(99,)).start()
    except RuntimeError as error:
        print(error, threading.active_count() < 20, flush=True)
        break
import os
os._exit(0)
"""


def test_a_fork_bomb_is_contained(stand: Stand) -> None:
    """H-RES-01: agentd's loop and another cell go on meanwhile."""

    async def bomb() -> tuple[CellResult, CellResult, float]:
        running = asyncio.create_task(stand.launcher.cells.run_cell(python(FORK_BOMB, wall_s=3, pids=24), silent))
        await asyncio.sleep(1)
        worst_s = 0.0
        for _ in range(50):
            before = time.monotonic()
            await asyncio.sleep(0.01)
            worst_s = max(worst_s, time.monotonic() - before - 0.01)
        other = await stand.launcher.cells.run_cell(shell("echo ok"), silent)
        return await running, other, worst_s

    bombed, other, worst_s = stand.run(bomb())
    assert bombed.end in (CellEnd.WALL, CellEnd.CPU)
    assert other.stdout == b"ok\n"
    assert worst_s < LOOP_LAG_S
    assert stand.workers() == []


def test_a_thread_bomb_is_contained(stand: Stand) -> None:
    """H-RES-01"""
    result = run(stand, python(THREAD_BOMB, pids=12, memory_bytes=2**30))
    assert result.stdout == b"can't start new thread True\n"


ZOMBIES = """
import os, sys
made = 0
while made < int(sys.argv[1]):
    try:
        pid = os.fork()
    except BlockingIOError:
        continue  # those before are still being collected
    if pid == 0:
        for _ in range(10):
            try:
                if os.fork() == 0:
                    os._exit(0)
            except BlockingIOError:
                pass
        os._exit(0)
    os.waitpid(pid, 0)
    made += 1
def is_left(name):
    try:
        return open(f"/proc/{name}/stat").read().rpartition(")")[2].split()[0] == "Z"
    except OSError:  # collected just now
        return False
print(sum(is_left(name) for name in os.listdir("/proc") if name.isdigit()) < 16)
"""


def test_orphans_are_collected(stand: Stand) -> None:
    """H-RES-09: two thousand that nobody waits for, with room for sixteen processes at once."""
    result = run(stand, cell(PYTHON, "-I", "-c", ZOMBIES, "200", readable=["/proc"], pids=16, cpu_s=20))
    assert (result.end, result.stdout) == (CellEnd.EXITED, b"True\n"), result
    assert stand.workers() == []


MEMORY = {
    "private": "x = bytearray(10**9)",
    "mapped": "import mmap\nx = mmap.mmap(-1, 10**9)",
    "shared": "import mmap\nx = mmap.mmap(-1, 10**9, flags=mmap.MAP_SHARED)",
    "scratch": "x = open('/tmp/x', 'wb')\nwhile True: x.write(bytes(10**6)); x.flush()",
    "large file": "import os\nos.truncate(os.open('/tmp/x', os.O_CREAT | os.O_RDWR), 2**40)",
    "in memory": "import os\nos.ftruncate(os.memfd_create('x', 9), 2**40)",
}


@pytest.mark.parametrize("source", MEMORY.values(), ids=list(MEMORY))
def test_memory_is_bounded_without_a_leaf_too(stand: Stand, source: str) -> None:
    """H-RES-02: address space, files and scratch; what they come to together is the leaf's."""
    result = run(stand, python(source, memory_bytes=2**27))
    assert (result.end, result.exit_code, result.signal) in (
        (CellEnd.EXITED, 1, None),
        (CellEnd.SIGNALLED, None, 25),  # SIGXFSZ
    ), result


NAMES = """
made = 0
try:
    while True:
        open(f"/tmp/{made}", "w").close()
        made += 1
except OSError as error:
    print(made, error.errno)
"""


def test_names_in_scratch_are_bounded(stand: Stand) -> None:
    """H-RES-03: inodes of a file system of its own."""
    result = run(stand, python(NAMES, tmpfs_bytes=2**20))
    made, errno = map(int, result.stdout.split())
    assert (errno, 100 < made < 400) == (28, True)


def test_a_cancelled_call_ends_its_cell(stand: Stand) -> None:
    """ISO-11"""

    before = stand.audit.count(EventKind.CELL_CONFINED)

    async def cancel() -> float:
        running = asyncio.create_task(stand.launcher.cells.run_cell(python(IGNORES), silent))
        async with asyncio.timeout(15):
            while stand.audit.count(EventKind.CELL_CONFINED) == before:  # noqa: ASYNC110  # told to nobody
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        begun = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return time.monotonic() - begun

    assert stand.run(cancel()) < REAP_WITHIN_S
    assert stand.workers() == []
    ended = [event for event in stand.audit.events if event.kind is EventKind.CELL_ENDED][-1]
    assert ended.fields["end"] == "cancelled"
