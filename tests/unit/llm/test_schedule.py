"""The one door to the models."""

import asyncio
from dataclasses import dataclass, field

import pytest

from aaos.core.errors import BusyError, ProviderError
from aaos.core.role import Tier
from aaos.llm import schedule
from aaos.llm.schedule import Models
from aaos.llm.types import ModelAnswer, ModelRequest, ModelTerms, OnText
from tests.unit.llm.harness import request


@dataclass
class Slow:
    """A provider that answers when told to."""

    tier: Tier = Tier.T0
    name: str = "slow"
    terms: ModelTerms = field(default_factory=ModelTerms)
    running: int = 0
    most: int = 0
    order: list[str] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    fails: bool = False

    async def complete(self, request: ModelRequest, *, on_text: OnText | None = None) -> ModelAnswer:
        self.running += 1
        self.most = max(self.most, self.running)
        self.order.append(str(request.params["n"]))
        try:
            await self.go_on.wait()
            if self.fails:
                raise ProviderError("no", "r")
            return ModelAnswer(self.name)
        finally:
            self.running -= 1


def test_no_more_than_its_slots_and_in_the_order_they_came() -> None:
    """LLM-3."""
    provider = Slow()

    async def main() -> None:
        models = Models([provider], max_parallel=3)
        async with asyncio.TaskGroup() as group:
            for at in range(10):
                group.create_task(models.complete(request({"n": at}), (Tier.T0,)))
            for _ in range(20):
                await asyncio.sleep(0)
            assert provider.running == 3
            provider.go_on.set()

    asyncio.run(main())
    assert provider.most == 3
    assert provider.order == [str(at) for at in range(10)]


def test_the_first_tier_of_the_ladder_that_is_there_answers() -> None:
    async def main() -> tuple[str, str]:
        small, large = Slow(Tier.T0, "small"), Slow(Tier.T2, "large")
        small.go_on.set()
        large.go_on.set()
        models = Models([small, large, Slow(Tier.T2, "second")])
        assert models.tiers == (Tier.T0, Tier.T2)
        up = await models.complete(request({"n": 1}), (Tier.T1, Tier.T2, Tier.T0))
        down = await models.complete(request({"n": 1}), (Tier.T0, Tier.T2))
        return up.text, down.text

    assert asyncio.run(main()) == ("large", "small")


@pytest.mark.parametrize("ladder", [(), (Tier.T1,), (Tier.T2, Tier.T3)])
def test_a_ladder_without_a_provider_is_refused_with_what_there_is(ladder: tuple[Tier, ...]) -> None:
    with pytest.raises(ProviderError, match="those set up are: T0") as caught:
        asyncio.run(Models([Slow()]).complete(request({"n": 1}), ladder))
    assert caught.value.remedy


@pytest.mark.parametrize("fails", [True, False])
def test_a_slot_comes_back_however_the_turn_ended(fails: bool) -> None:
    """H-LLM-02: also when the caller gave up."""

    async def main() -> None:
        provider = Slow(fails=fails)
        models = Models([provider], max_parallel=1)
        given_up = [asyncio.ensure_future(models.complete(request({"n": at}), (Tier.T0,))) for at in range(2)]
        await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        provider.go_on.set()
        for _ in range(3):
            if fails:
                with pytest.raises(ProviderError):
                    await models.complete(request({"n": 2}), (Tier.T0,))
            else:
                assert (await models.complete(request({"n": 2}), (Tier.T0,))).text == "slow"

    asyncio.run(main())


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-RES-11."""
    monkeypatch.setattr(schedule, "MAX_WAITING", 2)

    async def main() -> None:
        provider = Slow()
        models = Models([provider], max_parallel=1)
        waiting = [asyncio.ensure_future(models.complete(request({"n": at}), (Tier.T0,))) for at in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await models.complete(request({"n": 9}), (Tier.T0,))
        provider.go_on.set()
        await asyncio.gather(*waiting)

    asyncio.run(main())
