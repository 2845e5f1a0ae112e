"""What the executor needs of the store: a Protocol, and the results it hands back.

Invariant: no implementation here. Each method of RunStore commits before it returns.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from aaos.core.errors import AaosError
from aaos.core.graph import Plan, RunState, SubtaskState
from aaos.core.ids import AgentId, RunId, SubtaskId


class RunStore(Protocol):
    """Rows of runs and subtasks; the run and a pending row for each subtask exist before it is executed."""

    def set_state(
        self, run: RunId, state: RunState, *, result: str | None = None, error: AaosError | None = None
    ) -> None: ...

    def extend_plan(self, run: RunId, plan: Plan) -> None:
        """`plan` begins with all subtasks of the present one; rows of the further ones are made."""

    def step(self) -> AbstractContextManager[None]:
        """What is written in it is committed together, or not at all."""

    def set_subtask(
        self,
        run: RunId,
        subtask: SubtaskId,
        state: SubtaskState,
        *,
        attempt: int,
        result: str | None = None,
        error: AaosError | None = None,
        agent: AgentId | None = None,
        is_resumed: bool = False,
        began_s: float | None = None,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class SubtaskEnd:
    """How a subtask ended; `text` is its result when it completed. Also given back to resume a run, then with the error
    of a subtask that failed."""

    state: SubtaskState
    text: str = ""
    attempt: int = 0
    error: AaosError | None = None


@dataclass(frozen=True, slots=True)
class Underway:
    """A subtask that an earlier daemon had begun: its last attempt, that attempt's agent, how many had failed, and when
    the agent first began (UTC, seconds)."""

    agent: AgentId
    attempt: int
    failures: int
    began_s: float


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended. `result` is the final subtask's, or after a failure the partial results, each with its name."""

    state: RunState
    result: str
    error: AaosError | None
    ends: Mapping[SubtaskId, SubtaskEnd] = field(default_factory=dict)
