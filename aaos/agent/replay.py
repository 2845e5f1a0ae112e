"""What an agent did in its earlier sessions, given back call by call, so that nothing of it is done again (BRK-8).

A resumed worker starts from the beginning, or from its last checkpoint. Its model's turns and its calls have durable
ids (agent, turn, index); so the n-th of them is answered from its row, until the rows are used up and it goes on.
Invariant: a recorded result is given only to the call with the same id and the same digest. Rows in, values out: pure.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from aaos.core import rpc
from aaos.core.errors import AaosError, DeniedError, ReplayError, StorageError
from aaos.core.ids import CallId
from aaos.core.ports import CallOutcome, CallRecord, CallRow, CallState, Evidence, Origin, WrittenFile
from aaos.llm import types as llm
from aaos.tools.brokered import ToolResult
from aaos.tools.caller import CallRequest

CHECKPOINT = "checkpoint"  # the row's role in the conversation's table
_DAMAGED = "submit the goal again: what is stored of this run cannot be read"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a worker kept, and the place in its calls at which it did: the turn, and the index of the next call."""

    data: str = ""
    turn: int = 0
    index: int = 0

    def to_bytes(self) -> bytes:
        """The body of its row."""
        return json.dumps({"data": self.data, "turn": self.turn, "index": self.index}).encode()


@dataclass(frozen=True, slots=True)
class Past:
    """The rows of one agent: its conversation, its calls in order, its last checkpoint."""

    messages: tuple[llm.Message, ...] = ()
    calls: tuple[CallRow, ...] = ()
    checkpoint: Checkpoint = Checkpoint()

    @property
    def unresolved(self) -> tuple[CallId, ...]:
        """The calls of which nobody knows what they did."""
        unknown = CallState.OUTCOME_UNKNOWN
        return tuple(row.record.call for row in self.calls if row.outcome and row.outcome.state is unknown)

    @property
    def results(self) -> Mapping[str, llm.ToolResultMessage]:
        """What the model is told of each call that has ended."""
        return {row.record.call: _told(row.record.call, row.outcome) for row in self.calls if row.outcome}


NOTHING = Past()
Digest = Callable[[str, Mapping[str, llm.Json]], str]  # of a call as a worker asks for it, as the gate writes it down


def read_past(rows: Iterable[tuple[str, bytes]], calls: Sequence[CallRow]) -> Past:
    """The past of an agent from its rows: (role, body) of each message, and its calls. Raises StorageError."""
    messages: list[llm.Message] = []
    checkpoint = Checkpoint()
    try:
        for role, body in rows:
            if role == CHECKPOINT:
                checkpoint = _checkpoint(body)
            else:
                messages.append(llm.from_bytes(body))
        if checkpoint.turn > sum(isinstance(message, llm.AssistantMessage) for message in messages):
            raise ValueError(f"a checkpoint of turn {checkpoint.turn}")
    except (AaosError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"a stored message cannot be read: {error!r}"[:300], _DAMAGED) from error
    return Past(tuple(messages), tuple(calls), checkpoint)


class Replay:
    """The recorded calls of one agent that its new worker has not asked for yet."""

    __slots__ = ("_digest", "_left")

    def __init__(self, past: Past = NOTHING, *, digest: Digest = lambda *_: "") -> None:
        begin = (past.checkpoint.turn, past.checkpoint.index)
        self._digest = digest
        self._left = {row.record.call: row for row in past.calls if _place(row.record) >= begin}

    def result(self, asked: CallRequest, *, is_passed: bool) -> ToolResult | AaosError | None:
        """How the call ended before; None when it is still to be made. `is_passed`: the agent went on without it then.

        Raises ReplayError when it was another call then, or none.
        """
        row = self._left.pop(asked.call, None)
        if row is None:
            return _not_then(asked) if is_passed else None
        if row.record.digest != self._digest(asked.tool, asked.args):
            raise _otherwise(f"call {asked.call} was {row.record.tool}, or had other arguments")
        if row.outcome is None:
            return None
        result = ToolResult(
            row.outcome.result, row.outcome.state is CallState.DONE, row.outcome.truncated, _written(row)
        )
        return _failure(row.outcome) or result

    def pass_turn(self, turn: int) -> None:
        """The worker leaves `turn` behind. Raises ReplayError when code of its own made a call there before."""
        for row in self._left.values():
            if row.record.origin is Origin.CODE and row.record.turn <= turn:
                raise _otherwise(f"it made call {row.record.call} ({row.record.tool}) then")


def _not_then(asked: CallRequest) -> DeniedError:
    if asked.origin is Origin.CODE:
        raise _otherwise(f"call {asked.call} ({asked.tool[:80]}) was not made then")
    remedy = "pass on each call of an answer when the model has given it"
    return DeniedError(f"call {asked.call} was passed over before agentd was restarted", remedy)


def _written(row: CallRow) -> WrittenFile | None:
    """The file that agentd published for a recorded call."""
    outcome = row.outcome
    if outcome is None or outcome.post_hash is None or outcome.size_bytes is None:
        return None
    return WrittenFile(json.loads(row.record.arguments)["path"], outcome.post_hash, outcome.size_bytes)


def _failure(outcome: CallOutcome) -> AaosError | None:
    """The error that a recorded call ended with; None when it ended with a result, good or bad."""
    if outcome.state is CallState.DONE or outcome.evidence is Evidence.REPORTED:
        return None
    return rpc.Failure(
        rpc.AAOS_ERROR, outcome.result, {"code": outcome.error_code, "remedy": outcome.remedy}
    ).to_error()


def _told(call: CallId, outcome: CallOutcome) -> llm.ToolResultMessage:
    is_ok = outcome.state is CallState.DONE
    error = _failure(outcome)
    text = outcome.result if error is None or not error.remedy else f"{outcome.result}\n{error.remedy}"
    return llm.ToolResultMessage(call, text, ok=is_ok, truncated=outcome.truncated)


def _place(record: CallRecord) -> tuple[int, int]:
    return record.turn, int(record.call.rpartition("-")[2])


def _checkpoint(body: bytes) -> Checkpoint:
    document = json.loads(body)
    return Checkpoint(str(document["data"]), int(document["turn"]), int(document["index"]))


def _otherwise(what: str) -> ReplayError:
    message = f"the program took another way than before agentd was restarted: {what}"
    return ReplayError(message, "make its calls depend on its inputs only, or keep its place with `checkpoint`")
