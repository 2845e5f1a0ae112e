"""What an agent is told of a call that did not go well. Pure.

Invariant: it is what happened and what would allow it, in agentd's own words.
"""

from aaos.core.errors import AaosError, LimitError
from aaos.core.ids import CallId


def late(call: CallId, timeout_s: float) -> LimitError:
    """The error of a call that took too long."""
    remedy = "ask for less at once, or raise limits.call_timeout_s"
    return LimitError(f"call {call} was not done in {timeout_s:g} s", remedy)


def told(error: AaosError) -> str:
    """A refusal or an error as the model reads it."""
    return f"{error.message}\n{error.remedy}" if error.remedy else error.message
