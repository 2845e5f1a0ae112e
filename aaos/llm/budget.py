"""What a run's turns may cost: tokens and money are held before a turn is asked, and settled with what it took.

Invariant: what is spent and held together stays within the run's limits; a turn that does not fit is a LimitError, and
no count that a provider gives can make the account grow. What is held is the most that the turn can take, no guess: of
what its provider has counted before, that count, and of everything else a token for each byte. What is held is written
before the turn is asked: a daemon that stops then finds it spent at its next start.
"""

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass

from aaos.core.errors import LimitError
from aaos.core.ids import AgentId, RunId
from aaos.core.ports import Spend, SpendStore
from aaos.llm.types import ModelTerms, Usage

BYTES_PER_TOKEN = 4  # of English text: a guess, of what a model's context still takes
OUTPUT_TOKENS = 16_384  # the most in one answer of a model of which no bound is known
MIN_OUTPUT_TOKENS = 256  # a turn that can answer less is not asked
PROVIDERS_OWN = 1_024  # tokens that a provider may add to a conversation: its own prompt for tools, and the like
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Charge:
    """What one turn took. `is_counted`: all that was held, as the provider's count was missing or can't be."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    is_counted: bool = False

    @property
    def spend(self) -> Spend:
        """As it counts against the run's limits."""
        return Spend(self.input_tokens + self.output_tokens, self.cost_usd)


@dataclass(frozen=True, slots=True)
class Counted:
    """A request of so many bytes, and how many tokens its provider counted in it."""

    size_bytes: int = 0
    tokens: int = PROVIDERS_OWN

    def most(self, size_bytes: int) -> int:
        """The most tokens in a request that goes on where this one ended: no token has less than a byte."""
        return self.tokens + size_bytes - self.size_bytes


NOTHING_COUNTED = Counted()


@dataclass(frozen=True, slots=True)
class Need:
    """What a turn needs: the most that its input can be, and the longest answer that its model may give."""

    size_bytes: int
    input_tokens: int
    output_tokens: int
    terms: ModelTerms

    @classmethod
    def of(cls, size_bytes: int, terms: ModelTerms, *, before: Counted, tokens_per_byte: float) -> "Need":
        """The need of a request of so many bytes, whose conversation was counted `before`."""
        if size_bytes < before.size_bytes:
            before = NOTHING_COUNTED
        longest = terms.max_output_tokens or OUTPUT_TOKENS
        if terms.context_tokens:
            about = math.ceil(size_bytes * tokens_per_byte)
            longest = min(longest, max(terms.context_tokens - about, MIN_OUTPUT_TOKENS))
        return cls(size_bytes, before.most(size_bytes), longest, terms)

    def spend(self, output_tokens: int) -> Spend:
        """The most that the turn takes when its answer has at most so many tokens."""
        return Spend(self.input_tokens + output_tokens, _cost_usd(self.terms, self.input_tokens, output_tokens))

    def longest_for(self, left: Spend) -> int:
        """How long the answer may be for what is left; negative when not even the input fits."""
        tokens = min(self.output_tokens, left.tokens - self.input_tokens)
        left_usd = left.cost_usd - _cost_usd(self.terms, self.input_tokens, 0)
        if left_usd < 0:
            return -1
        price_usd = self.terms.output_usd / _MILLION
        return min(tokens, math.floor(left_usd / price_usd)) if price_usd * tokens > left_usd else tokens


@dataclass(frozen=True, slots=True, eq=False)
class Hold:
    """What is held for one turn of `agent`; its answer may have `output_tokens`."""

    agent: AgentId
    need: Need
    output_tokens: int
    most: Spend

    def charge(self, usage: Usage, answer_bytes: int) -> Charge:
        """What the turn took by the provider's counts; what these don't say, or can't, is all that was held for it.

        An answer that is longer than it might have been is charged as it is.
        """
        told, is_told = _believed(usage.input_tokens, self.need.input_tokens, instead=self.need.input_tokens)
        most_out = 2 * self.output_tokens + answer_bytes
        said, is_said = _believed(usage.output_tokens, most_out, instead=self.output_tokens)
        cached, _ = _believed(usage.cached_tokens, told, instead=0)
        cost_usd = _cost_usd(self.need.terms, told, said, cached_tokens=cached)
        return Charge(told, said, cached, cost_usd, is_counted=not (is_told and is_said))


class Account:
    """One run's tokens and money, shared by all its agents."""

    def __init__(self, run: RunId, most: Spend, store: SpendStore) -> None:
        self.run = run
        self.spent = store.spent(run)
        self._most = most
        self._store = store
        self._holds: set[Hold] = set()
        self._counted: dict[AgentId, Counted] = {}  # the last turn of each conversation
        self._tokens_per_byte = 1 / BYTES_PER_TOKEN
        self._order = asyncio.Lock()
        self._freed = asyncio.Event()

    @property
    def left(self) -> Spend:
        """What is neither spent nor held."""
        held = _sum(self._holds)
        tokens = self._most.tokens - self.spent.tokens - held.tokens
        return Spend(tokens, self._most.cost_usd - self.spent.cost_usd - held.cost_usd)

    async def reserve(self, agent: AgentId, size_bytes: int, terms: ModelTerms) -> Hold:
        """Hold what a turn may take, its answer made as short as what is left asks for; turns under way that hold what
        it needs are waited for, in order. `size_bytes` is all of the agent's conversation, which only ever grows.
        Raises LimitError, StorageError.
        """
        async with self._order:
            hold = self._fitting(agent, size_bytes, terms)
            while hold.output_tokens < hold.need.output_tokens and self._holds:
                self._freed.clear()
                await self._freed.wait()
                hold = self._fitting(agent, size_bytes, terms)
            if hold.output_tokens < min(MIN_OUTPUT_TOKENS, hold.need.output_tokens):
                raise self._used_up(hold.need)
            self._holds.add(hold)
        try:
            self._write()
            if hold.most.cost_usd:
                await self._store.durable()
        except BaseException:
            self._free(hold)
            raise
        return hold

    def settle(self, hold: Hold, charge: Charge) -> None:
        """The turn has ended: what it took is spent, the rest is free again. Raises StorageError."""
        spend = charge.spend
        self.spent = Spend(self.spent.tokens + spend.tokens, self.spent.cost_usd + spend.cost_usd)
        self._learn(hold, charge)
        self._free(hold)
        self._write()

    def _learn(self, hold: Hold, charge: Charge) -> None:
        """What the provider counted is the bound of the conversation so far; what it did not is none."""
        if not charge.input_tokens:
            return  # nothing was asked
        self._counted.pop(hold.agent, None)
        if charge.is_counted or not hold.need.size_bytes:
            return
        self._counted[hold.agent] = Counted(hold.need.size_bytes, charge.input_tokens)
        self._tokens_per_byte = max(self._tokens_per_byte, min(charge.input_tokens / hold.need.size_bytes, 1.0))

    def _fitting(self, agent: AgentId, size_bytes: int, terms: ModelTerms) -> Hold:
        before = self._counted.get(agent, NOTHING_COUNTED)
        need = Need.of(size_bytes, terms, before=before, tokens_per_byte=self._tokens_per_byte)
        longest = need.longest_for(self.left)
        return Hold(agent, need, longest, need.spend(longest))

    def _free(self, hold: Hold) -> None:
        self._holds.discard(hold)
        self._freed.set()

    def _write(self) -> None:
        self._store.set_spent(self.run, self.spent, held=_sum(self._holds))

    def _used_up(self, need: Need) -> LimitError:
        """Which of both limits keeps the turn from being asked, and how much would let it be."""
        spent, whole = self.spent, need.spend(need.output_tokens)
        least = need.spend(min(MIN_OUTPUT_TOKENS, need.output_tokens))
        if least.tokens > self.left.tokens:
            message = f"the run may take {self._most.tokens} tokens: {spent.tokens} are spent, and the next turn can "
            message += f"take {least.tokens}, of them {need.input_tokens} for what it sends"
            return LimitError(message, f"submit again with more: --max-tokens {spent.tokens + whole.tokens}")
        message = f"the run may cost ${self._most.cost_usd:g}: ${spent.cost_usd:.4f} are spent"
        enough_usd = math.ceil((spent.cost_usd + whole.cost_usd) * 100) / 100
        return LimitError(
            f"{message}, and the next turn can cost ${least.cost_usd:.4f}",
            f"submit again with more: --max-usd {enough_usd:.2f}",
        )


class Accounts:
    """The accounts of the runs that run now."""

    def __init__(self, store: SpendStore) -> None:
        self._store = store
        self._open: dict[RunId, Account] = {}

    def of(self, run: RunId, most: Spend) -> Account:
        """The run's account; what an earlier daemon spent on the run, and held when it stopped, is spent."""
        account = self._open.get(run)
        if account is None:
            account = self._open[run] = Account(run, most, self._store)
        return account

    def forget(self, run: RunId) -> None:
        """The run has ended."""
        self._open.pop(run, None)


def _believed(count: int, most: int, *, instead: int) -> tuple[int, bool]:
    """The provider's count, when it is one that can be; whether it was."""
    can_be = type(count) is int and 0 < count <= most
    return (count, True) if can_be else (instead, False)


def _cost_usd(terms: ModelTerms, input_tokens: int, output_tokens: int, *, cached_tokens: int = 0) -> float:
    fresh_usd = (input_tokens - cached_tokens) * terms.input_usd
    cached_usd = cached_tokens * (terms.cached_usd or terms.input_usd)
    return (fresh_usd + cached_usd + output_tokens * terms.output_usd) / _MILLION


def _sum(holds: Iterable[Hold]) -> Spend:
    spends = [hold.most for hold in holds]
    return Spend(sum(spend.tokens for spend in spends), math.fsum(spend.cost_usd for spend in spends))
