"""What the calls of one agent changed, as agentd itself saw it: the evidence that its outcome is judged by (RUN-3).

Invariant: nothing here comes from what a worker says. Bounded: of what programs change only declared files are kept.
"""

from collections.abc import Callable

from aaos.broker.changes import Window
from aaos.core.ports import WrittenFile
from aaos.tools.brokered import BrokerWork
from aaos.tools.held import HeldCall
from aaos.tools.opencall import OpenCall


class Deeds:
    """`outputs` are the files of its output contract; `made` has the bytes of each that a program was the last to
    change, 0 for what is no file then. `on_published` is told each path at once that agentd has written."""

    def __init__(self, outputs: tuple[str, ...] = (), on_published: Callable[[str], None] = lambda _: None) -> None:
        self._outputs = outputs
        self._on_published = on_published
        self.written: list[WrittenFile] = []
        self.windows: list[Window] = []
        self.made: dict[str, int] = {}

    def published(self, file: WrittenFile) -> None:
        """agentd wrote it."""
        self._on_published(file.path)
        self.written.append(file)
        self.made.pop(file.path, None)

    def over(self, job: BrokerWork | HeldCall) -> None:
        """A call of agentd's own has ended, well or not: what its program changed is there."""
        job.release()
        self.ended(job.opened)

    def ended(self, call: OpenCall) -> None:
        """As `over`, of what was let go of."""
        self.windows += call.windows
        self.made |= {path: call.left[path] for path in self._outputs if path in call.left}
