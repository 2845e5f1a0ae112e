"""Workspaces of runs that are stopped, or cut off, at a bad moment: none stays mounted without an owner (RUN-9)."""

import asyncio
import os
import threading

import pytest

from aaos.core.errors import StorageError
from aaos.core.graph import RunState
from aaos.core.ids import RunId
from aaos.daemon.workspaces import Keeping
from tests.kernel.test_workspaces_kept import MIB, OWNER, RUN, SETTINGS, World, fill, small, world

__all__ = ["small", "world"]  # the fixtures


@pytest.mark.parametrize("moment", ["looking", "detaching"])
def test_a_run_that_is_stopped_twice_lets_go_of_it(world: World, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """RUN-9: the second stop comes while it is looked at once more, or while it is being unmounted."""
    world.begin()
    entered, release = threading.Event(), threading.Event()
    name = "rooms" if moment == "looking" else "detach"
    real = getattr(world.workspaces, name)

    def slow(*args: object, **named: object) -> object:
        entered.set()
        release.wait()
        return real(*args, **named)

    async def stopped() -> None:
        ending = asyncio.ensure_future(world.keeping.end(RUN))
        await asyncio.to_thread(entered.wait)
        for _ in range(2):
            ending.cancel()
            await asyncio.sleep(0)
        release.set()
        await asyncio.wait([ending])
        assert ending.cancelled()
        assert not world.workspaces.is_mounted(RUN)

    monkeypatch.setattr(world.workspaces, name, slow)
    asyncio.run(stopped())


def test_a_run_that_is_stopped_while_it_is_mounted_again_lets_go_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RUN-9: one that goes on under this daemon; what follows a stop finds it mounted."""
    world.begin()
    asyncio.run(world.keeping.end(RUN))
    entered, release, attach = threading.Event(), threading.Event(), world.workspaces.attach

    def slow(run: RunId) -> None:
        entered.set()
        release.wait()
        attach(run)

    async def stopped() -> None:
        beginning = asyncio.ensure_future(world.keeping.begin(RUN))
        await asyncio.to_thread(entered.wait)
        beginning.cancel()
        ended, _ = await asyncio.wait([beginning], timeout=0.1)
        release.set()
        assert not ended, "it must wait for what it began"
        await asyncio.wait([beginning])
        await world.keeping.end(RUN)
        assert not world.workspaces.is_mounted(RUN)

    monkeypatch.setattr(world.workspaces, "attach", slow)
    asyncio.run(stopped())


def test_what_could_not_be_made_private_is_not_kept_mounted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError("unforeseen")

    monkeypatch.setattr(world.workspaces, "_make_private", failing)
    with pytest.raises(OSError, match="unforeseen"):
        world.keeping.make(RUN, OWNER, 0)
    assert (world.images(), world.workspaces.is_mounted(RUN)) == ([], False)


@pytest.mark.parametrize("left_by", ["a stop", "a close", "a look", "a database that cannot be read"])
def test_what_a_run_has_reserved_is_there_when_it_goes_on(
    small: World, monkeypatch: pytest.MonkeyPatch, left_by: str
) -> None:
    """RUN-9, H-RES-03: it is left to the next daemon, and others fill the disk before that comes."""

    def unreadable(run: RunId) -> None:
        raise StorageError(f"{run}: cannot be read", "look at it")

    path = small.begin()
    with monkeypatch.context() as broken:
        if left_by == "a database that cannot be read":
            broken.setattr(Keeping, "_row", lambda _, run: unreadable(run))
        if left_by != "a close":
            asyncio.run(small.keeping.end(RUN))
    small.workspaces.close()
    small.workspaces.open()
    if left_by == "a look":
        with small.keeping.at_hand(RUN):
            assert path.is_dir()
        asyncio.run(small.keeping.show(small.runs.get(RUN), OWNER.uid))
    fill(small.base / "theirs")
    again = World(small.base, small.database, SETTINGS.model_copy(update={"spare_bytes": 2**46}))
    asyncio.run(again.keeping.begin(RUN))
    data = os.urandom(8 * MIB)
    with (path / "a").open("wb", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())
    assert (path / "a").read_bytes() == data
    again.workspaces.close()


def test_the_last_who_uses_it_gives_back_what_an_ended_run_had_reserved(world: World) -> None:
    """RUN-9: an export began while it ran, and ends after it."""
    world.begin()
    image = world.workspaces.find(RUN)
    with world.workspaces.attached(RUN, is_writable=True):
        world.runs.set_state(RUN, RunState.COMPLETED)
        asyncio.run(world.keeping.end(RUN))
        assert world.workspaces.is_mounted(RUN)
    assert image.disk_bytes >= 16 * MIB
    assert world.workspaces.find(RUN).disk_bytes < 12 * MIB
