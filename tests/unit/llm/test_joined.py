"""What is sent is what serialising everything afresh would give, and only what is new is serialised."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from aaos.llm.anthropic import Messages
from aaos.llm.joined import JoinedBytes
from aaos.llm.openai import ChatCompletions
from aaos.llm.quirks import Kind
from aaos.llm.types import AskedCall, AssistantMessage, Message, ToolResultMessage, UserMessage
from aaos.llm.wire import Wire
from tests.unit.llm.servers import asking, wire_model

WIRES: dict[str, Wire] = {"openai": ChatCompletions(wire_model()), "anthropic": Messages(wire_model(Kind.ANTHROPIC))}


def conversation(turns: int) -> tuple[Message, ...]:
    messages: list[Message] = [UserMessage("go")]
    for turn in range(turns):
        calls = tuple(AskedCall(f"a-{turn}-{at}", "file_read", {"path": "/ä"}) for at in range(2))
        messages += [AssistantMessage(f"turn {turn}", calls), *(ToolResultMessage(call.id, "r") for call in calls)]
    return tuple(messages)


class Counting:
    """Counts the messages that are serialised."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.count = self.heads = 0
        self.head, self.body, self.reader, self.headers = self._head, wire.body, wire.reader, wire.headers
        self.path = wire.path

    def _head(self, request: object) -> bytes:
        self.heads += 1
        return self._wire.head(request)  # type: ignore[arg-type]  # passed on

    def piece(self, messages: Sequence[Message]) -> bytes:
        self.count += len(messages)
        return self._wire.piece(messages)


@pytest.mark.parametrize("name", WIRES)
def test_a_turn_serialises_only_what_is_new_and_sends_the_same(name: str) -> None:
    """LLM-7: each message is serialised once, however long the conversation."""
    counting = Counting(WIRES[name])
    joined = JoinedBytes(counting)
    whole = conversation(20)
    request = asking()
    for turn in range(21):
        now = replace(request, messages=whole[: 1 + 3 * turn])
        assert joined.body(now) == JoinedBytes(WIRES[name]).body(now)
    assert (counting.count, counting.heads) == (len(whole), 1)


@pytest.mark.parametrize("name", WIRES)
def test_turns_share_their_start_byte_for_byte(name: str) -> None:
    """LLM-7: prompt caches hit on equal beginnings."""
    joined, request, whole = JoinedBytes(WIRES[name]), asking(), conversation(3)
    first, second = (joined.body(replace(request, messages=whole[:count])) for count in (4, 7))
    mark = b',"cache_control":{"type":"ephemeral"}'
    common = first.replace(mark, b"").replace(b',"max_tokens":8192', b"").rstrip(b"]}")
    assert second.replace(mark, b"").startswith(common)


@pytest.mark.parametrize("name", WIRES)
def test_another_conversation_or_another_history_is_serialised_afresh(name: str) -> None:
    joined, wire = JoinedBytes(WIRES[name]), WIRES[name]
    requests = [
        asking(conversation(1)),
        asking(conversation(2)),  # equal messages, but other objects
        asking(conversation(2), agent="a-2"),
        asking((UserMessage("something else"),)),
        replace(asking(conversation(1)), system="another prompt"),
        replace(asking(conversation(1)), tools=()),
        asking(()),
    ]
    for request in requests:
        assert joined.body(request) == JoinedBytes(wire).body(request)
        json.loads(joined.body(request))


def test_what_is_kept_is_bounded() -> None:
    counting = Counting(WIRES["openai"])
    joined = JoinedBytes(counting, max_bytes=2000)
    requests = [asking((UserMessage("x" * 900),), agent=f"a-{at}") for at in range(3)]
    for request in requests:
        joined.body(request)
    assert counting.count == 3
    joined.body(requests[2])
    assert counting.count == 3
    joined.body(requests[0])  # was dropped, and is sent all the same
    assert counting.count == 4
