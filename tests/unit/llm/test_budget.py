"""Tokens and money of a run: held before, settled after, never overdrawn."""

import asyncio
import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.core.errors import LimitError, StorageError
from aaos.core.ids import AgentId, RunId
from aaos.core.ports import Spend
from aaos.llm.budget import MIN_OUTPUT_TOKENS, OUTPUT_TOKENS, PROVIDERS_OWN, Account, Accounts, Charge, Hold
from aaos.llm.types import ModelTerms, Usage
from tests.fakes import MemorySpends, account

PRICED = ModelTerms(context_tokens=100_000, max_output_tokens=1_000, input_usd=2, cached_usd=0.5, output_usd=10)
FREE = ModelTerms(max_output_tokens=1_000)
AGENT = AgentId("a-1")
MOST = 4_000 + PROVIDERS_OWN  # tokens in a first request of 4,000 bytes


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def held(size_bytes: int = 4_000, terms: ModelTerms = PRICED) -> Hold:
    return asyncio.run(account().reserve(AGENT, size_bytes, terms))


def test_a_first_turn_is_held_at_a_token_for_each_byte_and_the_longest_answer() -> None:
    """LLM-4: no text has more tokens than bytes."""
    hold = held()
    assert (hold.need.input_tokens, hold.output_tokens) == (MOST, 1_000)
    assert hold.most == Spend(MOST + 1_000, (MOST * 2 + 1_000 * 10) / 1e6)


def test_what_a_provider_has_counted_is_held_as_counted_and_only_what_is_new_by_its_bytes() -> None:
    """LLM-4: of this conversation; another's is not known."""

    async def main() -> None:
        owner = account()
        hold = await owner.reserve(AGENT, 4_000, FREE)
        owner.settle(hold, hold.charge(Usage(900, 20), 4))
        assert (await owner.reserve(AGENT, 4_500, FREE)).need.input_tokens == 900 + 500
        assert (await owner.reserve(AgentId("a-2"), 4_000, FREE)).need.input_tokens == MOST
        assert (await owner.reserve(AGENT, 3_999, FREE)).need.input_tokens == MOST - 1

    asyncio.run(main())


@pytest.mark.parametrize("usage", [Usage(), Usage(MOST + 1, 5), Usage(-1, 5), Usage(900, 0)])
def test_what_was_not_counted_is_no_bound_of_what_follows(usage: Usage) -> None:
    """LLM-4, H-LLM-09"""

    async def main() -> None:
        owner = account()
        for counts in (Usage(900, 20), usage):
            hold = await owner.reserve(AGENT, 4_000, FREE)
            owner.settle(hold, hold.charge(counts, 4))
        owner.settle(await owner.reserve(AGENT, 4_000, FREE), Charge())  # which was never asked
        assert (await owner.reserve(AGENT, 4_000, FREE)).need.input_tokens == MOST

    asyncio.run(main())


@pytest.mark.parametrize(
    ("terms", "longest"),
    [
        (ModelTerms(), OUTPUT_TOKENS),
        (ModelTerms(max_output_tokens=50), 50),
        (ModelTerms(context_tokens=3_000, max_output_tokens=9_000), 2_000),
        (ModelTerms(context_tokens=500), MIN_OUTPUT_TOKENS),
        (ModelTerms(context_tokens=4_000, max_output_tokens=900), 900),
    ],
)
def test_an_answer_is_never_longer_than_the_model_may_give(terms: ModelTerms, longest: int) -> None:
    """H-LLM-15"""
    assert held(terms=terms).output_tokens == longest


@pytest.mark.parametrize("count", [0, -1, -(10**18), 10**18, 10**400, 1.5, 1e300, float("nan"), True, None, "7"])
def test_for_counts_that_cannot_be_all_that_was_held_is_charged(count: Any) -> None:  # Any: what JSON may bring
    """H-LLM-09"""
    hold = held()
    charge = hold.charge(Usage(count, count, count), answer_bytes=400)
    assert charge == Charge(MOST, 1_000, 0, hold.most.cost_usd, is_counted=True)
    assert hold.charge(Usage(count, 50), answer_bytes=400).output_tokens == 50
    assert hold.charge(Usage(900, count), answer_bytes=400).input_tokens == 900


@given(st.integers(), st.integers(), st.integers(), st.integers(0, 10**7))
def test_no_count_makes_a_negative_or_boundless_charge(told: int, said: int, cached: int, answer_bytes: int) -> None:
    """H-LLM-09"""
    charge = held().charge(Usage(told, said, cached), answer_bytes)
    assert 0 < charge.input_tokens <= MOST
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


@dataclass(frozen=True)
class Move:
    """A turn of one of three conversations begins, or ends with what its provider says of it."""

    agent: int
    new_bytes: int
    density: float  # tokens for each new byte: a provider has at most one
    own: int
    said: int
    counts: str


MOVES = st.builds(
    Move,
    agent=st.integers(0, 2),
    new_bytes=st.integers(1, 20_000),
    density=st.floats(0, 1),
    own=st.integers(0, PROVIDERS_OWN),
    said=st.integers(1, 2_000),
    counts=st.sampled_from(["true", "true", "true", "none", "cut off", "too much", "too little", "never asked"]),
)


@given(st.lists(MOVES, max_size=60), st.integers(1, 90_000), st.floats(0.0001, 0.3))
@settings(max_examples=150)
def test_a_run_never_spends_more_than_it_may(moves: list[Move], tokens: int, cost_usd: float) -> None:
    """LLM-4, H-LLM-15: with any text, turns side by side, and whatever is said of their input. `billed` is what
    providers could ask for that keep to the answer's bound and never said less than they counted."""

    async def main() -> None:
        owner = account(tokens=tokens, cost_usd=cost_usd)
        size_bytes, true_tokens, own = [0, 0, 0], [0, 0, 0], [0, 0, 0]
        under_way: dict[int, tuple[Hold, int]] = {}
        billed, liars = 0, set[int]()
        for move in moves:
            at = move.agent
            if at not in under_way:
                own[at] = own[at] or move.own
                size_bytes[at] += move.new_bytes
                true_tokens[at] += math.floor(move.new_bytes * move.density)
                try:
                    under_way[at] = (await begin(owner, at, size_bytes[at]), max(1, true_tokens[at] + own[at]))
                except LimitError:
                    size_bytes[at] -= move.new_bytes
                    true_tokens[at] -= math.floor(move.new_bytes * move.density)
            else:
                hold, told = under_way.pop(at)
                said = min(move.said, hold.output_tokens)
                ended(owner, hold, told, said=said, counts=move.counts)
                liars |= {at} if move.counts == "too little" else set()
                billed += 0 if at in liars or move.counts == "never asked" else told + said
            left = owner.left
            assert min(left.tokens, tokens - owner.spent.tokens) >= 0
            assert min(left.cost_usd, cost_usd - owner.spent.cost_usd) >= -1e-9
            assert billed <= owner.spent.tokens

    asyncio.run(main())


async def begin(owner: Account, at: int, size_bytes: int) -> Hold:
    """The turn, or LimitError: also when it would wait for others, which here nobody ends meanwhile."""
    reserving = asyncio.ensure_future(owner.reserve(AgentId(f"a-{at}"), size_bytes, PRICED))
    await settled()
    if not reserving.done():
        reserving.cancel()
        await asyncio.gather(reserving, return_exceptions=True)
        raise LimitError("waits", "end others")
    return reserving.result()


def ended(owner: Account, hold: Hold, told: int, *, said: int, counts: str) -> None:
    """Settles the turn by what its provider says."""
    if counts == "never asked":
        owner.settle(hold, Charge())
        return
    usage = {
        "true": Usage(told, said),
        "none": Usage(),
        "cut off": Usage(),
        "too much": Usage(10**7, said),
        "too little": Usage(1, said),
    }[counts]
    owner.settle(hold, hold.charge(usage, 0 if counts == "cut off" else said))


@pytest.mark.parametrize(
    ("tokens", "cost_usd", "flag"),
    [
        (MOST + 100, 1.0, "--max-tokens 6024"),
        (10**6, 0.003, "--max-usd 0.03"),
        (1, 1e-9, "--max-tokens 6024"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_flag_that_allows_it(tokens: int, cost_usd: float, flag: str) -> None:
    """LLM-4: a typed refusal, which names how much lets the turn be asked, with its whole answer."""
    owner = account(tokens=tokens, cost_usd=cost_usd)
    with pytest.raises(LimitError) as caught:
        asyncio.run(owner.reserve(AGENT, 4_000, PRICED))
    assert caught.value.remedy.endswith(flag)
    assert owner.spent == Spend()
    enough = account(tokens=6_024, cost_usd=0.03)
    assert asyncio.run(enough.reserve(AGENT, 4_000, PRICED)).output_tokens == 1_000


@pytest.mark.parametrize(("tokens", "cost_usd"), [(MOST + 500, 1.0), (10**6, (MOST * 2 + 500 * 10) / 1e6 + 5e-6)])
def test_the_last_answer_is_made_as_short_as_what_is_left(tokens: int, cost_usd: float) -> None:
    hold = asyncio.run(account(tokens=tokens, cost_usd=cost_usd).reserve(AGENT, 4_000, PRICED))
    assert hold.output_tokens == 500


def test_a_turn_waits_for_those_that_hold_what_it_needs() -> None:
    """LLM-4: many turns side by side are not refused for what others only might take."""

    async def main() -> None:
        owner = account(tokens=2 * (MOST + 1_000) + 500)
        first, second = [await owner.reserve(AgentId(name), 4_000, FREE) for name in ("a-1", "a-2")]
        third = asyncio.ensure_future(owner.reserve(AgentId("a-3"), 4_000, FREE))
        fourth = asyncio.ensure_future(owner.reserve(AgentId("a-4"), 4_000, FREE))
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
        owner = account(tokens=MOST + 1_500, store=store)
        hold = await owner.reserve(AGENT, 4_000, FREE)
        waiting = [asyncio.ensure_future(owner.reserve(AGENT, 4_000, FREE)) for _ in range(3)]
        await settled()
        for task in waiting:
            task.cancel()
        await settled()
        owner.settle(hold, Charge())
        assert store.rows[RunId("r")] == (Spend(), Spend())
        assert (await owner.reserve(AGENT, 4_000, FREE)).output_tokens == 1_000

    asyncio.run(main())


def test_what_is_held_is_written_before_the_turn_and_what_it_took_after() -> None:
    """RUN-8: money is on the disk before it can be spent."""

    async def main() -> None:
        store = MemorySpends()
        owner = account(store=store)
        hold = await owner.reserve(AGENT, 4_000, PRICED)
        assert store.rows[RunId("r")] == (Spend(), hold.most)
        assert store.synced == 1
        owner.settle(hold, hold.charge(Usage(900, 20), 4))
        assert store.rows[RunId("r")] == (Spend(920, (900 * 2 + 20 * 10) / 1e6), Spend())
        await owner.reserve(AGENT, 4_000, FREE)
        assert store.synced == 1

    asyncio.run(main())


def test_what_cannot_be_written_is_not_held() -> None:
    """RUN-8: no row, no act."""

    class Full(MemorySpends):
        async def durable(self) -> None:
            raise StorageError("full", "free space")

    async def main() -> None:
        owner = account(tokens=MOST + 1_500, store=Full())
        with pytest.raises(StorageError):
            await owner.reserve(AGENT, 4_000, PRICED)
        assert (await owner.reserve(AGENT, 4_000, FREE)).output_tokens == 1_000

    asyncio.run(main())


def test_what_a_stopped_daemon_held_is_spent() -> None:
    """RUN-8, BRK-8: nobody can say that it was not."""

    async def main() -> None:
        store = MemorySpends()
        hold = await account(store=store).reserve(AGENT, 4_000, PRICED)
        assert account(store=store).spent == hold.most

    asyncio.run(main())


def test_dense_text_leaves_less_of_the_context_for_an_answer() -> None:
    """H-LLM-15: text of two bytes a token is not taken for English twice."""
    terms = ModelTerms(context_tokens=2_600, max_output_tokens=1_000)

    async def main() -> None:
        owner = account()
        hold = await owner.reserve(AGENT, 4_000, FREE)
        owner.settle(hold, hold.charge(Usage(2_000, 10), 4))
        assert (await owner.reserve(AGENT, 4_000, terms)).output_tokens == 600

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
