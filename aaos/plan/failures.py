"""Failures of subtasks: which are worth another attempt, and which of several counts. Pure."""

from aaos.core.errors import (
    AaosError,
    ContractError,
    LimitError,
    PlanError,
    ProviderError,
    ToolError,
    WorkerLostError,
)
from aaos.core.role import Role, Tier

_WORTH_RETRY = (WorkerLostError, LimitError, PlanError, ProviderError, ToolError, ContractError)


def is_worth_retry(error: AaosError, role: Role) -> bool:
    """Whether the same subtask may end otherwise: not after a refusal, and not when code alone gave the answer."""
    if isinstance(error, ProviderError) and all(tier is Tier.T0 for tier in role.tiers):
        return False
    return isinstance(error, _WORTH_RETRY)


def first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception within, a typed error before others."""
    found = group.subgroup(AaosError) or group
    cause: BaseException = found
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return cause
