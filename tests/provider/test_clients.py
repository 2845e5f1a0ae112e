"""The official openai and anthropic clients talk to the scripted provider: what it speaks is the real wire format.

They run as programs of their own, in the environment that requirements-clients.txt describes.
"""

import asyncio
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aaos.devprovider.server import ScriptedProvider

Json = Any  # a JSON value
PYTHON = Path(sys.prefix, "clients", "bin", "python")
PROGRAMS = Path(__file__).parent / "clients"
BOTH = pytest.mark.parametrize("client", ["openai", "anthropic"])
ARGUMENTS = {"path": "/a", "deep": [1, {"é": None}]}
SCRIPT = """
models: [m, n]
steps:
  - {when: {model: busy}, status: 429, retry_after: 7, message: slow down}
  - {when: {model: broken}, status: 503}
  - {when: {model: denied}, echo_key: true}
  - {when: {model: gone}, cut: 10}
  - {when: {model: retry}, status: 529, retry_after: 0.05, times: 1}
  - {when: {model: retry}, text: at last}
  - text: I look
    calls: [{tool: file_read, args: {path: /a, deep: [1, {"é": null}]}}, {tool: file_list}]
    usage: {input: 20, output: 5, cached: 8}
  - text: "found {results}"
"""


@cache
def talk(client: str) -> Json:
    """What the client understood."""

    async def play() -> Json:
        async with ScriptedProvider(SCRIPT) as provider:
            command = [str(PYTHON), "-I", str(PROGRAMS / f"talk_{client}.py"), provider.url]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

    assert PYTHON.exists(), "the clients are not installed; run: ./dev setup"
    return asyncio.run(play())


@BOTH
def test_parallel_calls_are_understood_and_their_results_come_back(client: str) -> None:
    """LLM-1"""
    first, second = talk(client)["whole"]
    (one, read, arguments), (two, listed, none) = first["calls"]
    assert (first["text"], read, json.loads(arguments), listed, json.loads(none)) == (
        "I look",
        "file_read",
        ARGUMENTS,
        "file_list",
        {},
    )
    assert second["text"] == f"found of {one}\nof {two}"
    assert second["calls"] == []


@BOTH
def test_a_stream_is_put_together_to_the_same_answer(client: str) -> None:
    """LLM-1"""
    first, streamed = talk(client)["whole"][0], talk(client)["streamed"]
    assert [call[1:] for call in streamed["calls"]] == [call[1:] for call in first["calls"]]
    for key in ("text", "finish", "usage", "model"):
        assert streamed[key] == first[key]


def test_usage_and_endings_are_those_of_the_format() -> None:
    """LLM-1"""
    chat, message = talk("openai")["whole"], talk("anthropic")["whole"]
    assert (chat[0]["usage"], chat[0]["finish"], chat[1]["finish"]) == ([20, 5, 8], "tool_calls", "stop")
    assert (message[0]["usage"], message[0]["finish"], message[1]["finish"]) == ([12, 5, 8], "tool_use", "end_turn")
    assert talk("openai")["models"] == ["m", "n"]


@BOTH
def test_text_comes_in_pieces_to_an_async_client(client: str) -> None:
    """LLM-1"""
    pieces = [piece for piece in talk(client)["async"] if piece]
    assert (len(pieces), "".join(pieces)) == (3, "I look")


def test_faults_are_the_errors_that_the_clients_know() -> None:
    chat, message = talk("openai")["failed"], talk("anthropic")["failed"]
    assert {model: error[:2] for model, error in chat.items()} == {
        "busy": ["RateLimitError", 429],
        "broken": ["InternalServerError", 503],
        "denied": ["AuthenticationError", 401],
        "gone": ["APIConnectionError", None],
    }
    assert {model: error[:2] for model, error in message.items()} == {
        "busy": ["RateLimitError", 429],
        "broken": ["ServiceUnavailableError", 503],
        "denied": ["AuthenticationError", 401],
        "gone": ["APIConnectionError", None],
    }
    for errors in (chat, message):
        assert "slow down" in errors["busy"][2]
        assert "sk-test" in errors["denied"][2]


@BOTH
def test_a_client_that_tries_again_gets_on(client: str) -> None:
    assert talk(client)["retried"]["text"] == "at last"
