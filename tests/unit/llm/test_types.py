"""Messages and their one byte form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.llm.types import (
    AskedCall,
    AssistantMessage,
    Message,
    Stop,
    SystemMessage,
    ToolResultMessage,
    UserMessage,
    from_bytes,
    to_bytes,
)

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)
ARGS = st.dictionaries(TEXT, st.one_of(TEXT, st.integers(-(2**53), 2**53), st.booleans(), st.none()), max_size=3)
CALLS = st.lists(st.builds(AskedCall, TEXT, TEXT, ARGS, TEXT), max_size=3).map(tuple)
MESSAGES = st.one_of(
    st.builds(SystemMessage, TEXT),
    st.builds(UserMessage, TEXT),
    st.builds(AssistantMessage, TEXT, CALLS, carried=TEXT),
    st.builds(AssistantMessage, TEXT, CALLS, st.sampled_from(Stop), TEXT, TEXT),
    st.builds(ToolResultMessage, TEXT, TEXT, st.booleans(), st.booleans()),
)


@given(MESSAGES)
def test_a_message_comes_back_from_its_bytes(message: Message) -> None:
    data = to_bytes(message)
    assert from_bytes(data) == message
    assert to_bytes(from_bytes(data)) == data
    assert b"\n" not in data


def test_a_message_of_an_earlier_version_is_read() -> None:
    data = b'{"role":"assistant","text":"t","calls":[{"id":"a","tool":"b","args":{}}]}'
    assert from_bytes(data) == AssistantMessage("t", (AskedCall("a", "b", {}),))
    assert to_bytes(AssistantMessage("t", (AskedCall("a", "b", {}),))) == data


@given(st.binary(max_size=80))
def test_other_bytes_are_refused(data: bytes) -> None:
    """H-FUZZ-10."""
    with pytest.raises(InputError) as caught:
        from_bytes(data)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "data",
    [
        b'{"role":"user"}',
        b'{"role":"user","text":1}',
        b'{"role":"tool","call":"c","text":"t","ok":1,"truncated":false}',
        b'{"role":"assistant","text":"t","calls":[{"id":"a","tool":"b","args":[]}]}',
        b'{"role":"assistant","text":"t","calls":{}}' * 2,
        b'{"role":"operator","text":"t"}',
        b"[]",
        b"[" * 100_000,
    ],
)
def test_nearly_messages_are_refused(data: bytes) -> None:
    """H-BRK-04."""
    with pytest.raises(InputError):
        from_bytes(data)


def test_a_lone_surrogate_is_kept_visible() -> None:
    assert from_bytes(to_bytes(UserMessage("a\ud800b"))) == UserMessage("a\ud800b")
