"""A call between its admission and its outcome.

Invariant: whoever ends it closes its handout; the buffer of a write lives exactly as long as the call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aaos.broker.binding import Bound
from aaos.broker.changes import Window
from aaos.core.token import Charge
from aaos.tools.handout import Handout, Use
from aaos.tools.records import Draft
from aaos.tools.spec import RESULT_BYTES, CellTool, ContentCheck, Tool, WorkerTool
from worker.abi import Json


@dataclass(slots=True)
class OpenCall:
    """A call that is being let through, or was."""

    draft: Draft
    tool: Tool
    args: Mapping[str, Json]
    started_s: float
    count: int = 0  # of identical calls, as the repeat guard has it
    charges: tuple[Charge, ...] = ()
    uses: tuple[Use, ...] = ()  # what is opened for it
    handout: Handout = field(default_factory=Handout)
    windows: tuple[Window, ...] = ()  # of what a cell changed
    left: Mapping[str, int] = field(default_factory=dict)  # bytes of each file that it changed; 0 of what is no file
    told: str = ""  # what a cell changed before it was lost or stopped
    bound: Bound | None = None  # what a held call of a program was approved to see
    pre_hash: str | None = None  # of what it is to change, as it was approved
    bound_ns: int = 0  # when that was looked at, by the clock of inode times

    @property
    def check(self) -> ContentCheck | None:
        """Whether the content that was written is what the call asked for."""
        return self.tool.check if isinstance(self.tool, WorkerTool) else None

    @property
    def program_s(self) -> int:
        """How long its program may run, which is beside the time of the call itself; 0 for a call without one."""
        return self.tool.wrapper.limits.wall_s if isinstance(self.tool, CellTool) else 0

    @property
    def limit_bytes(self) -> int:
        """The most bytes of text in its result."""
        limit: int = self.args.get("max_bytes", RESULT_BYTES)
        return limit
