"""The filters against everything that workers and the zygote do: nothing needed is refused, no row is for nothing."""

import asyncio
import dataclasses
import os
import platform
import signal
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from aaos.core.errors import AaosError, ConfinementError
from aaos.core.ports import Root
from aaos.sandbox import filters
from aaos.sandbox.filters import WORKER_ROWS, ZYGOTE_ROWS, Profile, Refusal, compile_filter
from aaos.sandbox.rows import Row
from aaos.sandbox.strays import kill_strays
from aaos.sandbox.zygote import Zygote
from tests.kernel.conformance import conform, play
from tests.kernel.harness import OWNER, granted
from worker import abi

DIED = f"status {int(signal.SIGSYS)}"
GLIBC = tuple(int(part) for part in platform.libc_ver()[1].split("."))
# glibc made fstat(3) of newfstatat(2) from 2.33 to 2.38; see sysdeps/unix/sysv/linux/fstat64.c. From 2.41 getrandom(3)
# asks the vDSO of Linux 6.11 and newer, and the kernel only when that has no state yet; see getrandom.c beside it.
NOT_NEEDED_HERE = ({"fstat"} if (2, 33) <= GLIBC < (2, 39) else set()) | ({"getrandom"} if GLIBC >= (2, 41) else set())


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """A workspace of OWNER, granted for writing."""
    workspace = tmp_path / "workspace"
    for path in (workspace, workspace / "deep", workspace / ".git"):
        path.mkdir()
        os.chown(path, OWNER, OWNER)
    file = workspace / "text"
    file.write_text("".join(f"line {n}, word {n}, more\n" for n in range(4_000)))
    os.chown(file, OWNER, OWNER)
    with granted(workspace, writable=True, as_owner=True) as opened:
        yield opened


class Bench:
    """A zygote on an event loop of its own."""

    def __init__(self, directory: Path) -> None:
        self._runner = asyncio.Runner()
        self._zygote = Zygote(directory, lambda _: None)
        self._runner.run(self._zygote.start())

    def conform(self, program: bytes, root: Root) -> list[str]:
        """What workers came to under this filter."""
        return self._runner.run(conform(self._zygote, program, root))

    def close(self) -> None:
        """End the zygote and the loop."""
        self._runner.run(self._zygote.stop())
        self._runner.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The product's zygote for all filters of this module."""
    made = Bench(tmp_path_factory.mktemp("template"))
    yield made
    made.close()


def test_nothing_that_a_worker_does_in_good_faith_is_refused(bench: Bench, root: Root) -> None:
    """H-SBX-22: under the filter whose refusals kill, so that none goes unseen: every tool, long frames, a program."""
    loop, program = bench.conform(compile_filter(Profile.WORKER, refusal=Refusal.TRAP), root)
    for line in ("echo True 1", "file_read True", "file_write True", "file_edit True", "file_list True", "grep True"):
        assert line in loop
    assert "file_read False" in loop  # the call that came without its file
    assert loop.endswith("200000 closed, status 0")
    assert "'interrupted': True" in program
    assert "'woken': 'stop'" in program
    assert program.endswith("closed, status 0")


def test_a_worker_comes_to_the_same_under_the_filter_that_is_shipped(bench: Bench, root: Root) -> None:
    """H-SBX-22"""
    for ended in bench.conform(filters.worker_filter(), root):
        assert ended.endswith("closed, status 0")


@pytest.mark.parametrize("row", WORKER_ROWS, ids=lambda row: f"{row.call}-{row.reason}")
def test_each_row_is_needed(bench: Bench, root: Root, row: Row) -> None:
    """H-SBX-23: without it some worker dies of it."""
    ended = bench.conform(compile_filter(Profile.WORKER, refusal=Refusal.TRAP, without=(row,)), root)
    died = any(each.endswith(DIED) for each in ended)
    assert died is (row.call not in NOT_NEEDED_HERE), ended


# --- the zygote's own filter ---------------------------------------------------------------------------------------

SETTING_UP = [row for row in ZYGOTE_ROWS if row.call in filters.SETUP and row.call != filters.CELL_CANARY]


def _unmappable(policy: abi.Policy) -> abi.Policy:
    return dataclasses.replace(policy, inside_uid=2**32 - 1)


def _in_a_cgroup(policy: abi.Policy) -> abi.Policy:
    return dataclasses.replace(policy, layers=(*policy.layers, "cgroup"))


async def _set_up(without: Collection[Row], directory: Path, root: Root, *, patch: pytest.MonkeyPatch) -> list[str]:
    """What a zygote came to under a filter that kills: a worker, a child that cannot be mapped, one in a cgroup."""
    program = compile_filter(Profile.ZYGOTE, refusal=Refusal.TRAP, without=without)
    patch.setattr(filters, "zygote_filter", lambda: program)  # it is read before `start` lets go of the loop
    zygote, worker = Zygote(directory, lambda _: None), filters.worker_filter()
    try:
        await zygote.start()
        came_to = [await play(zygote, worker, root, entry="loop")]
        for change in (_unmappable, _in_a_cgroup):
            try:
                came_to.append(await play(zygote, worker, root, entry="loop", change=change))
            except ConfinementError as error:
                came_to.append(error.message)
        return came_to
    except AaosError as error:
        return [f"the zygote died: {error.message}"]
    finally:
        await zygote.stop()


def _all_is_well(came_to: list[str]) -> bool:
    return (
        len(came_to) == 3
        and came_to[0].endswith("200000 closed, status 0")
        and came_to[1].startswith("no worker could be made: ")
        and came_to[2] == came_to[0]  # in a namespace of its own; that it is no leaf is seen from outside
    )


def test_nothing_that_the_zygote_needs_is_refused(tmp_path: Path, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-SBX-22, ISO-13: under the filter whose refusals kill, and which its children inherit."""
    came_to = asyncio.run(_set_up((), tmp_path, root, patch=monkeypatch))
    assert _all_is_well(came_to), [each[-200:] for each in came_to]


def test_each_row_of_the_zygote_is_needed(tmp_path: Path, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-SBX-23: those that no worker needs; without each, the zygote or what it forks dies."""

    async def set_up_all() -> list[str]:
        at_once = asyncio.Semaphore(3)

        async def is_needless(row: Row) -> bool:
            async with at_once:
                return _all_is_well(await _set_up((row,), tmp_path, root, patch=monkeypatch))

        needless = await asyncio.gather(*map(is_needless, SETTING_UP))
        kill_strays(set())  # of zygotes that died of it between a clone and its report
        return [row.call for row, needs_not in zip(SETTING_UP, needless, strict=True) if needs_not]

    assert asyncio.run(set_up_all()) == []
    kill_strays(frozenset())  # what a crippled zygote had cloned when it died
