"""Which failures are worth another attempt, and which of several counts."""

from dataclasses import replace

import pytest

from aaos.core.errors import AaosError, ConfinementError, DeniedError, LimitError, ProviderError, WorkerLostError
from aaos.core.role import Tier
from aaos.plan.failures import first_cause, is_worth_retry
from tests.unit.plan.pretend import PLAIN


@pytest.mark.parametrize(("error", "tiers", "is_worth"), [
    (WorkerLostError("lost"), (Tier.T0,), True),
    (LimitError("late"), (Tier.T0,), True),
    (ProviderError("no answer"), (Tier.T1,), True),
    (ProviderError("no answer"), (Tier.T0,), False),
    (ProviderError("no answer"), (Tier.T0, Tier.T1), True),
    (DeniedError("not granted"), (Tier.T1,), False),
    (ConfinementError("has drifted"), (Tier.T1,), False),
])  # fmt: skip
def test_what_could_end_otherwise_is_tried_again(error: AaosError, tiers: tuple[Tier, ...], is_worth: bool) -> None:
    """RUN-4: neither a refusal nor a breach of the wall, nor what code answered."""
    assert is_worth_retry(error, replace(PLAIN, tiers=tiers)) is is_worth


def test_a_typed_error_counts_before_others_however_deep_it_is() -> None:
    typed = LimitError("late")
    other = ValueError("odd")
    assert first_cause(ExceptionGroup("x", [other, ExceptionGroup("y", [typed])])) is typed
    assert first_cause(ExceptionGroup("x", [ExceptionGroup("y", [other])])) is other
