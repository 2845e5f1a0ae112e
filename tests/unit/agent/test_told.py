"""What an agent is told of a call that did not go well."""

from aaos.agent.told import late, told
from aaos.core.errors import DeniedError, ToolError
from aaos.core.ids import CallId


def test_a_refusal_is_told_with_what_would_allow_it() -> None:
    assert told(DeniedError("no", "grant it")) == "no\ngrant it"
    assert told(ToolError("no")) == "no"


def test_a_late_call_is_told_with_its_time() -> None:
    error = late(CallId("a-1-2"), 2.5)
    assert error.message == "call a-1-2 was not done in 2.5 s"
    assert "limits.call_timeout_s" in error.remedy
