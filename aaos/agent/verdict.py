"""How an agent ended, from what agentd has of it.

Invariant: a model-driven agent's answer is the model's, as it was recorded; what its worker says of itself is none.
"""

from aaos.agent.service import AgentService
from aaos.agent.turns import Turns
from aaos.core.errors import AaosError, ToolError, WorkerLostError
from aaos.core.text import clip

RESULT_BYTES = 262_144


def verdict(service: AgentService, turns: Turns, *, entry: str) -> tuple[str, AaosError | None]:
    """The agent's answer, and what is wrong with its end."""
    if service.error is not None:
        return "", service.error
    if entry == "loop":
        if turns.answer is None:
            early = WorkerLostError("the worker finished before the model had answered", "submit the goal again")
            return "", turns.error or early
        return turns.answer, None
    text = service.finish.text if service.finish else ""
    text, _ = clip(text, RESULT_BYTES, hint="write long results to a file")
    if service.finish is None or not service.finish.ok:
        return text, _gave_up(service, text, entry)
    return text, None


def _gave_up(service: AgentService, text: str, entry: str) -> AaosError:
    """Why a program did not finish well: a fixed one because of the call that failed, in agentd's own words."""
    if not entry.startswith("scaffold:"):
        return ToolError(f"the program gave up: {text[:500]}", "see `agentd logs RUN`, then mend the program")
    return service.last_failure or ToolError(text[:500], "see what it did: agentd logs RUN")
