"""Tokens and money of a run: held before, settled after, never overdrawn."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.core.errors import LimitError, StorageError
from aaos.core.ids import RunId
from aaos.core.ports import Spend
from aaos.llm.budget import MIN_OUTPUT_TOKENS, OUTPUT_TOKENS, Account, Accounts, Charge, Hold
from aaos.llm.types import ModelTerms, Usage
from tests.fakes import MemorySpends, account

PRICED = ModelTerms(context_tokens=100_000, max_output_tokens=1_000, input_usd=2, cached_usd=0.5, output_usd=10)
FREE = ModelTerms(max_output_tokens=1_000)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def held(size_bytes: int = 4_000, terms: ModelTerms = PRICED) -> Hold:
    return asyncio.run(account().reserve(size_bytes, terms))


def test_what_is_held_is_the_input_as_estimated_and_the_longest_answer() -> None:
    hold = held()
    assert (hold.need.input_tokens, hold.output_tokens) == (1_000, 1_000)
    assert hold.most == Spend(2_000, (1_000 * 2 + 1_000 * 10) / 1e6)


@pytest.mark.parametrize(
    ("terms", "longest"),
    [
        (ModelTerms(), OUTPUT_TOKENS),
        (ModelTerms(max_output_tokens=50), 50),
        (ModelTerms(context_tokens=3_000, max_output_tokens=9_000), 2_000),
        (ModelTerms(context_tokens=500), MIN_OUTPUT_TOKENS),
    ],
)
def test_an_answer_is_never_longer_than_the_model_may_give(terms: ModelTerms, longest: int) -> None:
    """H-LLM-15"""
    assert held(terms=terms).output_tokens == longest


@pytest.mark.parametrize("count", [0, -1, -(10**18), 10**18, 10**400, 1.5, 1e300, float("nan"), True, None, "7"])
def test_counts_that_cannot_be_are_replaced_by_our_own(count: Any) -> None:  # Any: what JSON may bring
    """H-LLM-09"""
    hold = held()
    charge = hold.charge(Usage(count, count, count), answer_bytes=400)
    assert charge == Charge(1_000, 100, 0, (1_000 * 2 + 100 * 10) / 1e6, is_counted=True)
    assert hold.charge(Usage(count, 50), answer_bytes=400).output_tokens == 50
    assert hold.charge(Usage(900, count), answer_bytes=400).input_tokens == 900


@given(st.integers(), st.integers(), st.integers(), st.integers(0, 10**7))
def test_no_count_makes_a_negative_or_boundless_charge(told: int, said: int, cached: int, answer_bytes: int) -> None:
    """H-LLM-09"""
    charge = held().charge(Usage(told, said, cached), answer_bytes)
    assert 0 < charge.input_tokens <= 2 * 4_000 + 10_000
    assert 0 < charge.output_tokens <= 2 * 1_000 + answer_bytes
    assert 0 <= charge.cached_tokens <= charge.input_tokens
    assert 0 < charge.cost_usd < 1e3


def test_more_cached_than_sent_is_not_believed() -> None:
    """H-LLM-09: else a turn would cost less than nothing."""
    charge = held().charge(Usage(1_000, 10, 50_000), answer_bytes=1)
    assert charge.cached_tokens == 0
    assert charge.cost_usd == pytest.approx((1_000 * 2 + 10 * 10) / 1e6)


def test_a_cached_token_without_a_price_costs_what_any_costs() -> None:
    terms = ModelTerms(input_usd=3)
    assert held(terms=terms).charge(Usage(1_000, 1, 500), 1).cost_usd == pytest.approx(0.003)


@given(st.lists(st.tuples(st.integers(0, 50_000), st.integers(0, 1_000)), max_size=40), st.integers(1, 60_000))
@settings(max_examples=60)
def test_a_run_never_spends_more_than_it_may(turns: list[tuple[int, int]], tokens: int) -> None:
    """LLM-4, H-LLM-15: with a provider that keeps to the answer's bound and counts input as we do."""

    async def main() -> None:
        owner = account(tokens=tokens, cost_usd=0.02)
        for size_bytes, said in turns:
            try:
                hold = await owner.reserve(size_bytes, PRICED)
            except LimitError:
                continue
            told = max(1, hold.need.input_tokens)
            owner.settle(hold, hold.charge(Usage(told, max(1, min(said, hold.output_tokens))), 4))
            assert owner.spent.tokens <= tokens
            assert owner.spent.cost_usd <= 0.02 + 1e-12

    asyncio.run(main())


@pytest.mark.parametrize(
    ("tokens", "cost_usd", "flag"),
    [(1_100, 1.0, "--max-tokens"), (10**6, 0.003, "--max-usd"), (1, 1e-9, "--max-tokens")],
)
def test_what_does_not_fit_is_refused_with_the_flag_that_allows_it(tokens: int, cost_usd: float, flag: str) -> None:
    """LLM-4: a typed refusal."""
    owner = account(tokens=tokens, cost_usd=cost_usd)
    with pytest.raises(LimitError) as caught:
        asyncio.run(owner.reserve(4_000, PRICED))
    assert flag in caught.value.remedy
    assert owner.spent == Spend()


@pytest.mark.parametrize(("tokens", "cost_usd"), [(1_500, 1.0), (10**6, 0.007_005)])
def test_the_last_answer_is_made_as_short_as_what_is_left(tokens: int, cost_usd: float) -> None:
    hold = asyncio.run(account(tokens=tokens, cost_usd=cost_usd).reserve(4_000, PRICED))
    assert hold.output_tokens == 500


def test_a_turn_waits_for_those_that_hold_what_it_needs() -> None:
    """LLM-4: many turns side by side are not refused for what others only might take."""

    async def main() -> None:
        owner = account(tokens=4_500)
        first, second = [await owner.reserve(4_000, FREE) for _ in range(2)]
        third = asyncio.ensure_future(owner.reserve(4_000, FREE))
        fourth = asyncio.ensure_future(owner.reserve(4_000, FREE))
        await settled()
        assert not third.done()
        owner.settle(first, first.charge(Usage(100, 10), 4))
        await settled()
        assert (third.done(), fourth.done()) == (True, False)
        owner.settle(second, second.charge(Usage(100, 10), 4))
        await settled()
        assert (await third).output_tokens == (await fourth).output_tokens == 1_000

    asyncio.run(main())


def test_one_who_gives_up_waiting_holds_nothing() -> None:
    async def main() -> None:
        store = MemorySpends()
        owner = account(tokens=2_500, store=store)
        hold = await owner.reserve(4_000, FREE)
        waiting = [asyncio.ensure_future(owner.reserve(4_000, FREE)) for _ in range(3)]
        await settled()
        for task in waiting:
            task.cancel()
        await settled()
        owner.settle(hold, Charge())
        assert store.rows[RunId("r")] == (Spend(), Spend())
        assert (await owner.reserve(4_000, FREE)).output_tokens == 1_000

    asyncio.run(main())


def test_what_is_held_is_written_before_the_turn_and_what_it_took_after() -> None:
    """RUN-8: money is on the disk before it can be spent."""

    async def main() -> None:
        store = MemorySpends()
        owner = account(store=store)
        hold = await owner.reserve(4_000, PRICED)
        assert store.rows[RunId("r")] == (Spend(), hold.most)
        assert store.synced == 1
        owner.settle(hold, hold.charge(Usage(900, 20), 4))
        assert store.rows[RunId("r")] == (Spend(920, (900 * 2 + 20 * 10) / 1e6), Spend())
        await owner.reserve(4_000, FREE)
        assert store.synced == 1

    asyncio.run(main())


def test_what_cannot_be_written_is_not_held() -> None:
    """RUN-8: no row, no act."""

    class Full(MemorySpends):
        async def durable(self) -> None:
            raise StorageError("full", "free space")

    async def main() -> None:
        owner = account(tokens=2_500, store=Full())
        with pytest.raises(StorageError):
            await owner.reserve(4_000, PRICED)
        assert (await owner.reserve(4_000, FREE)).output_tokens == 1_000

    asyncio.run(main())


def test_what_a_stopped_daemon_held_is_spent() -> None:
    """RUN-8, BRK-8: nobody can say that it was not."""

    async def main() -> None:
        store = MemorySpends()
        hold = await account(store=store).reserve(4_000, PRICED)
        assert account(store=store).spent == hold.most

    asyncio.run(main())


def test_dense_text_is_estimated_by_what_the_provider_counted() -> None:
    """H-LLM-15: text of two bytes a token is not taken for English twice."""

    async def main() -> None:
        owner = account()
        hold = await owner.reserve(4_000, FREE)
        owner.settle(hold, hold.charge(Usage(2_000, 10), 4))
        assert (await owner.reserve(4_000, FREE)).need.input_tokens == 2_000

    asyncio.run(main())


def test_all_agents_of_a_run_share_one_account() -> None:
    """LLM-4"""
    accounts = Accounts(MemorySpends())
    one = accounts.of(RunId("r"), Spend(1, 1))
    assert accounts.of(RunId("r"), Spend(1, 1)) is one
    accounts.forget(RunId("r"))
    accounts.forget(RunId("never"))
    assert isinstance(accounts.of(RunId("r"), Spend(1, 1)), Account)
    assert accounts.of(RunId("r"), Spend(1, 1)) is not one
