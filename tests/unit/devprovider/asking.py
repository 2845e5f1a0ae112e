"""Requests as clients send them, and what the script makes of them, without a server."""

import json
from typing import Any

from aaos.devprovider.asked import Asked, read_chat, read_messages
from aaos.devprovider.reply import Reply, reply
from aaos.devprovider.script import Script, Step, read_script

Json = Any  # a JSON value
VERSION = {"anthropic-version": "2023-06-01"}
USER = {"role": "user", "content": "the goal"}


def chat(*messages: Json, **fields: Json) -> Asked:
    """A request for a chat completion; without messages, one of the user."""
    return read_chat({"model": "m", "messages": list(messages) or [USER], **fields}, {})


def message(*messages: Json, **fields: Json) -> Asked:
    """A request for a message."""
    body = {"model": "m", "max_tokens": 100, "messages": list(messages) or [USER], **fields}
    return read_messages(body, VERSION)


def turns(count: int, **fields: Json) -> Asked:
    """A conversation with `count` answers, each of which asked for one tool."""
    told: list[Json] = [USER]
    for n in range(count):
        call = {"id": f"c{n}", "type": "function", "function": {"name": "t", "arguments": "{}"}}
        told += [{"role": "assistant", "content": None, "tool_calls": [call]}]
        told += [{"role": "tool", "tool_call_id": f"c{n}", "content": f"result {n}"}]
    return chat(*told, **fields)


def script(text: str) -> Script:
    """A script from YAML."""
    return read_script(text.encode(), "s.yaml")


def step(text: str) -> Step:
    """The only step of a script, in YAML's flow style without the outer braces."""
    return script(f"steps: [{{{text}}}]").steps[0]


def said(text: str, asked: Asked | None = None) -> Reply:
    """What a step makes of a request."""
    return reply(step(text), asked or chat(), number=1, now_s=7)


def body(answer: Reply) -> bytes:
    """The whole body."""
    return b"".join(answer.pieces)


def events(answer: Reply) -> list[Json]:
    """The documents of a stream of events; [DONE] as it is."""
    lines = [line for piece in answer.pieces for line in piece.decode().split("\n") if line.startswith("data: ")]
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]
