"""The one door to every model: picks the provider by the role's ladder, holds what the turn may cost, waits for a slot.

Invariant: no provider is asked but through `complete`, for no turn that the run's account does not hold, and for at
most `terms.max_parallel` turns at once; what waits longer than its caller allows is cancelled by the caller. Tier T0 is
code: it costs nothing and is not charged.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from aaos.core.errors import ProviderError
from aaos.core.role import Tier
from aaos.llm.budget import Account, Charge, Hold
from aaos.llm.slots import Slots
from aaos.llm.types import AssistantMessage, ModelAnswer, ModelRequest, OnText, Provider, Usage, to_bytes

OnWait = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, who gave it, and what it took."""

    answer: ModelAnswer
    model: str
    tier: Tier
    charge: Charge


@dataclass(slots=True)
class _Ears:
    """Passes on what is heard of an answer, and counts it: what came before a turn broke off was paid for."""

    on_text: OnText | None
    heard_bytes: int = 0

    def __call__(self, piece: str) -> None:
        self.heard_bytes += len(piece.encode("utf-8", "replace"))
        if self.on_text is not None:
            self.on_text(piece)


class Models:
    """The providers by tier. Within a tier the first one answers."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers: dict[Tier, Provider] = {}
        for provider in providers:
            self._providers.setdefault(provider.tier, provider)
        self._slots = {tier: Slots(one.name, one.terms.max_parallel) for tier, one in self._providers.items()}

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The tiers that somebody answers for."""
        return tuple(tier for tier in Tier if tier in self._providers)

    async def complete(
        self,
        request: ModelRequest,
        ladder: Sequence[Tier],
        *,
        account: Account,
        deadline_s: float,
        on_text: OnText | None = None,
        on_wait: OnWait | None = None,
    ) -> Answered:
        """The answer of the first tier of the ladder that is set up.

        `deadline_s`, on the monotonic clock, is when the caller gives up: who has less time left goes first. `on_text`
        hears the answer as it comes, `on_wait` why the turn waits, when it does so for a while.

        Raises:
            ProviderError: no tier of the ladder is set up, or the provider could not answer.
            LimitError: the run's tokens or money are used up.
            BusyError: too many turns wait already.
        """
        tier = next((tier for tier in ladder if tier in self._providers), None)
        if tier is None:
            raise self._not_set_up(request, ladder)
        provider, slots = self._providers[tier], self._slots[tier]
        slot = slots.taken(account.run, deadline_s=deadline_s, on_wait=on_wait)
        if tier is Tier.T0:
            async with slot:
                return Answered(await provider.complete(request, on_text=on_text), provider.name, tier, Charge())
        hold = await account.reserve(request.agent, request.size_bytes, provider.terms)
        bounded = replace(request, max_output_tokens=hold.output_tokens)
        answer, charge = await _paid(provider, bounded, slot, account=account, hold=hold, ears=_Ears(on_text))
        return Answered(answer, provider.name, tier, charge)

    def _not_set_up(self, request: ModelRequest, ladder: Sequence[Tier]) -> ProviderError:
        wanted, have = ", ".join(ladder) or "none", ", ".join(self.tiers) or "none"
        return ProviderError(
            f"role {request.role} needs a model of tier {wanted}, and those set up are: {have}",
            "add T0 to the role's `tiers`, or submit a goal that tier T0 understands (docs/goals.md)",
        )


async def _paid(
    provider: Provider,
    request: ModelRequest,
    slot: AbstractAsyncContextManager[None],
    *,
    account: Account,
    hold: Hold,
    ears: _Ears,
) -> tuple[ModelAnswer, Charge]:
    """The answer, and what was charged for it; what a turn without an answer took is charged as well."""
    charge = Charge()  # nothing, until it is asked
    try:
        async with slot:
            charge = hold.charge(Usage(), 0)
            try:
                answer = await provider.complete(request, on_text=ears)
            except ProviderError:
                charge = hold.charge(Usage(), ears.heard_bytes) if ears.heard_bytes else Charge()
                raise
            charge = hold.charge(answer.usage, _size_bytes(answer))
            return answer, charge
    finally:
        account.settle(hold, charge)


def _size_bytes(answer: ModelAnswer) -> int:
    return len(to_bytes(AssistantMessage(answer.text, answer.calls)))
