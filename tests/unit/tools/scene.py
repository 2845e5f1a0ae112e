"""A gate with an agent in front of it, on a real directory: what the tests of this room play on."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from aaos.broker.files import FileBroker
from aaos.broker.secrets import SecretStore
from aaos.core.capability import Capability, Kind
from aaos.core.cell import CellRunner
from aaos.core.constraint import NONE, Constraints
from aaos.core.envelope import Submitter
from aaos.core.errors import DeniedError
from aaos.core.events import Event, EventKind
from aaos.core.ids import AgentId, CallId, Gid, RunId, SubtaskId, Uid
from aaos.core.ports import CallOutcome, Held, Origin, Root
from aaos.core.token import Handle, TokenBox
from aaos.tools.brokered import BrokerWork, Reported, ToolResult
from aaos.tools.caller import Caller, CallRequest
from aaos.tools.catalog import CATALOG
from aaos.tools.celled import Cells
from aaos.tools.desk import ApprovalDesk
from aaos.tools.gate import Gate, Permit
from aaos.tools.held import HeldCall
from aaos.tools.publish import Publish
from aaos.tools.spec import Tool
from tests.fakes import MemoryAudit, MemoryLedger
from worker import abi
from worker.abi import Json
from worker.user import toolbox

AGENT = AgentId("a-scene")
ME = Submitter(Uid(os.getuid()), Gid(os.getgid()))


class StillClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time_s = 1_000.0

    def monotonic_s(self) -> float:
        return self.time_s

    def now_s(self) -> float:
        return self.time_s


def as_myself(_uid: int, _gid: int, _groups: object) -> AbstractContextManager[None]:
    """Unit tests act as whoever runs them."""
    return nullcontext()


def broker(submitter: Submitter = ME) -> FileBroker:
    """Files of whoever runs the tests."""
    return FileBroker(submitter, publishing_lock=_LOCK, reader=ME, act=as_myself)


_LOCK = threading.Lock()


def root(path: Path, *, held: Held, writable: bool = True) -> Root:
    """A root that is opened for the rest of the test process."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    return Root(str(path), fd, True, writable, False, ME.uid, ME.gid, held)


class Scene:
    """One agent whose grants are all tools and a directory; `held` says who holds it."""

    def __init__(
        self,
        path: Path,
        *,
        held: Held = Held.GATE,
        grants: Iterable[Capability] | None = None,
        limits: Constraints = NONE,
        catalog: Mapping[str, Tool] = CATALOG,
        cells: CellRunner | None = None,
        secrets: SecretStore | None = None,
        desk: ApprovalDesk | None = None,
        is_suspended: Callable[[], bool] = lambda: False,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self.path = path
        self.clock = StillClock()
        self.tokens = TokenBox(self.clock)
        self.ledger = MemoryLedger()
        self.audit = MemoryAudit()
        self.noted: list[Event] = []
        self.gate = Gate(
            catalog,
            tokens=self.tokens,
            ledger=self.ledger,
            audit=self.audit,
            files=broker,
            clock=self.clock,
            cells=None if cells is None else Cells(cells, self.noted.append, secrets),
            desk=desk,
            is_suspended=is_suspended,
            may_act=may_act,
        )
        whole = [Capability(kind, f"{path}/**", limits) for kind in (Kind.FILE_READ, Kind.FILE_WRITE)]
        files = whole if grants is None else list(grants)
        tools = [Capability(Kind.TOOL, name) for name in catalog]
        self.handles: tuple[Handle, ...] = self.tokens.grant(AGENT, [*files, *tools])
        self.caller = Caller(RunId("r-1"), SubtaskId("s1"), AGENT, ME, (root(path, held=held),))
        self._number = 0

    def request(
        self, tool: str, args: Mapping[str, Json], *, origin: Origin = Origin.CODE
    ) -> Permit | BrokerWork | HeldCall:
        """Ask for a call."""
        self._number += 1
        call = CallRequest(CallId(f"{AGENT}-1-{self._number}"), tool, args, origin, 1)
        return self.gate.request(self.caller, call)

    def permit(self, tool: str, *, origin: Origin = Origin.CODE, **args: Json) -> Permit:
        """Ask for a call that a worker carries out."""
        granted = self.request(tool, args, origin=origin)
        assert isinstance(granted, Permit)
        return granted

    def carried_out(self, permit: Permit) -> abi.ToolDone:
        """What an honest worker says of a permit."""
        fds = [os.dup(fd) for fd in permit.fds]  # as the socket would
        done = toolbox.carry_out(permit.value, fds)
        for fd in fds:
            os.close(fd)
        return abi.ToolDone(2, permit.permit, done.ok, done.text, done.truncated)

    def settled(self, result: Reported | Publish) -> ToolResult:
        """The final result. Raises DeniedError for one that is discarded."""
        if isinstance(result, Publish):
            return asyncio.run(result.finish())
        result.record()
        if isinstance(result.result, DeniedError):
            raise result.result
        return result.result

    def call(self, tool: str, *, origin: Origin = Origin.CODE, **args: Json) -> ToolResult:
        """The whole way, with an honest worker."""
        report = self.carried_out(self.permit(tool, origin=origin, **args))
        return self.settled(self.gate.done(self.caller, report))

    @property
    def kinds(self) -> list[EventKind]:
        """What happened, in order."""
        return self.audit.kinds()

    @property
    def last_outcome(self) -> CallOutcome:
        """How the last settled call ended."""
        return list(self.ledger.settled.values())[-1]
