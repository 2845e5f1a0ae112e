"""What a stream adds up to: bounded, finished or not, arguments as they were given or not at all."""

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import LimitError, ProviderError
from aaos.llm.assembly import (
    MAX_ARGUMENT_CHARS,
    MAX_ARGUMENTS_CHARS,
    MAX_CALLS,
    MAX_DEPTH,
    MAX_TEXT_CHARS,
    Assembly,
    arguments,
    usage_of,
)
from aaos.llm.types import AskedCall, ModelAnswer, Stop, Usage
from worker import abi


def assembled(*drafts: tuple[str, str], stop: Stop | None = Stop.CALLS) -> ModelAnswer:
    assembly = Assembly()
    for name, text in drafts:
        draft = assembly.add_call()
        draft.add_name(name)
        draft.add_arguments(text)
    assembly.stop = stop
    return assembly.answer()


def test_an_answer_without_its_end_is_an_error_and_its_calls_are_nothing() -> None:
    """BRK-3, H-LLM-02"""
    with pytest.raises(ProviderError, match="cut off"):
        assembled(("file_read", '{"path": "/a"}'), stop=None)


@pytest.mark.parametrize("stop", [Stop.LIMIT, Stop.REFUSED])
def test_calls_of_an_answer_that_was_stopped_are_not_made(stop: Stop) -> None:
    """H-LLM-04"""
    answer = assembled(("file_read", '{"path": "/a'), stop=stop)
    assert (answer.stop, answer.calls) == (stop, ())


def test_calls_beside_a_plain_end_are_calls() -> None:
    """Ollama and others end an answer of calls with `stop`."""
    assert assembled(("file_read", "{}"), stop=Stop.ANSWER).stop is Stop.CALLS


BAD = {
    "cut": '{"path": "/a',
    "two": "{}{}",
    "list": "[1]",
    "text": '"path"',
    "null": "null",
    "number": "1",
    "nan": '{"a": NaN}',
    "infinity": '{"a": -Infinity}',
    "beyond": '{"a": 1e999}',
    "repeated": '{"path": "/a", "path": "/b"}',
    "repeated below": '{"a": [{"b": 1, "b": 2}]}',
    "nul": '{"a": "\\u0000"}',
    "surrogate": '{"a": "\\ud800"}',
    "raw surrogate": '{"a": "\ud800"}',
    "deep": '{"a":' * 25 + "1" + "}" * 25,
    "very deep": '{"a":' * 100_000,
    "lists": '{"a":' + "[" * 100_000,
    "digits": '{"a": ' + "9" * 5000 + "}",
    "prose": "Sure! Here are the arguments: {}",
    "fence": '```json\n{"path": "/a"}\n```',
    "single quotes": "{'path': '/a'}",
    "comma": '{"path": "/a",}',
    "bom": "\ufeff{}",
}


@pytest.mark.parametrize("name", BAD)
def test_arguments_that_are_not_one_plain_object_are_told_and_never_guessed(name: str) -> None:
    """H-LLM-04"""
    answer = assembled(("file_read", BAD[name]), ("file_list", '{"path": "/b"}'))
    bad, good = answer.calls
    assert (bad.tool, dict(bad.args)) == ("file_read", {})
    assert bad.error.startswith("This call was not made; its arguments cannot be used: ")
    assert len(bad.error) < 400
    assert good == AskedCall("", "file_list", {"path": "/b"})


def test_arguments_of_ten_megabytes_are_told() -> None:
    """H-LLM-04"""
    assembly = Assembly()
    draft = assembly.add_call()
    draft.add_name("file_write")
    for _ in range(100):
        draft.add_arguments("x" * 104_858)
    assembly.stop = Stop.CALLS
    (call,) = assembly.answer().calls
    assert f"at most {MAX_ARGUMENT_CHARS} are taken" in call.error
    assert sum(map(len, draft.pieces)) <= MAX_ARGUMENT_CHARS


def test_arguments_of_all_calls_fit_in_one_frame_to_the_worker() -> None:
    """H-BRK-01"""
    text = json.dumps({"content": "\x01" * (MAX_ARGUMENT_CHARS // 6 - 4)})
    answer = assembled(*[("file_write", text)] * 64)
    handed = [call for call in answer.calls if not call.error]
    assert len(handed) == MAX_ARGUMENTS_CHARS // len(text)
    calls = [{"call": "a-1-1-1", "tool": call.tool, "args": call.args} for call in handed]
    reply = abi.Reply(1, {"text": "\x01" * MAX_TEXT_CHARS, "calls": calls, "done": False})
    abi.decode(abi.encode(reply), abi.TO_WORKER)


def test_the_deepest_arguments_that_are_taken_can_be_sent_to_a_worker() -> None:
    """H-LLM-04"""
    deepest = '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH
    (call,) = assembled(("echo", deepest)).calls
    assert not call.error
    abi.decode(abi.encode(abi.Reply(1, {"calls": [{"args": call.args}]})), abi.TO_WORKER)


@pytest.mark.parametrize("text", ["", " \n", "{}"])
def test_no_arguments_are_no_arguments(text: str) -> None:
    assert arguments(text) == {}


@pytest.mark.parametrize("name", ["", "file read", "../x", "x" * 65, "x" * 10_000_000, "é", "a\n", "a\x1b[2J"])
def test_a_name_that_no_tool_can_have_is_told(name: str) -> None:
    """H-LLM-05"""
    (call,) = assembled((name, "{}")).calls
    assert "is not the name of a tool" in call.error
    assert len(call.tool) <= 64
    assert call.tool.isascii()
    assert re.fullmatch("[A-Za-z0-9_-]+", call.tool)
    assert "\x1b" not in call.error


def test_a_name_may_come_in_pieces_or_again_and_again() -> None:
    assembly = Assembly()
    first, second = assembly.add_call(), assembly.add_call()
    for piece in ("file", "_read"):
        first.add_name(piece)
    for _ in range(3):
        second.add_name("file_list")
    assert (first.name, second.name) == ("file_read", "file_list")


def test_text_and_calls_are_bounded() -> None:
    """H-LLM-06: a flood of calls."""
    assembly = Assembly()
    assembly.add_text("x" * MAX_TEXT_CHARS)
    with pytest.raises(LimitError, match="characters"):
        assembly.add_text("x")
    for _ in range(MAX_CALLS):
        assembly.add_call()
    with pytest.raises(LimitError, match="1024 calls"):
        assembly.add_call()


def test_text_is_what_utf8_can_carry() -> None:
    assembly = Assembly()
    assembly.add_text("a\ud800b")
    assembly.stop = Stop.ANSWER
    assert assembly.answer().text == "a?b"


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ((20, 5, 8), Usage(20, 5, 8)),
        ((20, 5, None), Usage(20, 5, 0)),
        ((0, 0, 0), Usage()),
        ((None, 5, 0), Usage()),
        ((20, None, 0), Usage()),
        ((-1, 5, 0), Usage()),
        ((20, -5, 0), Usage()),
        ((20, 5, 21), Usage()),
        ((20, 5, -8), Usage()),
        ((10**18, 5, 0), Usage()),
        ((20.0, 5, 0), Usage()),
        ((True, True, True), Usage()),
        (("20", "5", "0"), Usage()),
        (([], {}, ""), Usage()),
    ],
)
def test_odd_usage_is_no_usage(counts: tuple[object, object, object], usage: Usage) -> None:
    """H-LLM-09: the budget counts for itself then."""
    assert usage_of(*counts) == usage


@given(st.text(max_size=200) | st.recursive(st.integers(), st.lists, max_leaves=5).map(json.dumps))
def test_reading_arguments_raises_nothing_else(text: str) -> None:
    """H-FUZZ-10"""
    with contextlib.suppress(ValueError):
        assert isinstance(arguments(text), dict)
