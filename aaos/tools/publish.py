"""Publishes a file that was written into its buffer: in a thread, once, with an outcome whatever happens.

Invariant: a publication that was cancelled before its step is not made; one that was made is on record.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from aaos.broker.publishing import Observed, PendingWrite
from aaos.core.errors import AaosError, StorageError
from aaos.core.ports import CallState
from aaos.core.text import quoted
from aaos.tools.brokered import Failed, ToolResult
from aaos.tools.opencall import OpenCall
from aaos.tools.settle import temporary_name
from aaos.tools.writers import Turn


class PublishFile(Protocol):
    """As `FileBroker.publish`."""

    def __call__(
        self,
        pending: PendingWrite,
        temporary: str,
        *,
        check: Callable[[int, int], None],
        may_commit: Callable[[], bool],
    ) -> Observed: ...


@dataclass(frozen=True, slots=True)
class Publish:
    """A file that is to be published. `begin` raises when its call was settled before; `may_commit` is asked in the
    thread, right before the step; `published` and `failed` write the outcome down."""

    opened: OpenCall
    begin: Callable[[], None]
    publish: PublishFile
    may_commit: Callable[[], bool]
    published: Callable[[OpenCall, Observed], ToolResult]
    failed: Failed
    turn: Turn

    async def finish(self) -> ToolResult:
        """Publish in a thread, in its turn. A cancelled one is not started, or is recorded when its thread ends.

        Raises:
            AaosError: nothing was changed, unless the record says `outcome_unknown`.
        """
        async with self.turn((self.opened.draft.path or "/",)):
            return await self._finish()

    async def _finish(self) -> ToolResult:
        self.begin()
        stop = threading.Event()
        future = asyncio.get_running_loop().run_in_executor(None, self._work(stop))
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            stop.set()
            future.add_done_callback(self._settle_late)
            raise
        return self._settled(future)

    def _work(self, stop: threading.Event) -> Callable[[], Observed]:
        opened, pending, check = self.opened, self.opened.handout.pending, self.opened.check
        if pending is None or check is None:
            raise TypeError(f"{opened.draft.record.tool} writes no file")
        return partial(
            self.publish,
            pending,
            temporary_name(opened.draft.record.call),
            check=partial(check, opened.args),
            may_commit=lambda: not stop.is_set() and self.may_commit(),
        )

    def _settled(self, future: "asyncio.Future[Observed]") -> ToolResult:
        error = future.exception()
        if error is None:
            return self.published(self.opened, future.result())
        if isinstance(error, AaosError):
            self.failed(self.opened, error)
            raise error
        path = quoted(self.opened.draft.path)
        unknown = StorageError(f"{path}: publishing stopped: {type(error).__name__}: {error}", "look at the file")
        self.failed(self.opened, unknown, state=CallState.OUTCOME_UNKNOWN)
        raise unknown from error

    def _settle_late(self, future: "asyncio.Future[Observed]") -> None:
        with suppress(AaosError):
            self._settled(future)
