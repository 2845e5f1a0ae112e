"""Turns at the same files: a call that was approved for what is there is alone with it (BRK-6)."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from aaos.core.errors import BusyError
from aaos.core.ids import AgentId, Gid, Uid
from aaos.core.ports import Held, Root
from aaos.tools.writers import Worker, Writers, inodes_of

T = TypeVar("T")


class Stub:
    """A worker that writes down what is done to it."""

    def __init__(self, *paths: str, restless: bool = False) -> None:
        self.said: list[str] = []
        self.restless = restless
        self.worker = Worker(paths, self.hold, self.halted)

    @contextmanager
    def hold(self) -> Iterator[None]:
        self.said.append("held")
        try:
            yield
        finally:
            self.said.append("not held")

    @asynccontextmanager
    async def halted(self) -> AsyncIterator[None]:
        if self.restless:
            raise BusyError("it does not stand still", "")
        self.said.append("halted")
        try:
            yield
        finally:
            self.said.append("goes on")


def run(work: Awaitable[T]) -> T:
    async def main() -> T:
        async with asyncio.timeout(10):
            return await work

    return asyncio.run(main())


async def moments() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_workers_that_could_write_there_stand_still_and_no_others() -> None:
    async def main() -> None:
        writers = Writers()
        same, above, below, beside = Stub("/a/b"), Stub("/a"), Stub("/a/b/c"), Stub("/a/bc", "/x")
        for number, stub in enumerate((same, above, below, beside)):
            await writers.join(AgentId(f"a-{number}"), stub.worker)
        async with writers.alone(["/a/b"]):
            for stub in (same, above, below):
                assert stub.said == ["held", "halted"]
            assert beside.said == []
        assert same.said == ["held", "halted", "goes on", "not held"]
        writers.leave(AgentId("a-0"))
        async with writers.alone(["/a/b"]):
            assert len(same.said) == 4

    run(main())


def test_a_worker_that_comes_meanwhile_begins_afterwards() -> None:
    async def main() -> None:
        writers = Writers()
        async with writers.alone(["/a"]):
            joining = asyncio.ensure_future(writers.join(AgentId("a"), Stub("/a/b").worker))
            await writers.join(AgentId("b"), Stub("/c").worker)
            await writers.join(AgentId("c"), Stub().worker)
            await moments()
            assert not joining.done()
        await joining

    run(main())


def test_calls_that_write_there_wait_and_those_that_began_are_waited_for() -> None:
    async def main() -> None:
        writers, order, held, began = Writers(), [], Stub(), asyncio.Event()

        async def write(name: str, *, hold: bool = False) -> None:
            async with writers.writing(["/a/f"], hold=held.hold):
                order.append(f"{name} begins")
                await moments()
                order.append(f"{name} ends")

        async def alone() -> None:
            async with writers.alone(["/a"]):
                order.append("alone")
                began.set()
                await moments()
                order.append("not alone")

        tasks = [asyncio.ensure_future(one) for one in (write("one"), write("two"), alone(), alone())]
        await began.wait()
        await asyncio.gather(*tasks, write("three"))
        assert order[:2] == ["one begins", "two begins"], "those that write wait not for each other"
        first, last = order.index("alone"), order.index("three begins")
        assert max(order.index("one ends"), order.index("two ends")) < first < order.index("not alone") < last
        assert held.said == ["held", "not held"], "the deadlines of who waits stand"
        between = "".join("a" if one == "alone" else "n" for one in order if "alone" in one)
        assert between == "anan", "never two of them at once"

    run(main())


def test_a_call_that_is_given_up_leaves_nothing_behind() -> None:
    async def main() -> None:
        writers = Writers()
        async with writers.writing(["/a"]):
            waiting = asyncio.ensure_future(writers.alone(["/a"]).__aenter__())
            await moments()
            waiting.cancel()
            await asyncio.wait({waiting})
            async with asyncio.timeout(5), writers.writing(["/a"]):
                pass
        stub, restless = Stub("/a"), Stub("/a", restless=True)
        await writers.join(AgentId("a"), stub.worker)
        await writers.join(AgentId("b"), restless.worker)
        with pytest.raises(BusyError):
            async with writers.alone(["/a"]):
                raise AssertionError("a worker did not stand still")
        assert stub.said == ["held", "halted", "goes on", "not held"]
        async with asyncio.timeout(5), writers.writing(["/a"]):
            pass

    run(main())


def test_one_that_waits_for_a_paused_one_keeps_nobody_waiting_and_gives_up() -> None:
    """BRK-6, RES: a claim that is never given back holds up who wants to be alone, for as long as the bound."""

    async def main() -> None:
        writers, held = Writers(alone_wait_s=0.05), Stub()
        async with writers.writing(["/a/paused"]):
            waiting = asyncio.ensure_future(writers.alone(["/a"], hold=held.hold).__aenter__())
            await moments()
            async with writers.writing(["/a/b"]), writers.writing(["/"]):
                await writers.join(AgentId("a"), Stub("/a").worker)
                assert not waiting.done()
            async with writers.alone(["/a/c"]):
                assert not waiting.done()
            with pytest.raises(BusyError, match=r"/a for 0\.05 s") as error:
                await waiting
            assert error.value.remedy
        assert held.said == ["held", "not held"]
        async with writers.alone(["/a"]):
            pass

    run(main())


def test_the_same_directory_by_another_path_is_the_same(tmp_path: Path) -> None:
    """BRK-6, CAP-6: a bind mount shows one directory at two paths; what is compared is the directory."""

    def at(path: str, fd: int) -> Root:
        return Root(path, fd, True, True, False, Uid(1), Gid(1), Held.KERNEL)

    async def main(one: int, other: int) -> None:
        writers, same, beside = Writers(alone_wait_s=0.05), Stub(), Stub()
        for name, stub, fd in (("a", same, one), ("b", beside, other)):
            worker = Worker.of([at(f"/by/{name}", fd)], stub.hold, stub.halted)
            await writers.join(AgentId(name), worker)
        here = inodes_of([at("/tree", one)])
        async with writers.alone(["/tree"], here):
            assert (same.said, beside.said) == (["held", "halted"], [])
            late, kept = Worker.of([at("/late", one)], same.hold, same.halted), writers.writing(["/bound"], here)
            waiting = [
                asyncio.ensure_future(writers.join(AgentId("c"), late)),
                asyncio.ensure_future(kept.__aenter__()),
            ]
            await moments()
            assert not any(task.done() for task in waiting)
        await asyncio.gather(*waiting)
        with pytest.raises(BusyError):
            async with writers.alone(["/tree"], here):
                raise AssertionError("somebody writes there by another path")

    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    fds = [os.open(tmp_path / name, os.O_PATH) for name in ("one", "other")]
    try:
        run(main(*fds))
    finally:
        for fd in fds:
            os.close(fd)


def test_only_what_is_mounted_for_writing_counts() -> None:
    def root(path: str, held: Held, *, writable: bool) -> Root:
        return Root(path, -1, True, writable, False, Uid(1), Gid(1), held)

    roots = [
        root("/a", Held.KERNEL, writable=True),
        root("/b", Held.KERNEL, writable=False),
        root("/c", Held.GATE, writable=True),
    ]
    stub = Stub()
    assert list(Worker.of(roots, stub.hold, stub.halted).paths) == ["/a"]


def test_who_may_make_control_files_there_is_known_to_the_others() -> None:
    async def main() -> None:
        writers = Writers()
        async with writers.writing(["/a"]) as early, writers.writing(["/b"]) as beside:
            async with writers.writing(["/a/c"], controls=True) as git:
                async with writers.writing(["/a/c/d"]) as late:
                    pass
        assert [claim.met_controls for claim in (early, late, beside, git)] == [True, True, False, False]
        async with writers.writing(["/a"]) as after:
            assert not after.met_controls

    run(main())
