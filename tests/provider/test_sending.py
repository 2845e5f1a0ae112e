"""Each way in which an answer goes wrong, byte by byte from a raw socket."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.devprovider.sending import beginning, portions
from tests.provider.raw import CHAT, MESSAGES, connected, playing

BOTH = pytest.mark.parametrize("path", [CHAT, MESSAGES])
EITHER = pytest.mark.parametrize("stream", [True, False])


@BOTH
@EITHER
def test_a_hang_before_the_head_sends_nothing(path: str, stream: bool) -> None:

    async def play() -> None:
        async with playing("steps: [{hang: head}, {text: a}]") as (_, raw):
            raw.ask(path, stream=stream)
            assert await raw.until_quiet() == b""

    asyncio.run(play())


@BOTH
def test_a_hang_before_the_first_token_sends_the_head_of_a_stream(path: str) -> None:

    async def play() -> None:
        async with playing("steps: [{hang: first-token}]") as (provider, raw):
            raw.ask(path, stream=True)
            assert (await raw.until_quiet()).endswith(b"\r\n\r\n")
            async with connected(provider) as other:
                other.ask(path, goal="another")
                assert await other.until_quiet() == b""

    asyncio.run(play())


@BOTH
@EITHER
def test_a_hang_in_the_middle_sends_half(path: str, stream: bool) -> None:

    async def play() -> None:
        async with playing("steps: [{text: hello, hang: mid-stream}]") as (_, raw):
            raw.ask(path, stream=stream)
            data = await raw.until_quiet()
            assert len(data.partition(b"\r\n\r\n")[2]) > 50
            assert b"DONE" not in data
            assert b"message_stop" not in data

    asyncio.run(play())


def test_after_a_hang_the_next_step_answers_who_tries_again() -> None:
    async def play() -> None:
        async with playing("steps: [{hang: head}, {text: hello}]") as (provider, raw):
            raw.ask()
            assert await raw.until_quiet() == b""
            async with connected(provider) as other:
                other.ask()
                assert b"hello" in (await other.answer())[1]

    asyncio.run(play())


@EITHER
def test_a_cut_answer_ends_in_its_middle(stream: bool) -> None:

    async def play() -> None:
        async with playing("steps: [{text: hello, cut: 40}]") as (_, raw):
            raw.ask(stream=stream)
            await raw.head()
            rest = await raw.rest()
            assert len(rest) == (40 if not stream else len(b"28\r\n") + 40 + len(b"\r\n"))

    asyncio.run(play())


def test_a_cut_beyond_the_end_takes_only_the_end_away() -> None:
    async def play() -> None:
        async with playing("steps: [{text: hello, cut: 1000000}]") as (_, raw):
            raw.ask(stream=True)
            rest = await raw.rest()
            assert b"[DONE]" in rest
            assert not rest.endswith(b"0\r\n\r\n")

    asyncio.run(play())


def test_a_trickle_comes_as_slowly_as_it_says() -> None:

    async def play() -> None:
        async with playing("steps: [{text: hello, trickle: 2000}]") as (_, raw):
            raw.ask()
            began_s = time.monotonic()
            size = len((await raw.answer())[1])
            assert time.monotonic() - began_s >= 0.8 * size / 2000

    asyncio.run(play())


def test_a_late_answer_is_late() -> None:
    async def play() -> None:
        async with playing("steps: [{text: hello, delay_s: 0.5}]") as (_, raw):
            raw.ask()
            assert await raw.until_quiet() == b""
            assert b"hello" in (await raw.answer())[1]

    asyncio.run(play())


@given(st.lists(st.binary(max_size=20), max_size=5), st.integers(0, 100))
def test_a_beginning_is_that_of_the_whole(pieces: list[bytes], size: int) -> None:
    assert b"".join(beginning(pieces, size)) == b"".join(pieces)[:size]


@given(st.binary(max_size=200), st.floats(0.01, 10_000))
def test_portions_are_the_piece(piece: bytes, rate: float) -> None:
    assert b"".join(portions(piece, rate)) == piece
