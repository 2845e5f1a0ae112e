"""The model's turns of one agent: compose, commit, ask, commit, hand out the calls (BRK-3, LLM-2).

Invariant: nothing is sent to a provider that is not committed; only a finished answer yields calls; how a model-driven
agent ends is what the model's recorded answer says, not what the worker says of it.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, assert_never

from aaos.agent.asked import AskedCalls
from aaos.agent.context import Context
from aaos.agent.pause import Pause
from aaos.core.errors import AaosError, DeniedError, LimitError, ProviderError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ids import RunId, SubtaskId
from aaos.core.ports import AuditSink
from aaos.core.role import Tier
from aaos.llm import types as llm
from aaos.llm.budget import Account
from aaos.llm.schedule import Answered
from aaos.tools.pieces import Pieces

MAX_CALLS_PER_ANSWER = 64
MAX_VAIN_TURNS = 8
TOOL_MARKS_BYTES = 64  # what stands around a tool that a model is told of
TOO_MANY = f"This call was not made: one answer may ask for at most {MAX_CALLS_PER_ANSWER} calls."


class ModelDoor(Protocol):
    """The one door to every model. Raises ProviderError, LimitError, BusyError."""

    async def complete(
        self,
        request: llm.ModelRequest,
        ladder: tuple[Tier, ...],
        *,
        account: Account,
        deadline_s: float,
        on_text: llm.OnText | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> Answered: ...


@dataclass(frozen=True, slots=True)
class TurnTerms:
    """Limits of the model's turns. `request` is the model's request without its messages, `account` is the run's."""

    run: RunId
    subtask: SubtaskId
    request: llm.ModelRequest
    ladder: tuple[Tier, ...]
    account: Account
    max_turns: int
    timeout_s: float  # of all turns together
    pause: Pause = field(default_factory=Pause)


class Turns:
    """The turns of one agent. `answer` is set by a final answer, `error` by whatever ends them without one."""

    def __init__(
        self,
        terms: TurnTerms,
        context: Context,
        *,
        asked: AskedCalls,
        models: ModelDoor,
        audit: AuditSink,
        note: Callable[[Event], None],
    ) -> None:
        self._terms = terms
        self._context = context
        self._asked = asked
        self._models = models
        self._audit = audit
        self._pieces = Pieces(self._says(note))
        self._deadline_s = terms.pause.time_s() + terms.timeout_s
        self._tools_bytes = sum(map(_size_bytes, terms.request.tools))
        self._vain_turns = 0  # in a row, whose calls were all refused
        self._is_vain = False
        self.answer: str | None = None
        self.error: AaosError | None = None

    @property
    def count(self) -> int:
        """Turns begun so far."""
        return self._asked.turn

    def again(self) -> Mapping[str, object] | None:
        """The reply of a turn that an earlier session had got already: the model is not asked twice (BRK-8)."""
        message = self._context.again()
        if message is None:
            return None
        self._count_vain()
        self._asked.begin_turn()
        for call in message.calls:
            self._named(call)
        return self._handed_out(message)

    def begin(self) -> llm.ModelRequest:
        """A new turn, committed and ready to be sent.

        Raises DeniedError when the role has no model, LimitError when its turns are used up or in vain.
        """
        if not self._terms.ladder:
            remedy = "a program answers without a model; name a `tiers` ladder in the role to give it one"
            raise DeniedError(f"role {self._terms.request.role} has no model", remedy)
        if self.error is not None:
            raise self.error
        self._check_vain()
        if self._asked.turn >= self._terms.max_turns:
            remedy = "raise `iterations` of the role, or limits.max_turns, or ask for less in one subtask"
            self._record(EventKind.LIMIT_REACHED, limit="turns", value=self._terms.max_turns)
            self.error = LimitError(f"{self._terms.max_turns} turns of the model are used up", remedy)
            raise self.error
        messages = self._context.next_turn()
        self._asked.begin_turn()
        self._record(EventKind.MODEL_REQUESTED, turn=self._asked.turn, messages=len(messages))
        size_bytes = self._context.size_bytes + self._tools_bytes
        return replace(self._terms.request, messages=messages, size_bytes=size_bytes)

    def reached(self) -> None:
        """A call of the last answer was let through: its turn was not in vain."""
        self._is_vain = False

    def _check_vain(self) -> None:
        """Raises LimitError for a model that goes on asking for what it can't have (H-LLM-05)."""
        self._count_vain()
        if self._vain_turns < MAX_VAIN_TURNS:
            return
        self._record(EventKind.LIMIT_REACHED, limit="refused_turns", value=MAX_VAIN_TURNS)
        message = f"{MAX_VAIN_TURNS} turns in a row asked only for what was refused"
        self.error = LimitError(
            message, "grant what it asked for (`agentd logs RUN` shows it), or say the goal otherwise"
        )
        raise self.error

    def _count_vain(self) -> None:
        self._vain_turns = self._vain_turns + 1 if self._is_vain else 0

    def stop(self, error: AaosError) -> None:
        """No further turn: a limit was reached beside the model. The first reason stands."""
        self.error = self.error or error

    async def complete(self, request: llm.ModelRequest) -> Mapping[str, object]:
        """Ask, commit the answer, and give the worker's reply. Raises ProviderError, LimitError."""
        started_s = time.monotonic()
        deadline_s = self._terms.pause.real_s(self._deadline_s)
        try:
            async with asyncio.timeout(max(0.0, deadline_s - started_s)):
                answered = await self._models.complete(
                    request,
                    self._terms.ladder,
                    account=self._terms.account,
                    deadline_s=deadline_s,
                    on_text=self._pieces,
                    on_wait=self._waits,
                )
        except TimeoutError as error:
            message = f"the model gave no answer in the {self._terms.timeout_s:g} s that the agent had"
            late = LimitError(message, "submit again, or raise limits.wall_s of the role")
            raise self._failed(late) from error
        except AaosError as error:
            raise self._failed(error) from error
        finally:
            self._pieces.flush()
        reply = self._commit(answered.answer)
        self._answered(answered, duration_ms=round((time.monotonic() - started_s) * 1000, 3))
        return reply

    def _answered(self, answered: Answered, *, duration_ms: float) -> None:
        charge = answered.charge
        fields: dict[str, Scalar] = {"is_counted": True} if charge.is_counted else {}
        self._record(
            EventKind.MODEL_ANSWERED,
            turn=self._asked.turn,
            model=answered.model,
            tier=answered.tier,
            calls=len(answered.answer.calls),
            stop=answered.answer.stop,
            input_tokens=charge.input_tokens,
            output_tokens=charge.output_tokens,
            cached_tokens=charge.cached_tokens,
            cost_usd=round(charge.cost_usd, 9),
            duration_ms=duration_ms,
            **fields,
        )

    def _says(self, note: Callable[[Event], None]) -> Callable[[str], None]:
        """The answer as it comes, for the operator who watches; nothing is decided by it."""
        run, subtask, agent = self._terms.run, self._terms.subtask, self._terms.request.agent
        return lambda text: note(Event(EventKind.MODEL_TEXT, run, subtask, agent, {"text": text}))

    def _waits(self, message: str) -> None:
        self._record(EventKind.MODEL_WAITING, turn=self._asked.turn, message=message)

    def _commit(self, answer: llm.ModelAnswer) -> Mapping[str, object]:
        calls = answer.calls if answer.stop is llm.Stop.CALLS else ()
        made = tuple(map(self._named, self._bounded(calls)))
        for call in made:
            if call.error:
                self._record(EventKind.TOOL_DENIED, tool=call.tool, decision="answer", message=call.error)
        is_usual = answer.stop is (llm.Stop.CALLS if made else llm.Stop.ANSWER)
        stop = None if is_usual else answer.stop
        message = llm.AssistantMessage(answer.text, made, stop, answer.remedy, answer.carried)
        self._context.answer(message, refused={})
        return self._handed_out(message)

    def _bounded(self, calls: tuple[llm.AskedCall, ...]) -> tuple[llm.AskedCall, ...]:
        """Those beyond the bound are not made; the model is told so."""
        over = (replace(call, error=call.error or TOO_MANY) for call in calls[MAX_CALLS_PER_ANSWER:])
        return (*calls[:MAX_CALLS_PER_ANSWER], *over)

    def _named(self, call: llm.AskedCall) -> llm.AskedCall:
        """The call under its durable id. One with an error is not opened, so that no worker can make it."""
        return replace(call, id=self._asked.code_call() if call.error else self._asked.add(call.tool, call.args))

    def _handed_out(self, message: llm.AssistantMessage) -> Mapping[str, object]:
        """What the worker gets of a committed answer, and what the answer means for the agent's end."""
        stop = message.stop or (llm.Stop.CALLS if message.calls else llm.Stop.ANSWER)
        self._settle(llm.ModelAnswer(message.text, message.calls, stop=stop, remedy=message.remedy))
        self._is_vain = bool(message.calls)
        handed = (call for call in message.calls if not call.error)
        asked = [{"call": call.id, "tool": call.tool, "args": dict(call.args)} for call in handed]
        return {"text": message.text, "calls": asked, "done": not message.calls}

    def _settle(self, answer: llm.ModelAnswer) -> None:
        match answer.stop:
            case llm.Stop.CALLS if answer.calls:
                return
            case llm.Stop.ANSWER:
                self.answer = answer.text
            case llm.Stop.LIMIT:
                message = f"the model reached its own limit: {answer.text[:200]}"
                self.error = LimitError(message, "ask for less in one subtask")
            case llm.Stop.REFUSED:
                self.error = ProviderError(answer.text, answer.remedy)
            case llm.Stop.CALLS:
                self.error = ProviderError("the model stopped for calls and named none", "submit the goal again")
            case _ as impossible:
                assert_never(impossible)

    def _failed(self, error: AaosError) -> AaosError:
        self.error = error
        self._record(EventKind.MODEL_FAILED, turn=self._asked.turn, code=error.code, message=error.message)
        return error

    def _record(self, kind: EventKind, **fields: Scalar) -> None:
        terms = self._terms
        self._audit.record(Event(kind, terms.run, terms.subtask, terms.request.agent, fields))


def _size_bytes(tool: llm.ToolSchema) -> int:
    return TOOL_MARKS_BYTES + len((tool.name + tool.summary).encode()) + len(json.dumps(tool.parameters))
