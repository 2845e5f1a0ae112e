"""Leaves in a real cgroup v2 tree: placed in, seen from outside, killed and removed.

Machines that bind their controllers to cgroup v1 have the tree and not the limits: limit files that are not there are
passed over here, and only here.
"""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.cell import CellResult
from aaos.core.errors import ConfinementError, ConflictError, WorkerLostError
from aaos.core.events import EventKind
from aaos.core.ids import AgentId
from aaos.core.layers import ALL_LAYERS, Layer
from aaos.daemon.wiring import Daemon, zygote_launcher
from aaos.sandbox import cgroup
from aaos.sandbox.cgroup import CgroupTree, Leaf
from aaos.sandbox.session import WorkerSession
from tests.kernel.cells import python
from tests.kernel.harness import (
    DEADLINE_S,
    REDUCED,
    Ended,
    Stand,
    boot_script,
    inside,
    request,
    run_on,
    serve,
    start_frame,
)
from tests.kernel.operators import Client, options, place, with_daemon
from worker import abi

__all__ = ["place"]  # the fixture

NONE = frozenset[Layer]()


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A delegated subtree of our own; this process is moved back out of it at the end."""
    try:
        home = CgroupTree.delegated().root
    except ConfinementError:
        pytest.skip("cgroup v2 is not mounted")
    root = home / f"aaos-test-{os.getpid()}"
    write = cgroup._write
    monkeypatch.setattr(cgroup, "CONTROLLERS", ())
    monkeypatch.setattr(cgroup, "_write", lambda path, text: write(path, text) if path.exists() else None)
    monkeypatch.setattr(cgroup, "_limits", lambda limits: dict[str, str]())
    monkeypatch.setattr(CgroupTree, "delegated", classmethod(lambda cls: cls(root)))
    root.mkdir()
    try:
        yield root
    finally:
        (home / "cgroup.procs").write_text(str(os.getpid()))
        for directory in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
            directory.rmdir()
        root.rmdir()


def _cgroup_of(pid: int | str) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line.removeprefix("0::") for line in lines if line.startswith("0::"))


def test_a_worker_lives_in_its_leaf_and_sees_no_more(root: Path) -> None:
    """ISO-2, ISO-7, H-PROC-05: every layer is there and confirmed from both sides."""
    with closing(Stand(NONE)) as stand:
        session = stand.run(stand.launcher.launch(request()))
        leaf = root / "workers" / f"w-{session.attestation.host_uid}"
        assert (leaf / "cgroup.procs").read_text().split() == [str(session.attestation.pid)]
        assert _cgroup_of(session.attestation.pid).endswith(f"/workers/{leaf.name}")
        assert set(session.attestation.layers) == set(session.attestation.outside) == ALL_LAYERS
        assert session.attestation.missing == ()
        assert session.attest_again() == session.attestation
        stand.run(session.close("looked at"))
        assert not leaf.exists()
        assert _cgroup_of("self").endswith("/daemon")
        said = stand.run(run_on(stand.launcher, inside("say('ran')"))).said
        assert said == ["ran"]


def test_a_worker_moved_to_another_cgroup_has_drifted(root: Path) -> None:
    """ISO-9"""
    with closing(Stand(NONE)) as stand:
        session = stand.run(stand.launcher.launch(request()))
        (root / "daemon" / "cgroup.procs").write_text(str(session.attestation.pid))
        with pytest.raises(ConfinementError, match=r"is in the cgroup .*/daemon, not .*/workers/w-[0-9]+"):
            session.attest_again()
        stand.run(session.close("looked at"))


def test_a_worker_that_is_over_is_lost_and_has_not_drifted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ISO-9: its leaf is gone with it, which is no breach."""
    with closing(Stand(NONE)) as stand:
        session = stand.run(stand.launcher.launch(request()))
        monkeypatch.setattr(cgroup, "_limits", lambda limits: {"memory.max": "1"})  # as where there are controllers
        with pytest.raises(ConfinementError, match=r"memory\.max"):
            session.attest_again()
        stand.run(session.close("looked at"))
        assert list((root / "workers").glob("w-*")) == []
        with pytest.raises(WorkerLostError):
            session.attest_again()


SILENT = {
    "placed nowhere": (
        "import os\nwrite = os.write\nzygote.os.write = lambda fd, b: len(b) if b.isdigit() else write(fd, b)",
        "is in the cgroup",
    ),
    "no namespace": (
        "syscalls.unshare = lambda flags: None if flags == 0x02000000 else mounts_only(flags)",
        "not rooted at its leaf",
    ),
}


@pytest.mark.parametrize("layer", SILENT)
def test_a_cgroup_that_fails_in_silence_is_seen(root: Path, tmp_path: Path, layer: str) -> None:
    """H-SBX-00"""
    before, said = SILENT[layer]
    boot = boot_script(tmp_path, f"mounts_only = syscalls.unshare\n{before}")
    with closing(Stand(NONE, boot=boot)) as stand:
        with pytest.raises(ConfinementError, match=said):
            stand.run(stand.launcher.launch(request()))
        assert stand.workers() == []
        assert list((root / "workers").glob("w-*")) == []


def test_leaves_of_an_earlier_life_are_emptied_and_removed(root: Path) -> None:
    """ISO-11: whatever still runs in them is killed."""
    cgroup_tree = CgroupTree(root)
    cgroup_tree.prepare()
    stale = Leaf(root / "workers" / "a-stale")
    stale.path.mkdir()
    with subprocess.Popen(["sleep", "600"]) as left_over:
        (stale.path / "cgroup.procs").write_text(str(left_over.pid))
        with closing(Stand(NONE)) as stand:
            assert left_over.wait(5) == -9
            assert not stale.path.exists()
            assert stand.audit.count(EventKind.STALE_CLEANED) == 1


def test_a_leaf_is_frozen_thawed_and_killed(root: Path) -> None:
    """ISO-7"""
    leaf = Leaf(root / "leaf")
    leaf.path.mkdir()
    with subprocess.Popen(["sleep", "600"]) as process:
        fd = leaf.procs_fd()
        os.write(fd, str(process.pid).encode())
        os.close(fd)
        assert leaf.remove() is False
        for frozen in (True, False):
            leaf.freeze(frozen)
            assert (leaf.path / "cgroup.freeze").read_text() == f"{frozen:d}\n"
        leaf.kill()
        assert process.wait(5) == -9
    while not leaf.remove():
        pass
    assert leaf.remove() is True


def test_a_leaf_that_is_there_already_is_refused(root: Path) -> None:
    """ISO-7: nobody's leaf is shared; and the other stays as it is."""
    with closing(Stand(NONE)) as stand:
        session = stand.run(stand.launcher.launch(request()))
        (root / "workers" / f"w-{session.attestation.host_uid + 1}").mkdir()
        with pytest.raises(ConfinementError, match="File exists"):
            stand.run(stand.launcher.launch(request()))
        assert session.attest_again() == session.attestation
        stand.run(session.close("looked at"))
        assert stand.launcher._yard._ids.leased == 0


TICKS = """
import time
number = 0
while True:
    say(number)
    number += 1
    time.sleep(0.01)
"""


def test_a_paused_worker_stands_still_and_goes_on(root: Path) -> None:
    """ISO-7, RUN-5: all of its leaf is frozen, and what it had sent before is not read either."""

    async def check(session: WorkerSession) -> None:
        said: list[str] = []
        heard = asyncio.Event()

        def hear(frame: abi.FromWorker) -> None:
            assert isinstance(frame, abi.Log)
            said.append(frame.text)
            heard.set()

        serving = asyncio.create_task(session.serve(start_frame(), hear))
        await heard.wait()
        for _ in range(2):
            await session.pause()
        before = len(said)
        leaf = root / "workers" / f"w-{session.attestation.host_uid}"
        assert "frozen 1" in (leaf / "cgroup.events").read_text()
        ticks = _cpu_ticks(session.attestation.pid)
        await asyncio.sleep(0.1)
        assert (len(said), _cpu_ticks(session.attestation.pid)) == (before, ticks)
        assert session.attest_again() == session.attestation
        for _ in range(2):
            session.go_on()
        while len(said) <= before + 5:
            heard.clear()
            await heard.wait()
        assert said == [str(number) for number in range(len(said))]
        await session.pause()
        await session.close("the test is over")
        await session.pause()
        session.go_on()
        await serving

    async def main(stand: Stand) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await check(await stand.launcher.launch(request(inside(TICKS))))

    with closing(Stand(NONE)) as stand:
        stand.run(main(stand))
        assert stand.workers() == []
        assert list((root / "workers").glob("w-*")) == []


TICKING = """
import sys, time
while True:
    print("tick")
    sys.stdout.flush()
    time.sleep(0.01)
"""


def test_the_cells_of_a_paused_agent_stand_still_with_it(root: Path) -> None:
    """RUN-5, BRK-9: those that run, and one that comes in the meantime; their time stands, too; others go on."""

    async def check(stand: Stand) -> None:
        session = await stand.launcher.launch(request())
        heard = {name: asyncio.Event() for name in ("running", "coming", "another")}

        def begun(name: str, agent: str) -> "asyncio.Task[CellResult]":
            asked = replace(python(TICKING, output_bytes=2**24), agent=AgentId(agent))
            return asyncio.create_task(
                stand.launcher.cells.run_cell(asked, lambda stream, piece: heard[name].set()), name=name
            )

        async def hears(*names: str) -> None:
            for name in names:
                heard[name].clear()
            for name in names:
                await heard[name].wait()

        cells = [begun("running", "a-1"), begun("another", "a-2")]
        await hears("running", "another")
        await session.pause()
        cells.append(begun("coming", "a-1"))
        for _ in range(3):  # what was on its way is heard
            heard["running"].clear()
            await hears("another")
        while stand.launcher.cells._live.get(AgentId("a-1"), set()) == set():
            await hears("another")
        for _ in range(20):
            await hears("another")
        assert not heard["running"].is_set()
        assert not heard["coming"].is_set()
        session.go_on()
        await hears("running", "coming", "another")
        await session.pause()
        await session.close("the test is over")
        for task in cells:
            task.cancel()
        await asyncio.wait(cells)
        assert stand.launcher.cells._live == {}
        assert stand.launcher.cells._paused == set()

    async def main(stand: Stand) -> None:
        async with asyncio.timeout(2 * DEADLINE_S):
            await check(stand)

    with closing(Stand(NONE)) as stand:
        stand.run(main(stand))
        assert list((root / "workers").glob("w-*")) == []


def _cpu_ticks(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]


def test_a_worker_that_is_paused_before_its_start_gets_it_when_it_goes_on(root: Path) -> None:
    """RUN-5"""

    async def main(stand: Stand) -> Ended:
        session = await stand.launcher.launch(request(inside("say('ran')")))
        await session.pause()
        serving = asyncio.create_task(serve(session))
        await asyncio.sleep(0.05)
        assert not serving.done()
        session.go_on()
        return await serving

    with closing(Stand(NONE)) as stand:
        assert stand.run(main(stand)).said == ["ran"]
    assert root.exists()


def test_a_worker_without_a_leaf_is_not_paused() -> None:
    """RUN-5, ISO-8: refused, with what would help; and it goes on."""

    async def main(stand: Stand) -> Ended:
        session = await stand.launcher.launch(request(inside("say('ran')")))
        with pytest.raises(ConflictError, match="this one has none") as caught:
            await session.pause()
        assert "agentd doctor" in caught.value.remedy
        session.go_on()
        return await serve(session)

    with closing(Stand(REDUCED)) as stand:
        assert stand.run(main(stand)).said == ["ran"]


def test_a_paused_run_stays_so_over_a_restart_and_then_goes_on(root: Path, place: Path) -> None:
    """RUN-5, H-DUR-13: nothing of it runs under the next daemon until it is told to."""
    program = inside("say('ran')\nimport time\ntime.sleep(600)")

    async def first(daemon: Daemon, path: Path) -> None:
        client = await Client.connect(path)
        submitted = await client.result("submit", goal="wait", cwd="/", program=program)
        run = submitted["run"]
        await _until(client, run, "running")
        assert (await client.result("pause", run=run))["state"] == "paused"
        leaves = [leaf for leaf in (root / "workers").glob("w-*") if "frozen 1" in (leaf / "cgroup.events").read_text()]
        assert len(leaves) == 1
        assert await _state(client, run) == ("paused", ["paused"])
        del daemon

    async def second(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        runs = (await client.result("list"))["runs"]
        assert isinstance(runs, list)
        run = runs[0]["run"]
        assert await _state(client, run) == ("paused", [])
        assert (await client.result("resume", run=run))["state"] == "running"
        await _until(client, run, "running")
        assert (await client.result("stop", run=run))["state"] == "cancelled"

    chosen = replace(options(place), without=NONE, make_launcher=zygote_launcher)
    for check in (first, second):
        with_daemon(place, check, chosen=chosen)
    assert list((root / "workers").glob("w-*")) == []


async def _state(client: Client, run: object) -> tuple[object, list[object]]:
    status = await client.result("status", run=run)
    agents = status["agents"]
    assert isinstance(agents, list)
    return status["state"], [agent["state"] for agent in agents]


async def _until(client: Client, run: object, state: str) -> None:
    for _ in range(1_000):
        if (await _state(client, run))[1] == [state]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"run {run} is not {state} in 20 s")
