"""Whatever becomes of a launch, nothing is left of it: no process, zombie, fd, mount, namespace or id."""

import asyncio
import os
import random
import re
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.errors import AaosError, BusyError, ConfinementError, WorkerLostError
from aaos.core.ids import Gid, Uid
from aaos.core.ports import Root
from tests.kernel.harness import OWNER, Stand, boot_script, children, granted, inside, request, serve

CYCLES = 100
SAYS_SO = inside("say('ran')")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """A workspace of OWNER with control files, granted for writing."""
    workspace = tmp_path / "workspace"
    for path in (workspace, workspace / ".git"):
        path.mkdir()
        os.chown(path, OWNER, OWNER)
    with granted(workspace, writable=True, as_owner=True) as opened:
        yield opened


def left(stand: Stand) -> dict[str, object]:
    """What this process and the machine hold: fds by kind, children, our mounts and namespaces, ids, directories."""
    links = [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    ]
    processes = ["self", *map(str, children())]
    template = str(stand.launcher._template_dir)
    return {
        "fds": Counter(re.sub(r"[0-9]+", "N", link) for link in links),
        "children": sorted(children()),
        "namespaces": {os.readlink(ns) for pid in processes for ns in Path(f"/proc/{pid}/ns").iterdir()},
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if template in line],
        "ids": stand.launcher._yard._ids.leased,
        "known": set(stand.launcher._yard.known),
        "template": os.listdir(template),
    }


def _leaves_nothing(stand: Stand, work: Callable[[], Coroutine[object, object, None]]) -> None:
    """Do it once to warm up, then as often as it takes to see a leak."""
    stand.run(work())
    before = left(stand)
    stand.run(work())
    assert left(stand) == before


def test_a_hundred_workers_leave_nothing(stand: Stand, root: Root) -> None:
    """ISO-11: idle ones, ones that ran and ended, ones that never started."""

    async def cycles() -> None:
        for number in range(CYCLES):
            session = await stand.launcher.launch(request(SAYS_SO if number % 2 else None, (root,)))
            if number % 4 == 1:
                assert (await serve(session)).said == ["ran"]
            await session.close("the cycle is over")

    _leaves_nothing(stand, cycles)


def test_sixteen_at_once_are_all_confined(stand: Stand, root: Root) -> None:
    """ISO-1, ISO-2: each with its own id and namespaces; and nothing is left of them."""

    async def many() -> None:
        requests = [request(SAYS_SO, (root,), agent=f"a-{n}") for n in range(16)]
        sessions = await asyncio.gather(*map(stand.launcher.launch, requests))
        assert len({session.attestation.host_uid for session in sessions}) == 16
        assert len({os.readlink(f"/proc/{session.attestation.pid}/ns/pid") for session in sessions}) == 16
        assert [ended.said for ended in await asyncio.gather(*map(serve, sessions))] == [["ran"]] * 16

    _leaves_nothing(stand, many)


def test_refused_launches_leave_nothing(stand: Stand, root: Root, tmp_path: Path) -> None:
    """ISO-11: refused by the policy, by the mapping in the zygote, by the child, for want of a program."""
    lost = Path("/proc/sys")  # a file system that cannot be id-mapped
    with granted(lost, writable=False) as unmappable:
        refused: tuple[tuple[Root, ...], ...] = (
            (root, root),
            (_as(unmappable, path="/lost"),),
            (_as(root, path="/dev/x"),),
        )

        async def cycles() -> None:
            for roots in refused * 10:
                with pytest.raises(ConfinementError):
                    await stand.launcher.launch(request(SAYS_SO, roots))
            with pytest.raises(ConfinementError, match="over the limit"):
                await stand.launcher.launch(request(b" " * 5_000_000))

        _leaves_nothing(stand, cycles)


def test_ids_run_out_with_a_clear_answer_and_come_back() -> None:
    """ISO-2: an id is never shared."""
    with closing(Stand(uid_count=17)) as stand:

        async def seventeen() -> None:
            sessions = [await stand.launcher.launch(request()) for _ in range(16)]
            with pytest.raises(BusyError, match="all 16 worker ids"):
                await stand.launcher.launch(request())
            await asyncio.gather(*(session.close("enough") for session in sessions))
            assert len({int(session.attestation.host_uid) for session in sessions}) == 16

        _leaves_nothing(stand, seventeen)


def test_a_worker_killed_at_any_moment_of_its_launch_is_a_typed_error(stand: Stand, root: Root) -> None:
    """H-BRK-11, R2: or a session that ends; and the launcher goes on."""
    chance = random.Random(1)  # noqa: S311  # moments, not secrets
    outcomes: Counter[str] = Counter()

    async def one() -> None:
        launching = asyncio.create_task(stand.launcher.launch(request(None, (root,))))
        before = set(stand.workers())
        while not (new := set(stand.workers()) - before) and not launching.done():  # noqa: ASYNC110  # the kernel's event
            await asyncio.sleep(0)
        await asyncio.sleep(chance.uniform(0, 0.006))
        for pid in new:
            os.kill(pid, signal.SIGKILL)
        try:
            session = await launching
        except AaosError as error:
            outcomes[type(error).__name__] += 1
            return
        outcomes["launched"] += 1
        assert (await serve(session)).reason == "the worker ended"

    async def rounds() -> None:
        for _ in range(40):
            await one()

    _leaves_nothing(stand, rounds)
    assert set(outcomes) <= {"WorkerLostError", "ConfinementError", "launched"}, outcomes
    assert outcomes["WorkerLostError"] > 10, outcomes


def test_a_launch_cancelled_at_any_moment_leaves_nothing(stand: Stand, root: Root) -> None:
    """ISO-11: the caller went away."""
    chance = random.Random(2)  # noqa: S311  # moments, not secrets

    async def rounds() -> None:
        for _ in range(40):
            launching = asyncio.create_task(stand.launcher.launch(request(None, (root,))))
            await asyncio.sleep(chance.uniform(0, 0.007))
            launching.cancel()
            try:
                session = await launching
            except asyncio.CancelledError:
                continue
            await session.close("too late")

    _leaves_nothing(stand, rounds)


def test_workers_stopped_on_the_way_are_reaped_at_the_deadline(tmp_path: Path) -> None:
    """H-SBX-21: four at once, each stopped while it builds its wall."""
    slow = "import time\nreal = confine.check_root\nconfine.check_root = lambda g, c: (time.sleep(0.3), real(g, c))"
    with closing(Stand(boot=boot_script(tmp_path, slow), start_timeout_s=1)) as stand:

        async def stopped() -> None:
            launching = [asyncio.create_task(stand.launcher.launch(request())) for _ in range(4)]
            async with asyncio.timeout(0.9):
                while len(stand.workers()) < 4:  # noqa: ASYNC110  # the kernel's event
                    await asyncio.sleep(0.001)
            for pid in stand.workers():
                os.kill(pid, signal.SIGSTOP)
            outcomes = await asyncio.gather(*launching, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [WorkerLostError] * 4

        _leaves_nothing(stand, stopped)
        assert stand.workers() == []


def _as(root: Root, *, path: str) -> Root:
    """The same directory under another name, to be written."""
    return Root(path, root.fd, True, True, True, Uid(OWNER), Gid(OWNER), root.held)
