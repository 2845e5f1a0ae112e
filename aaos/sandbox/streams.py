"""What a cell writes: two pipes, drained as it comes, kept up to a limit, never waited for.

Invariant: a read never blocks and never brings more than PIECE_BYTES; what is kept is at most `limit_bytes` a stream;
nothing is read after the limit was passed, and then `is_full` is told once.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from aaos.core.cell import Output, Stream

PIECE_BYTES = 65_536


@dataclass(slots=True)
class Drain:
    """One stream of one cell: its end of the pipe, and what came out of it."""

    stream: Stream
    fd: int
    limit_bytes: int
    output: Output
    on_full: Callable[[], None]
    on_error: Callable[[BaseException], None]
    kept: bytearray = field(default_factory=bytearray)
    is_cut: bool = False

    @classmethod
    def open(
        cls,
        stream: Stream,
        limit_bytes: int,
        output: Output,
        *,
        on_full: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> tuple["Drain", int]:
        """A drain that listens, and the end to write to, which the caller closes."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reading, False)
        drain = cls(stream, reading, limit_bytes, output, on_full, on_error)
        asyncio.get_running_loop().add_reader(reading, drain.read)
        return drain, writing

    def read(self) -> bool:
        """One piece, if there is one; whether there may be more."""
        if self.fd < 0:
            return False
        try:
            piece = os.read(self.fd, PIECE_BYTES)
        except BlockingIOError:
            return False
        if not piece:
            self.close()
            return False
        self._keep(piece)
        return not self.is_cut

    def finish(self) -> None:
        """Read what is left in the pipe, whose other end nobody has any more, and close."""
        while self.read():
            pass
        self.close()

    def close(self) -> None:
        """Read no more. Idempotent."""
        if self.fd >= 0:
            asyncio.get_running_loop().remove_reader(self.fd)
            os.close(self.fd)
            self.fd = -1

    def _keep(self, piece: bytes) -> None:
        part = piece[: self.limit_bytes - len(self.kept)]
        self.kept += part
        if len(part) < len(piece):
            self.is_cut = True
            self.close()
            self.on_full()
        if not part:
            return
        try:
            self.output(self.stream, part)
        except Exception as error:  # noqa: BLE001  # whoever listens may fail: the cell ends, and its caller hears of it
            self.on_error(error)
