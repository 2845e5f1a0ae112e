"""What a lower room needs of a higher one, or a room of its sibling: Protocols and the values that cross them.

Invariant: no implementation here, and no import above `core` except the wire format.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from aaos.core.capability import Kind
from aaos.core.envelope import Envelope
from aaos.core.errors import AaosError
from aaos.core.events import Event, EventKind, Recorded, Scalar
from aaos.core.ids import AgentId, CallId, Gid, RunId, SubtaskId, Uid, new_agent_id
from aaos.core.layers import Layer
from aaos.core.role import Role
from aaos.core.url import Url
from worker.abi import FromWorker, Start, ToWorker


class AuditSink(Protocol):
    """Where events go; the row is written before `record` returns."""

    def record(self, event: Event) -> Recorded: ...


class BatchAudit(AuditSink, Protocol):
    """The same for several at once: all of them are written before `record_all` returns, or none."""

    def record_all(self, events: Sequence[Event]) -> Sequence[Recorded]: ...


# --- tool calls ---------------------------------------------------------------------------------------------------


class Origin(StrEnum):
    """Who asked for a call: the model's answer, or the worker's own code."""

    MODEL = "model"
    CODE = "code"


class CallState(StrEnum):
    """The life of a tool call in the ledger."""

    HELD = "held"  # until somebody approves it; nothing of it was done
    PERMITTED = "permitted"
    DONE = "done"
    FAILED = "failed"
    DENIED = "denied"
    OUTCOME_UNKNOWN = "outcome_unknown"


class Evidence(StrEnum):
    """Whether the daemon saw it or the worker said it."""

    OBSERVED = "observed"
    REPORTED = "reported"


class Label(StrEnum):
    """Where the content of a result comes from, when that matters later."""

    NONE = ""
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A tool call as it is written before it is acted on; `arguments` is canonical JSON, `digest` its sha256."""

    call: CallId
    run: RunId
    subtask: SubtaskId
    agent: AgentId
    turn: int
    tool: str
    origin: Origin
    arguments: str
    digest: str
    state: CallState
    pre_hash: str | None = None


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended; `result` is the text that the agent got, `size_bytes` that of the file that was published."""

    state: CallState
    result: str
    truncated: bool
    evidence: Evidence
    duration_ms: float
    post_hash: str | None = None
    error_code: str | None = None
    remedy: str = ""
    size_bytes: int | None = None
    label: Label = Label.NONE


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call with its outcome, None while there is none, and the start of the daemon that opened it."""

    record: CallRecord
    outcome: CallOutcome | None
    epoch: int


class Steps(Protocol):
    """When what is written counts: `step` makes it one transaction, which survives a kill; `trailing` too, with what
    comes next or before it; `proceed` is for the time in which nobody waits; `durable` waits for the disk (RUN-8)."""

    def step(self) -> AbstractContextManager[None]: ...
    def trailing(self) -> AbstractContextManager[None]: ...
    def proceed(self) -> None: ...
    async def durable(self) -> None: ...


class Ledger(Protocol):
    """Rows of tool calls; each method commits before it returns, or with the `step` that it is in. A call that an
    earlier daemon left without an outcome may be opened again, with the same arguments."""

    def step(self) -> AbstractContextManager[None]:
        """What is written in it is committed together, or not at all."""

    def open_call(self, record: CallRecord) -> None: ...

    def permit_call(self, call: CallId) -> None:
        """A call that was held may be carried out now."""

    def settle_call(self, call: CallId, outcome: CallOutcome) -> None: ...

    def lower_trust(self, run: RunId) -> bool:
        """Write down that a run has seen content from outside; whether it had not before."""


# --- tools that agentd carries out itself -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BrokerCall:
    """What a tool of agentd's own knows of the call that it carries out, and for which user.

    `charge(kind, resource, action)` counts one more use, before it happens; raises DeniedError, LimitError. `note` puts
    an event on record. `limit_bytes` is the most that one use of the network may move, None without a byte budget. A
    call that is stopped is cancelled as a task. `groups` are all of the user's.
    """

    run: RunId
    agent: AgentId
    uid: Uid
    charge: Callable[[Kind, str, str], None]
    note: Callable[[EventKind, Mapping[str, Scalar]], None]
    limit_bytes: int | None
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class BrokerResult:
    """What the agent gets; content from outside lowers the run's trust. `facts` are for the audit: how it went."""

    text: str
    is_truncated: bool = False
    label: Label = Label.NONE
    is_ok: bool = True
    facts: Mapping[str, Scalar] = field(default_factory=dict)


class Revealed(Protocol):
    """A secret, which shows as its name: whoever writes it on the wire reveals it there."""

    def reveal(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Header:
    """One header of a request: its name, and before the secret an own word such as `Bearer `."""

    name: str
    prefix: str
    secret: Revealed


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One request to one address. `permitted` are networks (CIDR) beyond the open internet that may be reached.

    `uid` is the user for whom it is made. `max_bytes` of the text are wanted from byte `offset` on; `wire_bytes` bounds
    what is read, None without a bound of the caller's own.
    """

    uid: Uid
    url: Url
    method: str
    permitted: tuple[str, ...]
    is_readable: bool
    offset: int
    max_bytes: int
    wire_bytes: int | None
    header: Header | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A server's answer, all of it foreign. With a `location` it is a redirect. `text` is UTF-8, the part asked for.

    `address` is the one that was connected to, `text_bytes` the length of the whole text, `partial` why it is cut.
    """

    status: int
    location: str
    address: str
    media_type: str
    text: bytes
    text_bytes: int
    received_bytes: int
    partial: str


class Fetcher(Protocol):
    """The door to the web."""

    async def fetch(self, asked: PageRequest) -> Page:
        """Raises AaosError."""


# --- what models cost ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spend:
    """Tokens and money."""

    tokens: int = 0
    cost_usd: float = 0.0


class SpendStore(Protocol):
    """What each run has spent; `set_spent` commits before it returns, `durable` returns when it is on the disk."""

    def spent(self, run: RunId) -> Spend: ...
    def set_spent(self, run: RunId, spent: Spend, *, held: Spend) -> None: ...
    async def durable(self) -> None: ...


# --- workers ------------------------------------------------------------------------------------------------------


class Held(StrEnum):
    """Who holds a grant: the kernel (mounted in the worker) or the gate (an fd per call)."""

    KERNEL = "kernel"
    GATE = "gate"


@dataclass(frozen=True, slots=True)
class Root:
    """A granted path, opened (O_PATH) with the submitter's rights. `fd` belongs to whoever opened it."""

    path: str
    fd: int
    is_dir: bool
    writable: bool
    as_owner: bool
    owner_uid: Uid
    owner_gid: Gid
    held: Held


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What a worker is to be: its entry and what the kernel lets it see. Only kernel-held roots are mounted."""

    run: RunId
    subtask: SubtaskId
    agent: AgentId
    entry: str
    roots: tuple[Root, ...]
    program: bytes | None = None


@dataclass(frozen=True, slots=True)
class Attestation:
    """What was confirmed of one worker: `inside` by its canaries, `outside` by agentd; both agree, layer by layer.

    With a `call`, of the cell in which the program of that call runs.
    """

    agent: AgentId
    pid: int
    host_uid: Uid
    layers: tuple[Layer, ...]
    missing: tuple[Layer, ...]
    inside: Mapping[str, str]
    outside: Mapping[str, str]
    policy_digest: str
    filter_digest: str
    duration_ms: float
    steps_us: Mapping[str, int] = field(default_factory=dict)
    call: str = ""


class Session(Protocol):
    """agentd's end of one confined worker; it exists only after both attestations agreed."""

    @property
    def agent(self) -> AgentId: ...
    @property
    def attestation(self) -> Attestation: ...

    async def serve(self, start: Start, handle: Callable[[FromWorker], None]) -> str:
        """Send `start`, call `handle` for each frame in order (synchronously, on the loop) until the session ends; the
        reason it ended. An AaosError from `handle` ends the session and is raised."""

    def send(self, frame: ToWorker, fds: Sequence[int] = ()) -> None:
        """Queue a frame; never blocks. The fds are duplicated: the caller closes its own. A full queue ends it all."""

    def attest_again(self) -> Attestation:
        """The outside half repeated on the live worker. Raises ConfinementError on drift."""

    def attest_cells(self) -> tuple[Attestation, ...]:
        """The same of each program that runs for it in a cell. Raises ConfinementError on drift."""

    async def pause(self) -> None:
        """Freeze the whole process tree. Raises ConflictError without the cgroup layer, BusyError, ConfinementError."""

    def go_on(self) -> None:
        """End the pause; nothing when there is none."""

    def halted(self) -> AbstractAsyncContextManager[None]:
        """The worker's process stands still meanwhile. Raises BusyError when it does not in time."""

    def fail(self, error: AaosError) -> None:
        """End it for what was seen of the worker from outside: `serve` raises `error`."""

    async def close(self, reason: str) -> None:
        """Kill, reap, release everything; idempotent."""


class Launcher(Protocol):
    """The only way to a worker. `agent.confined` is in the audit before `launch` returns."""

    async def launch(self, request: LaunchRequest) -> Session:
        """Raises ConfinementError, BusyError, WorkerLostError; nothing is left behind then."""


# --- agents -------------------------------------------------------------------------------------------------------

Param = str | int | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentTask:
    """One attempt at one subtask. A resumed agent has its id, its conversation and its calls from earlier sessions, and
    the time at which it began in the first of them (UTC, seconds): what was granted for a while counts from it."""

    run: RunId
    subtask: SubtaskId
    attempt: int
    role: Role
    params: Mapping[str, Param]
    inputs: Mapping[SubtaskId, str]
    goal: str
    envelope: Envelope
    began_s: float
    program: bytes | None = None
    agent: AgentId = field(default_factory=new_agent_id)
    is_resumed: bool = False


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that agentd itself published for this subtask: observed evidence."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AgentOutcome:
    """How an agent ended; `text` is its answer, `error` is None when it finished well. `made` are the bytes of each
    file of its output contract that its programs were the last to change, as agentd saw them."""

    agent: AgentId
    text: str
    written: tuple[WrittenFile, ...]
    error: AaosError | None
    made: Mapping[str, int] = field(default_factory=dict)


class Spawner(Protocol):
    """Runs one agent to its end; errors of the agent are in the outcome, never raised."""

    async def run_agent(self, task: AgentTask) -> AgentOutcome: ...
