"""PID 1 of a cell, seen by the program that it started and by a hostile one that would rather have it gone."""

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from aaos.core.cell import CellEnd
from aaos.core.errors import ConfinementError, WorkerLostError
from aaos.core.events import EventKind
from tests.kernel.cells import PYTHON, cell, python, run, said, shell, silent
from tests.kernel.harness import Stand


def test_the_program_has_three_streams_and_nothing_else(stand: Stand) -> None:
    """H-SBX-17, CVE-2024-21626: no socket, no directory, no terminal, no second way to what agentd holds."""
    program = """
import os, stat
for fd in range(1024):
    try:
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
    except OSError:
        continue
    print(fd, oct(kind), os.isatty(fd), os.readlink(f"/proc/self/fd/{fd}").split(":")[0])
print(os.getsid(0) == os.getpid(), os.getppid(), oct(os.umask(0)))
"""
    lines = said(stand, python(program))
    assert lines == [
        "0 0o20000 False /dev/null",
        "1 0o10000 False pipe",
        "2 0o10000 False pipe",
        "True 1 0o77",
    ]


def test_signals_are_those_of_an_ordinary_program(stand: Stand) -> None:
    """ISO-12: none ignored, none blocked: a broken pipe ends who writes to it."""
    program = """
for line in open("/proc/self/status"):
    if line.startswith(("SigBlk", "SigIgn", "SigCgt", "Threads")):
        print(line.split()[1].strip("0"))
"""
    grep = partial(cell, "/usr/bin/grep", "-E", readable=["/proc"])
    assert said(stand, grep("^Sig(Blk|Ign|Cgt)", "/proc/self/status"))[0].endswith("0" * 16)
    lines = said(stand, grep("^Sig(Blk|Ign)", "/proc/self/status"))
    blocked, ignored = (int(line.split()[1], 16) for line in lines)
    assert (blocked, ignored & ~0x180000000) == (0, 0)  # 32 and 33 are the C library's own, for its threads
    result = run(stand, shell("yes | head -n 1; echo end", "/usr/bin/yes", "/usr/bin/head"))
    assert (result.stdout, result.stderr) == (b"y\nend\n", b"")
    assert len(said(stand, cell(PYTHON, "-I", "-c", program, readable=["/proc"]))) == 4


DEAF = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGUSR1)


@pytest.fixture
def deaf() -> Iterator[Stand]:
    """Started with signals ignored and blocked, as nohup and the background of a shell start agentd."""
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in DEAF]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})
    try:
        made = Stand()
        yield made
        made.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before:
            signal.signal(number, handler)


def test_what_is_ignored_where_agentd_was_started_is_not_inherited(deaf: Stand) -> None:
    """ISO-12"""
    lines = said(deaf, cell("/usr/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", readable=["/proc"]))
    blocked, ignored = (int(line.split()[1], 16) for line in lines)
    assert (blocked, ignored & ~0x180000000) == (0, 0)
    status = Path(f"/proc/{deaf.zygote()}/status").read_text()
    (caught,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
    assert caught & 1 << (signal.SIGINT - 1), "Python's own handler, which workers have too"


SIGNALS = [number for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP)]


def test_the_program_cannot_end_its_first_process(stand: Stand) -> None:
    """H-SBX-07, H-SBX-08: no signal reaches it, and it is not to be seen."""
    program = f"""
import os
for number in {[int(number) for number in SIGNALS]} + [9, 19]:
    os.kill(1, number)
print(os.path.exists("/proc/1"), os.getppid())
import resource
try:
    resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))
except OSError as error:
    print(error.errno)
"""
    assert said(stand, python(program)) == ["False 1", "38"]


def test_a_cell_whose_first_process_is_killed_is_lost(stand: Stand) -> None:
    """ISO-11: the kernel ends all of it, and how its program would have ended is not known."""

    before = stand.audit.count(EventKind.CELL_CONFINED)

    async def leave() -> CellEnd:
        cells = stand.launcher.cells
        running = asyncio.create_task(cells.run_cell(python("import time\ntime.sleep(99)"), silent))
        async with asyncio.timeout(15):
            while stand.audit.count(EventKind.CELL_CONFINED) == before:  # noqa: ASYNC110  # told to nobody
                await asyncio.sleep(0.01)
        os.kill(stand.workers()[0], signal.SIGKILL)
        return (await running).end

    assert stand.run(leave()) is CellEnd.LOST
    assert stand.workers() == []


@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.002, 0.004, 0.008, 0.016])
def test_a_cell_killed_on_the_way_is_an_error_or_lost(stand: Stand, delay_s: float) -> None:
    """H-SBX-21, ISO-11"""

    async def kill() -> str:
        cells = stand.launcher.cells
        running = asyncio.create_task(cells.run_cell(python("import time\ntime.sleep(99)"), silent))
        async with asyncio.timeout(15):
            while not (pids := stand.workers()):  # noqa: ASYNC110  # the kernel's event
                await asyncio.sleep(0)
        await asyncio.sleep(delay_s)
        os.kill(pids[0], signal.SIGKILL)
        try:
            return (await running).end.value
        except (WorkerLostError, ConfinementError) as error:
            return type(error).__name__

    assert stand.run(kill()) in ("lost", "WorkerLostError", "ConfinementError")
    assert stand.workers() == []


def test_the_death_of_the_zygote_ends_no_cell() -> None:
    """ISO-11: it goes on to its end, and the next one is made by another zygote."""
    stand = Stand()
    try:

        async def go_on() -> bytes:
            cells = stand.launcher.cells
            running = asyncio.create_task(cells.run_cell(python("import time\ntime.sleep(2)\nprint('end')"), silent))
            async with asyncio.timeout(15):
                while not stand.audit.count(EventKind.CELL_CONFINED):  # noqa: ASYNC110  # told to nobody
                    await asyncio.sleep(0.01)
                os.kill(stand.zygote(), signal.SIGKILL)
                while stand.audit.count(EventKind.ZYGOTE_STARTED) < 2:  # noqa: ASYNC110  # told to nobody
                    await asyncio.sleep(0.01)
            other = await cells.run_cell(cell(PYTHON, "-c", "print('other')"), silent)
            return (await running).stdout + other.stdout

        assert stand.run(go_on()) == b"end\nother\n"
        assert stand.workers() == []
    finally:
        stand.close()
