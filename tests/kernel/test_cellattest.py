"""A live cell is looked at again from outside, with all that its program started; what has changed is noticed."""

import asyncio
import ctypes
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.cell import CellEnd
from aaos.core.errors import ConfinementError
from aaos.core.events import EventKind
from aaos.core.ids import AgentId
from aaos.core.ports import Attestation
from aaos.sandbox.attest import CONFIRMED, Expected, attest_started
from aaos.sandbox.cells import Cells
from aaos.sandbox.usage import family
from tests.kernel.cells import ENV, LAYERS, python, silent
from tests.kernel.harness import Stand
from worker.wall import syscalls

AGENT = AgentId("a-1")
THREE = """
import ctypes, os, time
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: what an outsider may see of it is not its choice
os.fork() or os.fork()
open(f"/tmp/{os.getpid()}", "w").close()
while True: time.sleep(9)
"""
DEADLINE_S = 10.0


@contextmanager
def live(stand: Stand, program: str = THREE, *, processes: int = 4) -> Iterator[Cells]:
    """A cell in which a program runs, which has so many processes with PID 1; it is cancelled in the end."""
    cells = stand.launcher.cells

    async def begin() -> asyncio.Task[object]:
        task: asyncio.Task[object] = asyncio.create_task(cells.run_cell(python(program), silent))
        async with asyncio.timeout(DEADLINE_S):
            while len(everyone(cells)) < processes:  # noqa: ASYNC110  # told to nobody
                await asyncio.sleep(0.01)
        return task

    async def end(task: asyncio.Task[object]) -> None:
        task.cancel()
        await asyncio.wait((task,), timeout=DEADLINE_S)

    task = stand.run(begin())
    try:
        yield cells
    finally:
        stand.run(end(task))


def everyone(cells: Cells) -> list[int]:
    """PID 1 of the cell and all below it."""
    found = attested(cells)
    return list(family(found[0].pid, 32)) if found else []


def attested(cells: Cells) -> tuple[Attestation, ...]:
    return cells.attest(AGENT)


def test_a_live_cell_is_confirmed_again_with_all_that_runs_in_it(stand: Stand) -> None:
    """ISO-9: it is that of the call, as it was confirmed at its start; another agent has none."""
    with live(stand) as cells:
        (again,) = attested(cells)
        started = [event for event in stand.audit.events if event.kind is EventKind.CELL_CONFINED][-1]
        assert (again.agent, again.call, again.pid) == (AGENT, started.fields["call"], started.fields["pid"])
        assert again.policy_digest == started.fields["policy_digest"]
        assert set(again.outside) == set(again.inside) == set(LAYERS)
        assert again.outside["seccomp"] == again.outside["netns"] == CONFIRMED
        assert len({os.readlink(f"/proc/{pid}/ns/net") for pid in everyone(cells)}) == 1
        assert cells.attest(AgentId("a-2")) == ()
    assert attested(cells) == ()
    assert stand.workers() == []


def test_every_process_of_a_live_cell_is_looked_at(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """ISO-9"""
    with live(stand) as cells:
        all_of_it, seen = set(everyone(cells)), set[int]()
        monkeypatch.setattr("aaos.sandbox.cells.attest_started", lambda pid, *_: seen.add(pid))
        attested(cells)
        monkeypatch.undo()
    assert seen == all_of_it
    assert len(all_of_it) == 4


def test_a_cell_that_ends_while_it_is_looked_at_has_not_changed(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """ISO-9: who looks in a thread may see its leaf go; of a living one that is a breach."""

    async def end() -> None:
        (watch,) = cells._live[AGENT]
        watch.end(CellEnd.CANCELLED)
        async with asyncio.timeout(DEADLINE_S):
            while AGENT in cells._live:  # noqa: ASYNC110  # told to nobody
                await asyncio.sleep(0.01)

    def changed(*_: object) -> None:
        raise ConfinementError("its leaf cannot be read", "run agentd doctor")

    def gone(*_: object) -> None:
        stand.run(end())
        changed()

    with live(stand) as cells:
        monkeypatch.setattr("aaos.sandbox.cells.attest_started", changed)
        with pytest.raises(ConfinementError):
            attested(cells)
        monkeypatch.setattr("aaos.sandbox.cells.attest_started", gone)
        assert attested(cells) == ()


def test_no_process_of_a_cell_has_an_environment_but_its_own(stand: Stand) -> None:
    """H-PROC-02: PID 1 has none, whatever agentd's is; the program has what its wrapper names."""
    with live(stand) as cells:
        init, *others = (Path(f"/proc/{pid}/environ").read_bytes() for pid in everyone(cells))
    assert init == b""
    given = {f"{name}={value}" for name, value in ENV.items()}
    assert [set(one.decode().strip("\0").split("\0")) for one in others] == [given] * 3


def _in_mounts_of(pid: int, act: Callable[[], object]) -> None:
    child = os.fork()
    if child == 0:
        try:
            assert ctypes.CDLL(None).setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), 0) == 0
            act()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


DRIFTS: dict[str, tuple[Callable[[int], object], str]] = {
    "fewer open files": (lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (9, 9)), "open files is 9/9"),
    "less processor time": (lambda pid: resource.prlimit(pid, resource.RLIMIT_CPU, (9, 9)), "cpu time is 9/9"),
    "a mount more": (
        lambda pid: _in_mounts_of(pid, lambda: syscalls.mount("tmpfs", "/tmp", "tmpfs", flags=0)),
        "mounts on",
    ),
}


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_change_from_outside_is_noticed(stand: Stand, drift: str) -> None:
    """ISO-9"""
    change, said = DRIFTS[drift]
    with live(stand) as cells:
        change(attested(cells)[0].pid)
        with pytest.raises(ConfinementError, match=said):
            attested(cells)


@pytest.fixture
def expected(stand: Stand) -> Iterator[tuple[int, int, Expected]]:
    """A process of a live cell's program, the cell's PID 1, and what both must look like."""
    with live(stand) as cells:
        (cell,) = cells._live[AGENT].values()  # what it is compared with, to be varied
        yield everyone(cells)[-1], cell.parked.pid, cell.expected


def test_a_process_that_is_not_confined_as_its_cell_is_noticed(expected: tuple[int, int, Expected]) -> None:
    """ISO-9: each of the looks at it alone."""
    pid, init, wanted = expected
    attest_started(pid, init, wanted)
    for other, said in (
        (replace(wanted, policy=replace(wanted.policy, host_uid=wanted.policy.host_uid + 1)), "runs as uid"),
        (replace(wanted, policy=replace(wanted.policy, host_gid=wanted.policy.host_gid + 1)), "runs as gid"),
        (replace(wanted, filters=wanted.filters[:1]), "has .* seccomp filters"),
    ):
        with pytest.raises(ConfinementError, match=said):
            attest_started(pid, init, other)
    with pytest.raises(ConfinementError, match=r"other namespaces: .*mnt.*pid"):
        attest_started(os.getpid(), init, wanted)


LEADERLESS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall(60, 0)  # exit(2) of its first thread alone
"""


def test_a_process_whose_first_thread_has_ended_is_looked_at_by_the_others(stand: Stand) -> None:
    """ISO-9: a program cannot look as if it had ended while it goes on."""
    with live(stand, LEADERLESS, processes=2) as cells:
        (cell,) = cells._live[AGENT].values()
        pid = everyone(cells)[-1]
        deadline_s = time.monotonic() + DEADLINE_S
        while "(zombie)" not in Path(f"/proc/{pid}/status").read_text():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        attest_started(pid, cell.parked.pid, cell.expected)
        with pytest.raises(ConfinementError, match=r"has .* seccomp filters"):
            attest_started(pid, cell.parked.pid, replace(cell.expected, filters=cell.expected.filters[:1]))


def test_a_process_with_capabilities_is_noticed(expected: tuple[int, int, Expected]) -> None:
    """ISO-9: in the same namespaces and under the same id it would still be a breach."""
    _, _, wanted = expected
    own = replace(wanted, policy=replace(wanted.policy, host_uid=os.getuid(), host_gid=os.getgid()))
    before = os.getgroups()
    os.setgroups([])
    try:
        with pytest.raises(ConfinementError, match="holds capabilities"):
            attest_started(os.getpid(), os.getpid(), own)
    finally:
        os.setgroups(before)


def test_a_process_that_has_ended_is_passed_over(expected: tuple[int, int, Expected]) -> None:
    """ISO-9: programs come and go while somebody looks."""
    pid, init, wanted = expected
    os.kill(pid, 9)
    deadline_s = time.monotonic() + DEADLINE_S
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline_s:
        attest_started(pid, init, wanted)
    attest_started(pid, init, wanted)
