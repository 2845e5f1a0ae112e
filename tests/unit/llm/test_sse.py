"""Server-sent events, however they were cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import LimitError, ProviderError
from aaos.llm.sse import EventReader, ServerEvent

WHOLE = (
    b'\xef\xbb\xbf: hello\n\nevent: ping\ndata: {"a":\ndata: 1}\nid: 7\nretry: 10\n\r\n'
    b"data:x\r\ndata\r\n\r\n: OPENROUTER\n\ndata: [DONE]\n\n"
)
EVENTS = [ServerEvent("ping", '{"a":\n1}'), ServerEvent("", "x\n"), ServerEvent("", "[DONE]")]


def test_events_come_out_whole() -> None:
    """LLM-1"""
    assert EventReader().feed(WHOLE) == EVENTS


@given(st.lists(st.integers(1, len(WHOLE) - 1), max_size=12))
def test_it_does_not_matter_where_bytes_were_cut(cuts: list[int]) -> None:
    places = sorted({0, len(WHOLE), *cuts})
    reader = EventReader()
    assert [e for a, b in pairwise(places) for e in reader.feed(WHOLE[a:b])] == EVENTS


def test_an_event_without_its_end_is_none() -> None:
    """H-LLM-02: a truncated stream."""
    assert EventReader().feed(b"data: half\n") == []
    assert EventReader().feed(b"data: half") == []


def test_text_beyond_ascii_survives_a_cut_in_a_character() -> None:
    reader = EventReader()
    data = "data: é€😀\n\n".encode()
    assert [e.data for at in range(len(data)) for e in reader.feed(data[at : at + 1])] == ["é€😀"]


@pytest.mark.parametrize("flood", [b"x" * 4096, b"data: " + b"x" * 4096, b"data:\n" * 1100, b"data: xxxxxxx\n" * 200])
def test_an_event_without_end_is_bounded(flood: bytes) -> None:
    """H-NET-10"""
    reader = EventReader(max_event_bytes=1024)
    with pytest.raises(LimitError, match="more than 1024 bytes"):
        reader.feed(flood)


def test_comments_without_end_are_no_event_and_do_not_pile_up() -> None:
    reader = EventReader(max_event_bytes=1024)
    assert all(reader.feed(b": keep-alive\n\n" * 50) == [] for _ in range(100))


def test_bytes_that_are_no_text_are_an_error() -> None:
    with pytest.raises(ProviderError, match="not UTF-8"):
        EventReader().feed(b"data: \xff\xfe\n\n")


@given(st.lists(st.binary(max_size=64), max_size=20))
def test_nothing_else_is_ever_raised(pieces: list[bytes]) -> None:
    """H-FUZZ-10"""
    reader = EventReader(max_event_bytes=256)
    try:
        for piece in pieces:
            reader.feed(piece)
    except (LimitError, ProviderError):
        pass
