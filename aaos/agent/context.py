"""What the model sees: the conversation of one agent, composed here and never by its worker (BRK-3).

Invariant: a message is committed before it can reach a provider, is serialised once, and is never changed after. Tool
results come from agentd's own rows; a call that the worker did not make is told as such. Must not call a provider.
"""

from collections.abc import Mapping
from typing import Protocol

from aaos.core.ids import AgentId
from aaos.llm import types as llm


class ConversationStore(Protocol):
    """Where messages are kept; `append` commits before it returns."""

    def append(self, agent: AgentId, role: str, body: bytes) -> int: ...


NOT_MADE = "The agent did not make this call; there is no result."


class Context:
    """One conversation. `append` order is what the provider sees."""

    __slots__ = ("_agent", "_messages", "_pending", "_results", "_store", "size_bytes")

    def __init__(self, agent: AgentId, store: ConversationStore, *, system: str, message: str) -> None:
        self._agent = agent
        self._store = store
        self._messages: list[llm.Message] = []
        self._pending: tuple[str, ...] = ()  # calls of the last answer, in its order
        self._results: dict[str, llm.ToolResultMessage] = {}
        self.size_bytes = 0  # of all messages
        self._append("system", llm.SystemMessage(system), is_sent=False)
        self._append("user", llm.UserMessage(message))

    def result(self, call: str, text: str, *, is_ok: bool, is_truncated: bool = False) -> None:
        """The recorded result of a call; kept until the next turn, and only when the last answer asked for it."""
        if call in self._pending:
            self._results[call] = llm.ToolResultMessage(call=call, text=text, ok=is_ok, truncated=is_truncated)

    def next_turn(self) -> tuple[llm.Message, ...]:
        """Commits the results of the last answer's calls, in the order they were asked; then all messages."""
        for call in self._pending:
            result = self._results.get(call) or llm.ToolResultMessage(call=call, text=NOT_MADE, ok=False)
            self._append("tool", result)
        self._pending = ()
        self._results = {}
        return tuple(self._messages)

    def answer(self, answer: llm.AssistantMessage, *, refused: Mapping[str, str]) -> None:
        """Commits a finished answer. `refused` are those of its calls that are not handed out, with the reason."""
        self._append("assistant", answer)
        self._pending = tuple(call.id for call in answer.calls)
        for call, reason in refused.items():
            self.result(call, reason, is_ok=False)

    def _append(self, role: str, message: llm.Message, *, is_sent: bool = True) -> None:
        body = llm.to_bytes(message)
        self._store.append(self._agent, role, body)
        self.size_bytes += len(body)
        if is_sent:
            self._messages.append(message)
