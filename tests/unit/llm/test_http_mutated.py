"""Answers with bytes changed, lost, doubled and cut: an answer or a declared error, never anything else."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aaos.core.errors import AaosError
from aaos.llm.anthropic import Messages
from aaos.llm.openai import ChatCompletions
from aaos.llm.quirks import Kind
from aaos.llm.sse import EventReader
from aaos.llm.types import ModelAnswer, Stop
from aaos.llm.wire import Reader, parsed
from tests.unit.llm.servers import DONE, call, chunk, event, wire_model

Json = Any  # a JSON value
ROUNDS = 2_000
CHAT = b"".join(
    [
        b": keep-alive\n\n",
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm\u00e9"}),
        chunk({"content": "I look \U0001f600"}),
        chunk(call(0, '{"pa', "file_read", "x")),
        chunk(call(0, 'th": "/a"}')),
        chunk(call(1, '{"path": "/b"}', "file_read", "y")),
        chunk({}, "tool_calls"),
        event({"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 5}}),
        DONE,
    ]
)
BLOCKS: list[Json] = [
    {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 20, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm\u00e9"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "abc="}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "x", "name": "file_read"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"path":'}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '"/a"}'}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]
WIRES: dict[str, tuple[bytes, Callable[[], Reader]]] = {
    "openai": (CHAT, ChatCompletions(wire_model(Kind.DEEPSEEK)).reader),
    "anthropic": (
        b"".join(event(block, block["type"]) for block in BLOCKS),
        Messages(wire_model(Kind.ANTHROPIC)).reader,
    ),
}


def read(data: bytes, reader: Reader) -> ModelAnswer:
    """The answer of a whole stream, as an exchange reads it."""
    for one in EventReader(max_event_bytes=65_536).feed(data):
        if one.data == "[DONE]":
            break
        reader.event(parsed(one.data))
        if reader.is_done:
            break
    return reader.assembly.answer()


def outcome(data: bytes, reader: Reader) -> ModelAnswer | AaosError:
    """What a stream comes to; anything but an answer or a declared error is raised."""
    try:
        return read(data, reader)
    except AaosError as error:
        return error


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few bytes or pieces changed, lost, doubled, moved, or all cut off."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(made) or 1)
        piece = made[at : at + chance.randint(1, 80)]
        match chance.randrange(6):
            case 0 if made:
                made[at] = chance.randrange(256)
            case 1:
                del made[at : at + len(piece)]
            case 2:
                made[at:at] = piece
            case 3:
                made[at:at] = chance.choice([b"\n", b"\r", b"\0", b'"', b"{", b"}", b"[", b"null", b"1e999", b"\xff"])
            case 4:
                made += piece
            case _:
                del made[at:]
    return bytes(made)


def whole_calls(answer: ModelAnswer) -> Iterator[str]:
    """The calls that would be made, as text."""
    return (json.dumps(dict(one.args)) for one in answer.calls if not one.error)


@pytest.mark.parametrize("name", WIRES)
def test_the_unchanged_stream_is_an_answer(name: str) -> None:
    data, reader = WIRES[name]
    assert read(data, reader()).stop is Stop.CALLS


@pytest.mark.parametrize("name", WIRES)
def test_a_changed_stream_is_an_answer_or_a_declared_error(name: str) -> None:
    """H-FUZZ-10, H-LLM-04: and no answer whose end was cut off has calls."""
    data, reader = WIRES[name]
    chance = random.Random(name)  # noqa: S311  # a seed, so that each run is the same
    ends = {"openai": b"tool_calls", "anthropic": b"stop_reason"}[name]
    answers = 0
    for _ in range(ROUNDS):
        changed = mutated(data, chance)
        end = outcome(changed, reader())
        if isinstance(end, AaosError):
            assert end.remedy
            assert len(end.message) < 600
            continue
        answers += 1
        assert ends in changed or not list(whole_calls(end))
    assert 0 < answers < ROUNDS


@pytest.mark.parametrize("name", WIRES)
def test_a_stream_that_is_cut_anywhere_yields_all_of_its_calls_or_none(name: str) -> None:
    """BRK-3, H-LLM-02"""
    data, reader = WIRES[name]
    whole = list(whole_calls(read(data, reader())))
    for length in range(len(data)):
        end = outcome(data[:length], reader())
        assert isinstance(end, AaosError) or list(whole_calls(end)) == whole
