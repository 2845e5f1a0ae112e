"""Sends a reply as it was decided: at once, or late, slowly, in part, or not to its end.

Invariant: an answer that hangs waits for the client to go away, however long that takes, and for nothing else.
"""

import asyncio
from collections.abc import Iterator, Sequence

from aaos.devprovider.reply import Reply
from aaos.devprovider.script import Hang

PORTIONS_PER_S = 20


async def send(answer: Reply, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> bool:
    """Whether the answer came to its end, so that the connection can be used again."""
    if answer.delay_s:
        await asyncio.sleep(answer.delay_s)
    if answer.is_plain:
        writer.write(b"".join((answer.head(), *map(answer.framed, answer.pieces), answer.end())))
        return True
    if answer.hang is not Hang.HEAD and (answer.is_stream or answer.hang is not Hang.FIRST_BYTE):
        writer.write(answer.head())
    if answer.hang in (Hang.HEAD, Hang.FIRST_BYTE):
        return await _until_gone(reader)
    return await _send_part(answer, writer, reader)


def beginning(pieces: Sequence[bytes], size: int) -> Iterator[bytes]:
    """The first `size` bytes, piece by piece."""
    for piece in pieces:
        if size <= 0:
            return
        yield piece[:size]
        size -= len(piece)


def portions(piece: bytes, rate: float) -> Iterator[bytes]:
    """The piece in portions for `rate` bytes a second, at most PORTIONS_PER_S of them in a second."""
    size = max(1, int(rate / PORTIONS_PER_S))
    return (piece[start : start + size] for start in range(0, len(piece), size))


async def _send_part(answer: Reply, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> bool:
    total = sum(map(len, answer.pieces))
    size = total // 2 if answer.hang is Hang.MID_STREAM else total
    if answer.cut is not None:
        size = min(size, answer.cut)
    for piece in beginning(answer.pieces, size):
        await _write(piece, answer, writer)
    if answer.hang is Hang.MID_STREAM:
        return await _until_gone(reader)
    writer.write(answer.end() if size == total and answer.cut is None else b"")
    return size == total and answer.cut is None


async def _write(piece: bytes, answer: Reply, writer: asyncio.StreamWriter) -> None:
    if answer.trickle is None:
        writer.write(answer.framed(piece))
        return
    for portion in portions(piece, answer.trickle):
        writer.write(answer.framed(portion))
        await writer.drain()
        await asyncio.sleep(len(portion) / answer.trickle)


async def _until_gone(reader: asyncio.StreamReader) -> bool:
    while await reader.read(65_536):
        pass
    return False
