"""Workspaces of runs that are stopped, or cut off, at a bad moment: none stays mounted without an owner (RUN-9)."""

import asyncio
import threading

import pytest

from aaos.core.ids import RunId
from tests.kernel.test_workspaces_kept import OWNER, RUN, World, world

__all__ = ["world"]  # the fixture


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
        await asyncio.sleep(0)
        release.set()
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
