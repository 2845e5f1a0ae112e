"""A conversation with tier T0 over real files: the worker's own tools carry out what the provider asks for.

Arguments are checked by the catalog, as the gate does it; denials and failures can be put in place of results.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aaos.core.ids import AgentId, RoleName, SubtaskId
from aaos.llm.rules import answer
from aaos.llm.types import (
    AskedCall,
    AssistantMessage,
    Message,
    ModelAnswer,
    ModelRequest,
    Param,
    Stop,
    ToolResultMessage,
    UserMessage,
    from_bytes,
    to_bytes,
)
from aaos.tools.catalog import CATALOG
from worker.user.toolbox import Done, carry_out

MAX_TURNS = 200

Tool = Callable[[AskedCall], ToolResultMessage]


@dataclass
class Talk:
    """What was said. `text` is the last answer."""

    answer: ModelAnswer
    calls: list[AskedCall] = field(default_factory=list)
    turns: int = 0

    @property
    def text(self) -> str:
        return self.answer.text


def request(
    params: Mapping[str, Param], messages: Sequence[Message] = (), inputs: Mapping[str, str] | None = None
) -> ModelRequest:
    """A request of the analyzer's."""
    given = {SubtaskId(name): text for name, text in (inputs or {}).items()}
    task: tuple[Message, ...] = (UserMessage("the task"), *messages)
    return ModelRequest(AgentId("a-1"), RoleName("analyzer"), params, "system", task, (), given)


def converse(
    params: Mapping[str, Param],
    *,
    inputs: Mapping[str, str] | None = None,
    limit_bytes: int = 49_152,
    tool: Tool | None = None,
) -> Talk:
    """Turn after turn until the last answer. Ids are given anew, as the daemon does, and messages go through bytes."""
    messages: list[Message] = []
    calls: list[AskedCall] = []
    for turn in range(1, MAX_TURNS + 1):
        said = answer(request(params, messages, inputs))
        if said.stop is not Stop.CALLS:
            assert not said.calls
            return Talk(said, calls, turn)
        assert said.calls, "an answer that stops for calls has some"
        renamed = [AskedCall(f"a-1-{turn}-{at}", call.tool, call.args) for at, call in enumerate(said.calls)]
        calls += renamed
        made: list[Message] = [AssistantMessage(said.text, tuple(renamed))]
        made += [tool(call) if tool else done(call, limit_bytes) for call in renamed]
        messages += [from_bytes(to_bytes(message)) for message in made]
    raise AssertionError(f"no answer after {MAX_TURNS} turns; the last calls were {calls[-3:]}")


def done(call: AskedCall, limit_bytes: int = 49_152) -> ToolResultMessage:
    """The call carried out by the worker's tool, on files opened for it."""
    args = CATALOG[call.tool].input.model_validate(dict(call.args)).model_dump()
    path = Path(args["path"])
    if call.tool == "file_write":
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        files = [{"path": str(path), "use": "write", "fd": 0}]
    elif path.is_dir():
        fd, files = os.open(path, os.O_RDONLY), [{"path": str(path), "use": "root", "fd": -1}]
    elif not path.exists():
        return ToolResultMessage(call.id, f"no such file: {path}", ok=False)
    else:
        fd, files = os.open(path, os.O_RDONLY), [{"path": str(path), "use": "read", "fd": 0}]
    try:
        result: Done = carry_out({"tool": call.tool, "args": args, "files": files, "limit_bytes": limit_bytes}, [fd])
    finally:
        os.close(fd)
    return ToolResultMessage(call.id, result.text, ok=result.ok, truncated=result.truncated)


def refused(text: str) -> Tool:
    """A tool that is always denied."""
    return lambda call: ToolResultMessage(call.id, text, ok=False)
