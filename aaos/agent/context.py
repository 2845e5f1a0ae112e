"""What the model sees: the conversation of one agent, composed here and never by its worker (BRK-3).

Invariant: a message is committed before it can reach a provider, is serialised once, and is never changed after. Tool
results come from agentd's own rows; a call that the worker did not make is told as such. Must not call a provider.
A resumed agent's conversation is what its rows say: its earlier answers are given again, and nothing is written twice.
"""

from collections import deque
from collections.abc import Mapping
from typing import Protocol

from aaos.agent.replay import NOTHING, Past
from aaos.core.ids import AgentId
from aaos.llm import types as llm


class ConversationStore(Protocol):
    """Where messages are kept; `append` commits before it returns."""

    def append(self, agent: AgentId, role: str, body: bytes) -> int: ...


NOT_MADE = "The agent did not make this call; there is no result."


class Context:
    """One conversation. `append` order is what the provider sees."""

    __slots__ = (
        "_agent",
        "_answers",
        "_messages",
        "_pending",
        "_recorded",
        "_results",
        "_store",
        "_told",
        "size_bytes",
        "system",
    )

    def __init__(
        self, agent: AgentId, store: ConversationStore, *, system: str, message: str, past: Past = NOTHING
    ) -> None:
        self._agent = agent
        self._store = store
        self._messages: list[llm.Message] = [one for one in past.messages if not isinstance(one, llm.SystemMessage)]
        self._answers = deque(one for one in past.messages if isinstance(one, llm.AssistantMessage))  # to give again
        self._told = {one.call for one in past.messages if isinstance(one, llm.ToolResultMessage)}
        self._recorded = past.results
        self._pending: tuple[str, ...] = ()  # calls of the last answer, in its order
        self._results: dict[str, llm.ToolResultMessage] = {}
        self.size_bytes = sum(len(llm.to_bytes(one)) for one in past.messages)  # of all messages
        self.system = next((one.text for one in past.messages if isinstance(one, llm.SystemMessage)), system)
        if not past.messages:
            self._append("system", llm.SystemMessage(system), is_sent=False)
        if not self._messages:
            self._append("user", llm.UserMessage(message))

    def skip(self, turns: int) -> tuple[llm.AskedCall, ...]:
        """Leave out the first answers: the worker's checkpoint is behind them. The calls of the last one of them."""
        last = [self._answers.popleft() for _ in range(turns)][-1:]
        for answer in last:
            self._await(answer)
        return last[0].calls if last else ()

    def again(self) -> llm.AssistantMessage | None:
        """The next answer that an earlier session had got already; None when there is no further one."""
        if not self._answers:
            return None
        answer = self._answers.popleft()
        self._await(answer)
        return answer

    def is_passed(self, call: str) -> bool:
        """Whether the conversation went on in an earlier session without waiting for this call any more."""
        return call in self._told or bool(self._answers)

    def result(self, call: str, text: str, *, is_ok: bool, is_truncated: bool = False) -> None:
        """The recorded result of a call; kept until the next turn, and only when the last answer asked for it."""
        if call in self._pending:
            self._results[call] = llm.ToolResultMessage(call=call, text=text, ok=is_ok, truncated=is_truncated)

    def next_turn(self) -> tuple[llm.Message, ...]:
        """Commits the results of the last answer's calls, in the order they were asked; then all messages."""
        for call in self._pending:
            if call in self._told:
                continue
            result = self._results.get(call) or llm.ToolResultMessage(call=call, text=NOT_MADE, ok=False)
            self._append("tool", result)
        self._pending = ()
        self._results = {}
        return tuple(self._messages)

    def answer(self, answer: llm.AssistantMessage, *, refused: Mapping[str, str]) -> None:
        """Commits a finished answer. `refused` are those of its calls that are not handed out, with the reason."""
        self._append("assistant", answer)
        self._await(answer)
        for call, reason in refused.items():
            self.result(call, reason, is_ok=False)

    def _await(self, answer: llm.AssistantMessage) -> None:
        self._pending = tuple(call.id for call in answer.calls)
        self._results = {call: self._recorded[call] for call in self._pending if call in self._recorded}
        for call in answer.calls:
            if call.error:
                self.result(call.id, call.error, is_ok=False)

    def _append(self, role: str, message: llm.Message, *, is_sent: bool = True) -> None:
        body = llm.to_bytes(message)
        self._store.append(self._agent, role, body)
        self.size_bytes += len(body)
        if is_sent:
            self._messages.append(message)
