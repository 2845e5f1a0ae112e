"""Who calls a tool, what is asked for, and how both are written down.

Invariant: values only; a caller's roots were opened with its submitter's rights.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from aaos.core.envelope import Submitter
from aaos.core.ids import AgentId, CallId, RunId, SubtaskId
from aaos.core.ports import CallRecord, CallState, Origin, Root
from aaos.tools import admit
from aaos.tools.records import Draft
from aaos.tools.spec import Tool, route_of
from worker.abi import Json


async def at_once() -> None:
    """Of an agent that is never paused."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: an agent, what it works on, and the roots that were opened for it. Within `hold()` its deadlines
    stand; `going()` waits as long as it is paused."""

    run: RunId
    subtask: SubtaskId
    agent: AgentId
    submitter: Submitter
    roots: tuple[Root, ...]
    hold: Callable[[], AbstractContextManager[None]] = nullcontext
    going: Callable[[], Awaitable[None]] = at_once


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call whose provenance was checked. `call` is durable and unique in the machine."""

    call: CallId
    tool: str
    args: Mapping[str, Json]
    origin: Origin
    turn: int


def draft_of(caller: Caller, call: CallRequest, tool: Tool | None, arguments: str, *, path: str | None) -> Draft:
    """What is written down of a call."""
    name = call.tool[: admit.NAME_CHARS]
    record = CallRecord(
        call=call.call,
        run=caller.run,
        subtask=caller.subtask,
        agent=caller.agent,
        turn=call.turn,
        tool=name,
        origin=call.origin,
        arguments=arguments,
        digest=admit.digest(name, arguments),
        state=CallState.PERMITTED,
    )
    return Draft(record, "worker" if tool is None else route_of(tool), path)
