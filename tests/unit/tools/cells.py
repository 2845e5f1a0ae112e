"""A cell that runs nothing: it does what a test says, and remembers what it was asked to be."""

from collections.abc import Callable
from dataclasses import replace

from aaos.core.cell import CellEnd, CellRequest, CellResult, Output, Stream

ENDED = CellResult(CellEnd.EXITED, 0, None, b"", b"", False, False, 1.0, 1.0, None, "p" * 64, "f" * 64)


class FakeCells:
    """Implements `CellRunner`."""

    def __init__(self, result: CellResult = ENDED, *, act: Callable[[CellRequest], None] = lambda _: None) -> None:
        self.result = result
        self.act = act
        self.asked: list[CellRequest] = []

    async def run_cell(self, request: CellRequest, output: Output) -> CellResult:
        """What the test says."""
        self.asked.append(request)
        self.act(request)
        for stream, data in ((Stream.STDOUT, self.result.stdout), (Stream.STDERR, self.result.stderr)):
            for at in range(0, len(data), 3):
                output(stream, data[at : at + 3])
        return replace(self.result)
