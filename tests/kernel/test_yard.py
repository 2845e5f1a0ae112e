"""Parked workers: as confined as new ones once they are taken, bounded, like those that were asked for, and ended."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.errors import AaosError, BusyError, ConfinementError
from aaos.core.layers import ALL_LAYERS
from aaos.sandbox.session import WorkerSession
from aaos.sandbox.yard import SETTLE_S, SETTLE_TRIES, Kind, Parked, Yard
from tests.kernel.harness import OWNER, REDUCED, Stand, boot_script, children, granted, inside, request, serve

BOUND = 4
SAYS_SO = inside("say('ran')")


@pytest.fixture
def yard() -> Iterator[Stand]:
    """A launcher that parks up to four workers."""
    with closing(Stand(parked=BOUND)) as stand:
        yield stand


def waiting(stand: Stand) -> list[Parked]:
    """The workers that are parked now."""
    return list(stand.launcher._yard._parked)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  # the yard tells nobody
            await asyncio.sleep(0.002)


async def _asked_for(stand: Stand, count: int) -> None:
    """Show a need, and wait until it is met."""
    sessions = await asyncio.gather(*(stand.launcher.launch(request()) for _ in range(count)))
    await asyncio.gather(*(session.close("shown") for session in sessions))
    await _until(lambda: stand.launcher.parked >= min(count, BOUND))  # earlier needs may count, too


def test_a_stock_that_could_not_be_made_is_made_soon_after(yard: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to ask again for it."""
    make, tries = Yard._make, []

    async def make_later(self: Yard, kind: Kind) -> Parked:
        tries.append(kind)
        if len(tries) == 1:
            raise BusyError("every id is in use", "try again")
        return await make(self, kind)

    yard.run(_until(lambda: yard.launcher.parked == 1))
    monkeypatch.setattr(Yard, "_make", make_later)
    yard.run(yard.launcher._yard.clear())
    yard.run(_until(lambda: yard.launcher.parked == 1))
    assert len(tries) == 2


def test_a_parked_worker_is_the_one_that_is_launched(yard: Stand) -> None:
    """ISO-1, ISO-9: the same process, and confirmed from both sides for its agent, after it got one."""
    yard.run(_until(lambda: yard.launcher.parked == 1))
    (parked,) = waiting(yard)
    session = yard.run(yard.launcher.launch(request(SAYS_SO, agent="a-parked")))
    attestation = session.attestation
    assert attestation.pid == parked.pid
    assert attestation.agent == "a-parked"
    assert set(attestation.layers) == set(attestation.inside) == set(attestation.outside) == ALL_LAYERS - REDUCED
    assert set(attestation.inside.values()) == {"denied"}
    assert yard.run(serve(session)).said == ["ran"]


def test_what_lasts_is_seen_while_they_wait_and_not_of_those_that_lack_it(yard: Stand, tmp_path: Path) -> None:
    """ISO-9: namespaces, id maps and limits; a worker without its limits is refused when it is launched."""
    yard.run(_asked_for(yard, 3))
    yard.run(_until(lambda: all(parked.is_settled for parked in waiting(yard))))
    lies = "confine._rlimits = lambda policy: {}\nconfine._outcome = lambda act, expected: 'denied'"
    boot = boot_script(tmp_path, lies)
    with closing(Stand(parked=1, boot=boot)) as stand:
        stand.run(_until(lambda: stand.launcher.parked == 1))
        stand.run(asyncio.sleep(2 * SETTLE_TRIES * SETTLE_S))
        assert not waiting(stand)[0].is_settled
        with pytest.raises(ConfinementError, match="Max "):
            stand.run(stand.launcher.launch(request()))


def test_what_was_granted_is_there_and_written_as_its_owner(yard: Stand, tmp_path: Path) -> None:
    """ISO-2: a parked worker is the owner of what it will be granted, or another one is made."""
    os.chown(tmp_path, OWNER, OWNER)
    program = inside(f"import os\nattempt(lambda: os.listdir({str(tmp_path)!r}))\nsay(os.getuid())")
    with granted(tmp_path, writable=True, as_owner=True) as root:
        for was_parked in (False, True):
            before = {parked.pid for parked in waiting(yard)}
            session = yard.run(yard.launcher.launch(request(program, (root,))))
            assert (session.attestation.pid in before) == was_parked
            assert yard.run(serve(session)).said == ["allowed: []", str(OWNER)]
            yard.run(_until(lambda: any(parked.owner == (OWNER, OWNER) for parked in waiting(yard))))


def test_no_more_are_parked_than_the_settings_say(yard: Stand) -> None:
    """ISO-11: and no more than are asked for."""
    yard.run(_asked_for(yard, 2))
    assert len(yard.workers()) == 2
    yard.run(_asked_for(yard, 9))
    yard.run(asyncio.sleep(0.1))
    assert len(yard.workers()) == len(waiting(yard)) == BOUND


def test_nothing_is_parked_where_the_settings_say_none(stand: Stand) -> None:
    """The default of these tests."""
    session = stand.run(stand.launcher.launch(request()))
    stand.run(session.close("looked at"))
    stand.run(asyncio.sleep(0.05))
    assert stand.workers() == []


def test_parked_workers_that_die_leave_nothing(yard: Stand) -> None:
    """ISO-11: neither a zombie nor an id; the next launches park others."""
    yard.run(_asked_for(yard, 3))
    before = {parked.pid for parked in waiting(yard)}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    yard.run(_until(lambda: not before & set(yard.workers())))
    yard.run(asyncio.sleep(0.1))
    assert yard.launcher._yard._ids.leased == len(yard.workers()) == yard.launcher.parked <= 1
    yard.run(_asked_for(yard, 3))


def test_a_parked_worker_that_dies_as_it_is_taken_is_a_typed_error(yard: Stand) -> None:
    """R2"""
    yard.run(_asked_for(yard, 1))

    async def killed() -> WorkerSession:
        os.kill(waiting(yard)[0].pid, signal.SIGKILL)
        return await yard.launcher.launch(request())

    with pytest.raises(AaosError):
        yard.run(killed())
    yard.run(_until(lambda: yard.launcher._yard._ids.leased == 1))


def test_parked_workers_die_with_their_zygote(yard: Stand) -> None:
    """ISO-13: those of the next one take their place."""
    yard.run(_asked_for(yard, 2))
    before = {parked.pid for parked in waiting(yard)}
    os.kill(yard.zygote(), signal.SIGKILL)
    yard.run(_until(lambda: not before & set(children())))
    yard.run(_until(lambda: len(waiting(yard)) == 2))
    assert sorted(yard.workers()) == sorted(parked.pid for parked in waiting(yard))


def test_ids_of_parked_workers_are_not_missed(tmp_path: Path) -> None:
    """ISO-2: they give way to a launch that has no other, of another owner too."""
    os.chown(tmp_path, OWNER, OWNER)
    with closing(Stand(parked=BOUND, uid_count=17)) as stand, granted(tmp_path, writable=True, as_owner=True) as root:

        async def all_of_them() -> None:
            sessions = [await stand.launcher.launch(request()) for _ in range(12)]
            await _until(lambda: stand.launcher.parked == BOUND)
            sessions += [await stand.launcher.launch(request(None, (root,))) for _ in range(4)]
            with pytest.raises(BusyError):
                await stand.launcher.launch(request())
            await asyncio.gather(*(session.close("enough") for session in sessions))

        stand.run(all_of_them())


def test_at_the_end_nothing_is_left() -> None:
    """ISO-11: neither processes nor ids."""
    stand = Stand(parked=BOUND)
    try:
        stand.run(_asked_for(stand, 9))
        assert len(waiting(stand)) == BOUND
    finally:
        stand.close()
    assert stand.workers() == []
    assert stand.launcher._yard._ids.leased == 0
    assert stand.launcher._yard.known <= {stand.zygote()}


def test_a_stock_that_cannot_be_made_is_the_launchs_error(tmp_path: Path) -> None:
    """H-SBX-00: never a loop that forks in vain."""
    boot = boot_script(tmp_path, "rules.landlock_abi = lambda: 0")
    with closing(Stand(parked=BOUND, boot=boot)) as stand:
        with pytest.raises(AaosError):
            stand.run(stand.launcher.launch(request()))
        stand.run(_until(lambda: stand.launcher._yard._ids.leased == 0))
        assert stand.workers() == []
