"""What a run's turns may cost: tokens and money are held before a turn is asked, and settled with what it took.

Invariant: what is spent and held together stays within the run's limits; a turn that does not fit is a LimitError, and
no count that a provider gives can make the account grow. What is held is written before the turn is asked: a daemon
that stops then finds it spent at its next start.
"""

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass

from aaos.core.errors import LimitError
from aaos.core.ids import RunId
from aaos.core.ports import Spend, SpendStore
from aaos.llm.types import ModelTerms, Usage

BYTES_PER_TOKEN = 4  # of English text; what the provider counts corrects it
OUTPUT_TOKENS = 16_384  # the most in one answer of a model of which no bound is known
MIN_OUTPUT_TOKENS = 256  # a turn that can answer less is not asked
_PROVIDERS_OWN = 10_000  # tokens that a provider may add: its prompt for tools, marks between messages
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Charge:
    """What one turn took. `is_counted`: by our own count, the provider's was missing or not to be believed."""

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
class Need:
    """What a turn needs: its input as it is estimated, and the longest answer that its model may give."""

    size_bytes: int
    input_tokens: int
    output_tokens: int
    terms: ModelTerms

    @classmethod
    def of(cls, size_bytes: int, terms: ModelTerms, *, tokens_per_byte: float) -> "Need":
        """The need of a request of so many bytes."""
        told = math.ceil(size_bytes * tokens_per_byte) or 1
        longest = terms.max_output_tokens or OUTPUT_TOKENS
        if terms.context_tokens:
            longest = min(longest, max(terms.context_tokens - told, MIN_OUTPUT_TOKENS))
        return cls(size_bytes, told, longest, terms)

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
    """What is held for one turn; its answer may have `output_tokens`."""

    need: Need
    output_tokens: int
    most: Spend

    def charge(self, usage: Usage, answer_bytes: int) -> Charge:
        """What the turn took by the provider's counts, or by ours where those can't be."""
        need = self.need
        most_in = 2 * need.size_bytes + _PROVIDERS_OWN
        told, is_told = _believed(usage.input_tokens, most_in, instead=need.input_tokens)
        most_out = 2 * self.output_tokens + answer_bytes
        said, is_said = _believed(usage.output_tokens, most_out, instead=math.ceil(answer_bytes / BYTES_PER_TOKEN) or 1)
        cached, _ = _believed(usage.cached_tokens, told, instead=0)
        cost_usd = _cost_usd(need.terms, told, said, cached_tokens=cached)
        return Charge(told, said, cached, cost_usd, is_counted=not (is_told and is_said))


class Account:
    """One run's tokens and money, shared by all its agents."""

    def __init__(self, run: RunId, most: Spend, store: SpendStore) -> None:
        self.run = run
        self.spent = store.spent(run)
        self._most = most
        self._store = store
        self._holds: set[Hold] = set()
        self._tokens_per_byte = 1 / BYTES_PER_TOKEN
        self._order = asyncio.Lock()
        self._freed = asyncio.Event()

    @property
    def left(self) -> Spend:
        """What is neither spent nor held."""
        held = _sum(self._holds)
        tokens = self._most.tokens - self.spent.tokens - held.tokens
        return Spend(tokens, self._most.cost_usd - self.spent.cost_usd - held.cost_usd)

    async def reserve(self, size_bytes: int, terms: ModelTerms) -> Hold:
        """Hold what a turn may take, its answer made as short as what is left asks for; turns under way that hold what
        it needs are waited for, in order. Raises LimitError, StorageError.
        """
        async with self._order:
            hold = self._fitting(size_bytes, terms)
            while hold.output_tokens < hold.need.output_tokens and self._holds:
                self._freed.clear()
                await self._freed.wait()
                hold = self._fitting(size_bytes, terms)
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
        if not charge.is_counted and hold.need.size_bytes:
            seen = min(charge.input_tokens / hold.need.size_bytes, 1.0)  # a token has at least a byte
            self._tokens_per_byte = max(self._tokens_per_byte, seen)
        self._free(hold)
        self._write()

    def _fitting(self, size_bytes: int, terms: ModelTerms) -> Hold:
        need = Need.of(size_bytes, terms, tokens_per_byte=self._tokens_per_byte)
        longest = need.longest_for(self.left)
        return Hold(need, longest, need.spend(longest))

    def _free(self, hold: Hold) -> None:
        self._holds.discard(hold)
        self._freed.set()

    def _write(self) -> None:
        self._store.set_spent(self.run, self.spent, held=_sum(self._holds))

    def _used_up(self, need: Need) -> LimitError:
        """Which of both limits keeps the turn from being asked."""
        left, least = self.left, need.spend(min(MIN_OUTPUT_TOKENS, need.output_tokens))
        if least.tokens > left.tokens:
            message = f"the run may take {self._most.tokens} tokens: {self.spent.tokens} are spent"
            return LimitError(
                f"{message}, and the next turn needs {least.tokens}", "submit again with more: --max-tokens N"
            )
        message = f"the run may cost ${self._most.cost_usd:g}: ${self.spent.cost_usd:.4f} are spent"
        return LimitError(
            f"{message}, and the next turn costs up to ${least.cost_usd:.4f}", "submit again with more: --max-usd X"
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
