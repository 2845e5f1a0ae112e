"""The one door to the models."""

import asyncio
from dataclasses import dataclass, field

import pytest

from aaos.core.errors import BusyError, LimitError, ProviderError
from aaos.core.ids import RunId
from aaos.core.ports import Spend
from aaos.core.role import Tier
from aaos.llm import slots
from aaos.llm.budget import PROVIDERS_OWN, Account
from aaos.llm.schedule import Answered, Models
from aaos.llm.types import ModelAnswer, ModelRequest, ModelTerms, OnText, Usage
from tests.fakes import MemorySpends, account
from tests.unit.llm.harness import request

PRICED = ModelTerms(context_tokens=10_000, max_output_tokens=1_000, input_usd=1, cached_usd=0.1, output_usd=2)


@dataclass
class Slow:
    """A provider that answers when told to."""

    tier: Tier = Tier.T0
    name: str = "slow"
    terms: ModelTerms = field(default_factory=lambda: ModelTerms(max_parallel=3))
    usage: Usage = field(default_factory=Usage)
    says: str = ""
    running: int = 0
    most: int = 0
    seen: list[ModelRequest] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    async def complete(self, request: ModelRequest, *, on_text: OnText | None = None) -> ModelAnswer:
        self.running += 1
        self.most = max(self.most, self.running)
        self.seen.append(request)
        if on_text is not None and self.says:
            on_text(self.says)
        try:
            await self.go_on.wait()
            if self.error is not None:
                raise self.error
            return ModelAnswer(self.name, usage=self.usage)
        finally:
            self.running -= 1


def at_once(tier: Tier = Tier.T0, name: str = "slow") -> Slow:
    provider = Slow(tier, name)
    provider.go_on.set()
    return provider


async def ask(models: Models, *ladder: Tier, owner: Account | None = None, number: int = 1) -> Answered:
    return await models.complete(request({"n": number}), ladder, account=owner or account(), deadline_s=1.0)


def test_no_more_than_its_slots_and_in_the_order_they_came() -> None:
    """LLM-3"""
    provider = Slow()

    async def main() -> None:
        models = Models([provider])
        async with asyncio.TaskGroup() as group:
            for at in range(10):
                group.create_task(ask(models, Tier.T0, number=at))
            for _ in range(20):
                await asyncio.sleep(0)
            assert provider.running == 3
            provider.go_on.set()

    asyncio.run(main())
    assert provider.most == 3
    assert [seen.params["n"] for seen in provider.seen] == list(range(10))


def test_the_first_tier_of_the_ladder_that_is_there_answers() -> None:
    async def main() -> None:
        models = Models([at_once(Tier.T0, "small"), at_once(Tier.T2, "large"), at_once(Tier.T2, "second")])
        assert models.tiers == (Tier.T0, Tier.T2)
        up = await ask(models, Tier.T1, Tier.T2, Tier.T0)
        down = await ask(models, Tier.T0, Tier.T2)
        assert (up.model, up.tier, up.answer.text) == ("large", Tier.T2, "large")
        assert (down.model, down.tier) == ("small", Tier.T0)

    asyncio.run(main())


@pytest.mark.parametrize("ladder", [(), (Tier.T1,), (Tier.T2, Tier.T3)])
def test_a_ladder_without_a_provider_is_refused_with_what_there_is(ladder: tuple[Tier, ...]) -> None:
    with pytest.raises(ProviderError, match="those set up are: T0") as caught:
        asyncio.run(ask(Models([Slow()]), *ladder))
    assert caught.value.remedy


@pytest.mark.parametrize("tier", [Tier.T0, Tier.T2])
@pytest.mark.parametrize("error", [ProviderError("no", "r"), None])
def test_a_slot_comes_back_however_the_turn_ended(tier: Tier, error: ProviderError | None) -> None:
    """H-LLM-02: also when the caller gave up."""

    async def main() -> None:
        provider = Slow(tier, terms=ModelTerms(max_parallel=1), error=error)
        models = Models([provider])
        given_up = [asyncio.ensure_future(ask(models, tier)) for _ in range(2)]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        provider.go_on.set()
        for _ in range(3):
            if error:
                with pytest.raises(ProviderError):
                    await ask(models, tier)
            else:
                assert (await ask(models, tier)).model == "slow"

    asyncio.run(main())


def test_what_a_turn_took_is_charged_and_told() -> None:
    """LLM-4"""

    async def main() -> None:
        owner = account()
        provider = Slow(Tier.T2, terms=PRICED, usage=Usage(1_000, 500, 400))
        provider.go_on.set()
        answered = await ask(Models([provider]), Tier.T2, owner=owner)
        assert answered.charge.cost_usd == pytest.approx((600 * 1 + 400 * 0.1 + 500 * 2) / 1e6)
        assert owner.spent == Spend(1_500, answered.charge.cost_usd)

    asyncio.run(main())


def test_an_answer_by_code_costs_nothing_and_needs_no_budget() -> None:
    """LLM-2: tier T0 is free, whatever the budget."""

    async def main() -> None:
        owner = account(tokens=1, cost_usd=1e-9)
        await ask(Models([at_once()]), Tier.T0, owner=owner)
        assert owner.spent == Spend()

    asyncio.run(main())


def test_a_turn_that_does_not_fit_is_not_asked() -> None:
    """LLM-4, H-LLM-15: refused before anything is sent."""
    provider = Slow(Tier.T2, terms=PRICED)
    with pytest.raises(LimitError) as caught:
        asyncio.run(ask(Models([provider]), Tier.T2, owner=account(tokens=100)))
    assert "--max-tokens" in caught.value.remedy
    assert provider.seen == []


def test_an_answer_is_bounded_by_what_is_left() -> None:
    """LLM-4: no overdraft by a long answer."""

    async def main() -> list[int]:
        provider = Slow(Tier.T2, terms=PRICED, usage=Usage(1, 600))
        provider.go_on.set()
        owner = account(tokens=PROVIDERS_OWN + 1_377)
        for _ in range(2):
            await ask(Models([provider]), Tier.T2, owner=owner)
        return [seen.max_output_tokens for seen in provider.seen]

    assert asyncio.run(main()) == [1_000, 776]


@pytest.mark.parametrize(
    ("says", "error", "is_charged"),
    [
        ("", ProviderError("429", "wait"), False),
        ("half of", ProviderError("cut", "again"), True),
        ("", asyncio.CancelledError(), True),
        ("", RuntimeError("a defect"), True),
    ],
)
def test_a_turn_without_an_answer_is_charged_when_it_may_have_been_paid(
    says: str, error: Exception, is_charged: bool
) -> None:
    """LLM-4: a provider that refuses takes nothing; whoever was cut off had begun."""

    async def main() -> None:
        store = MemorySpends()
        owner = account(store=store)
        provider = Slow(Tier.T2, terms=PRICED, says=says, error=error)
        provider.go_on.set()
        with pytest.raises(type(error)):
            await ask(Models([provider]), Tier.T2, owner=owner)
        assert (owner.spent.tokens > 0) is is_charged
        assert store.rows[RunId("r")] == (owner.spent, Spend())

    asyncio.run(main())


def test_a_turn_that_gives_up_before_it_is_asked_is_not_charged() -> None:
    async def main() -> None:
        owner, provider = account(), Slow(Tier.T2, terms=ModelTerms(max_parallel=1), usage=Usage(5, 5))
        models = Models([provider])
        turns = [asyncio.ensure_future(ask(models, Tier.T2, owner=owner)) for _ in range(2)]
        for _ in range(5):
            await asyncio.sleep(0)
        turns[1].cancel()
        provider.go_on.set()
        await turns[0]
        assert owner.spent.tokens == 10  # of the first

    asyncio.run(main())


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-RES-11"""
    monkeypatch.setattr(slots, "MAX_WAITING", 2)

    async def main() -> None:
        provider, owner = Slow(Tier.T2, terms=ModelTerms(max_parallel=1)), account()
        models = Models([provider])
        waiting = [asyncio.ensure_future(ask(models, Tier.T2, owner=owner)) for _ in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        before = owner.left
        with pytest.raises(BusyError):
            await ask(models, Tier.T2, owner=owner)
        assert owner.left == before
        provider.go_on.set()
        await asyncio.gather(*waiting)

    asyncio.run(main())


def test_text_is_heard_as_it_comes() -> None:
    async def main() -> list[str]:
        heard: list[str] = []
        provider = Slow(Tier.T2, says="piece")
        provider.go_on.set()
        await Models([provider]).complete(
            request({"n": 1}), (Tier.T2,), account=account(), deadline_s=1.0, on_text=heard.append
        )
        return heard

    assert asyncio.run(main()) == ["piece"]
