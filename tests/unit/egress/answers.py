"""A server's answer without a server: prepared bytes on a real stream reader, and a writer that keeps what is asked."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aaos.egress.connect import Connection
from aaos.egress.exchange import Answer, exchange
from aaos.egress.wire import Fetch

FETCH = Fetch(1, "http", "h.example", 80, "/a?b", "GET", (), True, 0, 49_152, 2**40, 2**20, 5_000)


class Asked:
    """The writing side of a connection."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.data += data

    async def drain(self) -> None:
        """It is never full."""

    def close(self) -> None:
        """It holds nothing."""


def play(
    *chunks: bytes, fetch: Fetch = FETCH, is_cut: bool = True, **changes: Any
) -> tuple[Answer, bytes]:  # Any: fields
    """What comes of a server that says `chunks` and, with `is_cut`, hangs up; and what it was asked."""
    return asyncio.run(_play(chunks, replace(fetch, **changes), is_cut=is_cut))


async def _play(chunks: Sequence[bytes], fetch: Fetch, *, is_cut: bool) -> tuple[Answer, bytes]:
    reader = asyncio.StreamReader()
    asked: Any = Asked()  # Any: it stands for a StreamWriter
    for chunk in chunks:
        reader.feed_data(chunk)
    if is_cut:
        reader.feed_eof()
    until_s = time.monotonic() + fetch.total_ms / 1000
    return await exchange(fetch, Connection(reader, asked, "192.0.2.1"), until_s=until_s), asked.data
