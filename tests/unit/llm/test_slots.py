"""Who gets a place at a provider, and when."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest

from aaos.core.errors import BusyError
from aaos.core.ids import RunId
from aaos.llm import slots as under_test
from aaos.llm.slots import Slots

Asked = tuple[str, float]  # a run and its deadline


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def order_of(asked: Sequence[Asked], *, most: int = 1) -> list[Asked]:
    """The order in which those who asked while all places were taken get theirs, one after the other."""
    slots, served, go_on = Slots("m", most), list[Asked](), asyncio.Event()

    async def hold() -> None:
        async with slots.taken(RunId("first"), deadline_s=0):
            await go_on.wait()

    async def ask(one: Asked) -> None:
        async with slots.taken(RunId(one[0]), deadline_s=one[1]):
            served.append(one)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(most):
            group.create_task(hold())
        await settled()
        for one in asked:
            group.create_task(ask(one))
        await settled()
        assert served == []
        go_on.set()
    return served


def test_never_more_than_its_places() -> None:
    async def main() -> int:
        slots, inside, most = Slots("m", 3), 0, 0

        async def ask(at: int) -> None:
            nonlocal inside, most
            async with slots.taken(RunId(f"r-{at % 4}"), deadline_s=at % 7):
                inside += 1
                most = max(most, inside)
                for _ in range(at % 3):
                    await asyncio.sleep(0)
                inside -= 1

        async with asyncio.TaskGroup() as group:
            for at in range(200):
                group.create_task(ask(at))
        return most

    assert asyncio.run(main()) == 3


def test_the_earliest_deadline_goes_first_then_who_came_first() -> None:
    """LLM-3"""
    asked = [("r", 9.0), ("r", 2.0), ("r", 5.0), ("r", 2.0), ("r", 1.0)]
    assert asyncio.run(order_of(asked)) == sorted(asked, key=lambda one: one[1])
    many = [(f"r-{at}", 5.0) for at in range(8)]
    assert asyncio.run(order_of(many)) == many


def test_each_run_gets_a_place_before_any_gets_a_second() -> None:
    """LLM-3: a run that asks for much, and is in a hurry, does not starve another."""
    asked = [("greedy", 1.0)] * 50 + [("modest", 1000.0), ("slow", 2000.0)]
    served = [run for run, _ in asyncio.run(order_of(asked))]
    assert served.index("modest") == 1
    assert served.index("slow") == 2


def test_a_run_that_asks_again_and_again_waits_for_its_next_round() -> None:
    """LLM-3: new turns with ever earlier deadlines don't pass the one that waits for more than a round."""

    async def main() -> list[str]:
        slots, served = Slots("m", 1), list[str]()

        async def greedy() -> None:
            for turn in range(50):
                async with slots.taken(RunId("greedy"), deadline_s=-turn):
                    served.append("greedy")
                    await asyncio.sleep(0)

        async def modest() -> None:
            for _ in range(10):
                async with slots.taken(RunId("modest"), deadline_s=1e9):
                    served.append("modest")
                    await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(greedy())
            group.create_task(modest())
        return served

    served = asyncio.run(main())
    places = [at for at, run in enumerate(served) if run == "modest"]
    assert len(served) == 210
    assert max(after - before for before, after in pairwise(places)) <= 3


def test_one_who_gives_up_leaves_the_place_to_the_next() -> None:
    """H-LLM-02: cancelled while it waits, just when it is called, and inside."""

    async def main() -> None:
        random = Random(7)  # noqa: S311  # a test
        slots = Slots("m", 2)

        async def ask(at: int) -> None:
            async with slots.taken(RunId(f"r-{at % 3}"), deadline_s=random.random()):
                await asyncio.sleep(0)

        tasks = [asyncio.ensure_future(ask(at)) for at in range(300)]
        for _ in range(200):
            await asyncio.sleep(0)
            random.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with slots.taken(RunId("a"), deadline_s=0), slots.taken(RunId("b"), deadline_s=0):
            late = asyncio.ensure_future(ask(0))
            await settled()
            assert not late.done()
        await late

    asyncio.run(main())


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-RES-11"""
    monkeypatch.setattr(under_test, "MAX_WAITING", 2)

    async def main() -> None:
        slots = Slots("m", 1)
        async with slots.taken(RunId("r"), deadline_s=0):
            waiting = [asyncio.ensure_future(slots.taken(RunId("r"), deadline_s=0).__aenter__()) for _ in range(2)]
            await settled()
            with pytest.raises(BusyError, match="2 turns wait for m"):
                await slots.taken(RunId("s"), deadline_s=0).__aenter__()
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(main())


def test_who_waits_a_while_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "TOLD_AFTER_S", 0.0)

    async def main() -> list[str]:
        slots, told, heard = Slots("m", 1), list[str](), asyncio.Event()

        def hear(message: str) -> None:
            told.append(message)
            heard.set()

        async def ask() -> None:
            async with slots.taken(RunId("r"), deadline_s=0, on_wait=hear):
                pass

        async with slots.taken(RunId("r"), deadline_s=0, on_wait=hear):
            task = asyncio.ensure_future(ask())
            await heard.wait()
        await task
        return told

    assert asyncio.run(main()) == ["1 turns of m are under way and 1 wait"]
