"""The zygote as the kernel shows it, and what follows when it dies, hangs or cannot come back."""

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.errors import AaosError, ConfinementError, WorkerLostError
from aaos.core.events import EventKind
from aaos.sandbox import zygote
from aaos.sandbox.filters import zygote_filter
from tests.kernel.harness import TREE, Stand, children, inside, loaded_filters, request, run_on, serve
from worker.wall.zygote import KEPT_CAPABILITIES

CAP_SYS_PTRACE = 1 << 19  # linux/capability.h

ALIVE_SAYS = inside("say('alive')")


async def _another(stand: Stand, than: int) -> int:
    """The next zygote."""
    async with asyncio.timeout(20):
        while stand.launcher._zygote is None or stand.launcher._zygote.pid == than:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
    return stand.zygote()


def test_a_zygote_killed_with_launches_in_flight_comes_back(stand: Stand) -> None:
    """R2, H-SBX-21: each launch ends with a worker or a typed error; no stray, no zombie."""
    chance = random.Random(3)  # noqa: S311  # moments, not secrets
    outcomes: Counter[str] = Counter()
    lost, started = (stand.audit.count(kind) for kind in (EventKind.ZYGOTE_LOST, EventKind.ZYGOTE_STARTED))

    async def one() -> None:
        pid = stand.zygote()
        launching = [asyncio.create_task(stand.launcher.launch(request(agent=f"a-{n}"))) for n in range(8)]
        await asyncio.sleep(chance.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        for outcome in await asyncio.gather(*launching, return_exceptions=True):
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, AaosError), repr(outcome)
                outcomes[type(outcome).__name__] += 1
            else:
                outcomes["launched"] += 1
                await outcome.close("looked at")
        await _another(stand, pid)
        assert (await run_on(stand.launcher, ALIVE_SAYS)).said == ["alive"]
        assert children() == [stand.zygote()]

    for _ in range(8):
        stand.run(one())
    assert set(outcomes) == {"WorkerLostError", "launched"}, outcomes
    assert stand.audit.count(EventKind.ZYGOTE_LOST) == lost + 8
    assert stand.audit.count(EventKind.ZYGOTE_STARTED) == started + 8
    assert stand.launcher._yard._ids.leased == 0


def test_workers_outlive_their_zygote(stand: Stand) -> None:
    """ISO-13: they are agentd's children, and as confined as before."""
    session = stand.run(stand.launcher.launch(request(ALIVE_SAYS)))
    pid = stand.zygote()
    os.kill(pid, signal.SIGKILL)
    stand.run(_another(stand, pid))
    assert session.attest_again() == session.attestation
    assert stand.run(serve(session)).said == ["alive"]


def test_a_zygote_that_does_not_answer_is_replaced(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-SBX-21: nobody waits for it longer than the deadline, and the next launch has another."""
    monkeypatch.setattr(zygote, "ANSWER_TIMEOUT_S", 0.3)
    pid = stand.zygote()
    os.kill(pid, signal.SIGSTOP)

    async def launch_two() -> list[object]:
        return await asyncio.gather(*(stand.launcher.launch(request()) for _ in range(2)), return_exceptions=True)

    assert [type(outcome) for outcome in stand.run(launch_two())] == [WorkerLostError] * 2
    stand.run(_another(stand, pid))
    assert stand.run(run_on(stand.launcher, ALIVE_SAYS)).said == ["alive"]
    assert children() == [stand.zygote()]


def test_a_launch_cancelled_while_the_zygote_does_not_answer_ends(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-SBX-21"""
    monkeypatch.setattr(zygote, "ANSWER_TIMEOUT_S", 0.3)
    pid = stand.zygote()
    os.kill(pid, signal.SIGSTOP)

    async def cancelled() -> None:
        launching = asyncio.create_task(stand.launcher.launch(request()))
        asked = stand.launcher._zygote
        while asked is None or not asked._waiting:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launching

    stand.run(cancelled())
    stand.run(_another(stand, pid))
    assert children() == [stand.zygote()]
    assert stand.launcher._yard._ids.leased == 0


def test_a_zygote_that_cannot_be_started_again_leaves_launches_with_an_error(tmp_path: Path) -> None:
    """ISO-1: never another way."""
    boot = tmp_path / "boot.py"
    boot.write_text(
        (TREE / "worker" / "wall" / "__main__.py").read_text().replace("parents[2]", f"parents[0] / {str(TREE)!r}")
    )
    with closing(Stand(boot=boot, start_timeout_s=1)) as stand:
        boot.write_text("raise SystemExit(1)")
        os.kill(stand.zygote(), signal.SIGKILL)
        with pytest.raises((WorkerLostError, ConfinementError)):
            stand.run(stand.launcher.launch(request()))
        assert stand.workers() == []


def test_the_zygote_can_do_what_it_must_and_sees_no_files(stand: Stand) -> None:
    """ISO-13: few capabilities and not ptrace, its own filter, one thread, no environment, a root of its own."""
    pid = stand.zygote()
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == KEPT_CAPABILITIES
    assert not KEPT_CAPABILITIES & CAP_SYS_PTRACE
    assert (status["Threads"], status["Groups"].strip(), status["Seccomp"]) == ("1", "", "2")
    assert loaded_filters(pid) == (zygote_filter(),)
    assert (proc / "environ").read_bytes() == b""
    mounts = {line.split()[4]: line.split()[5] for line in (proc / "mountinfo").read_text().splitlines()}
    assert set(mounts) == {"/", "/proc"}
    assert mounts["/"].startswith("ro,nosuid")
    assert sorted(os.listdir(proc / "root")) == ["dev", "new", "proc"]
    assert os.listdir(proc / "root" / "new") == []
    fds = {int(fd.name): os.readlink(fd).split(":")[0] for fd in (proc / "fd").iterdir() if fd.name != "2"}
    assert fds == {0: "/dev/null", 1: "/dev/null", 3: "socket"}  # and stderr is agentd's, for its last words


def test_groups_of_agentd_are_nobodys_behind_it() -> None:
    """ISO-2: whatever agentd was started with."""
    before = os.getgroups()
    os.setgroups([4, 27])
    try:
        with closing(Stand()) as stand:
            session = stand.run(stand.launcher.launch(request()))
            for pid in (stand.zygote(), session.attestation.pid):
                assert "\nGroups:\t \n" in Path(f"/proc/{pid}/status").read_text()
            stand.run(session.close("looked at"))
    finally:
        os.setgroups(before)


def test_the_zygote_holds_nothing_of_a_worker_that_ended(stand: Stand) -> None:
    """ISO-11: neither fds nor mounts nor namespaces."""

    def held() -> tuple[int, str, int]:
        proc = Path(f"/proc/{stand.zygote()}")
        return len(os.listdir(proc / "fd")), (proc / "mountinfo").read_text(), len(children())

    stand.run(run_on(stand.launcher, ALIVE_SAYS))
    before = held()
    for _ in range(20):
        stand.run(run_on(stand.launcher, ALIVE_SAYS))
    assert held() == before
