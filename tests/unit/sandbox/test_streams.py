"""Draining a pipe: what is kept, what is told, and that nothing is waited for."""

import asyncio
import os
from collections.abc import Callable

from aaos.core.cell import Stream
from aaos.sandbox.streams import Drain


def _drained(act: Callable[[Drain, int], None], *, limit_bytes: int = 10) -> tuple[Drain, list[bytes], list[str]]:
    heard: list[bytes] = []
    told: list[str] = []

    async def run() -> Drain:
        drain, end = Drain.open(
            Stream.STDOUT,
            limit_bytes,
            lambda _, piece: heard.append(piece),
            on_full=lambda: told.append("full"),
            on_error=lambda error: told.append(repr(error)),
        )
        act(drain, end)
        for _ in range(5):
            await asyncio.sleep(0)
        drain.finish()
        return drain

    return asyncio.run(run()), heard, told


def _write(*pieces: bytes) -> Callable[[Drain, int], None]:
    def act(drain: Drain, end: int) -> None:
        for piece in pieces:
            os.write(end, piece)
            drain.read()
        os.close(end)

    return act


def test_what_fits_is_kept_and_heard_piece_by_piece() -> None:
    """ISO-12"""
    drain, heard, told = _drained(_write(b"abc", b"defghij"))
    assert (bytes(drain.kept), drain.is_cut, heard, told) == (b"abcdefghij", False, [b"abc", b"defghij"], [])


def test_one_byte_more_is_cut_and_told_once() -> None:
    """H-RES-07"""
    drain, heard, told = _drained(_write(b"abcdefgh", b"ijk"))
    assert (bytes(drain.kept), drain.is_cut, heard, told) == (b"abcdefghij", True, [b"abcdefgh", b"ij"], ["full"])


def test_what_is_left_at_the_end_is_read() -> None:
    """ISO-12"""

    def act(drain: Drain, end: int) -> None:
        os.write(end, b"late")
        os.close(end)

    drain, heard, _ = _drained(act)
    assert (bytes(drain.kept), heard, drain.fd) == (b"late", [b"late"], -1)


def test_a_writer_that_stays_is_not_waited_for() -> None:
    """H-RES-08"""
    ends: list[int] = []

    def act(drain: Drain, end: int) -> None:
        os.write(end, b"early")
        ends.append(end)

    drain, heard, _ = _drained(act)
    os.close(ends[0])
    assert (heard, drain.fd) == ([b"early"], -1)


def test_a_stream_of_nothing_is_cut_at_its_first_byte() -> None:
    """H-RES-07"""
    drain, heard, told = _drained(_write(b"a"), limit_bytes=0)
    assert (bytes(drain.kept), drain.is_cut, heard, told) == (b"", True, [], ["full"])
