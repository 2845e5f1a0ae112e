"""The one door to every model: picks the provider by the role's ladder and bounds how many are asked at once.

Invariant: no provider is asked but through `complete`, at most `max_parallel` turns of one provider are under way, and
the waiting are served in the order they came; what waits longer than its caller allows is cancelled by the caller.
"""

import asyncio
from collections.abc import Sequence

from aaos.core.errors import BusyError, ProviderError
from aaos.core.role import Tier
from aaos.llm.types import ModelAnswer, ModelRequest, Provider

MAX_WAITING = 4_096


class Models:
    """The providers by tier. Within a tier the first one answers."""

    def __init__(self, providers: Sequence[Provider], *, max_parallel: int = 8) -> None:
        self._providers: dict[Tier, Provider] = {}
        for provider in providers:
            self._providers.setdefault(provider.tier, provider)
        self._slots = {tier: asyncio.Semaphore(max_parallel) for tier in self._providers}
        self._waiting = 0

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The tiers that somebody answers for."""
        return tuple(tier for tier in Tier if tier in self._providers)

    async def complete(self, request: ModelRequest, ladder: Sequence[Tier]) -> ModelAnswer:
        """The answer of the first tier of the ladder that is set up.

        Raises:
            ProviderError: no tier of the ladder is set up, or the provider could not answer.
            BusyError: too many turns wait already.
        """
        tier = next((tier for tier in ladder if tier in self._providers), None)
        if tier is None:
            wanted, have = ", ".join(ladder) or "none", ", ".join(self.tiers) or "none"
            raise ProviderError(
                f"role {request.role} needs a model of tier {wanted}, and those set up are: {have}",
                "add T0 to the role's `tiers`, or submit a goal that tier T0 understands (docs/goals.md)",
            )
        if self._waiting >= MAX_WAITING:
            raise BusyError(f"{MAX_WAITING} turns wait for a model already", "wait for runs to end: agentd list")
        self._waiting += 1
        try:
            await self._slots[tier].acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._providers[tier].complete(request)
        finally:
            self._slots[tier].release()
