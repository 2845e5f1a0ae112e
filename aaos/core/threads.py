"""Work in a thread that is over before its caller goes on: for what uses the caller's open files.

Invariant: however often the caller is cancelled, the thread has ended when `in_thread` returns or raises.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], *, stop: Callable[[], None] = lambda: None) -> T:
    """What `work` returns or raises; the caller's cancellation calls `stop`, which is to end it soon."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop()
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({running})
        if not running.cancelled():
            running.exception()  # seen: nobody waits for it any more
        raise
