"""Cells: one program behind the wall for one call; what it is asked to be, and how it ended.

Invariant: values and Protocols only. A request names everything that its program gets; what is not named is not there:
no file, no variable, no fd, no network. `run_cell` returns when nothing of the cell is left.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from aaos.core.ids import AgentId, CallId, RunId, SubtaskId
from aaos.core.ports import Header, Root


class CellEnd(StrEnum):
    """Why a cell ended; the first that happened counts."""

    EXITED = "exited"
    SIGNALLED = "signalled"  # its program was killed by a signal that no limit explains
    WALL = "wall"
    CPU = "cpu"
    MEMORY = "memory"
    OUTPUT = "output"
    CANCELLED = "cancelled"
    LOST = "lost"  # cell-init was killed or broke its protocol: how the program ended is not known


class Stream(StrEnum):
    """Where a piece of output came from."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class HostPort:
    """A place on the network that a cell may reach through the egress; `host` is a name or an address, never a URL."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class PlacedSecret:
    """A secret that the egress places in what a cell asks of the secret's host; nothing of it is in the cell.

    `asks` is what it goes with, as `METHOD /PATH`; `forms` gives what must come back to no cell.
    """

    name: str
    header: Header
    asks: tuple[str, ...]
    forms: Callable[[], tuple[str, ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CellLimits:
    """Bounds of one cell; `output_bytes` holds for stdout and for stderr, each. `address_bytes` (0: as the memory) is
    what a process may reserve where there are no cgroups; what it uses of that is still bounded by `memory_bytes`."""

    wall_s: float
    cpu_s: int
    memory_bytes: int
    pids: int
    nofile: int
    fsize_bytes: int
    output_bytes: int
    tmpfs_bytes: int
    address_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CellRequest:
    """One program and all that it gets.

    `program` is its absolute path on the machine, opened once; `argv` includes argv[0]; `env` is complete; `cwd` is a
    path inside. `roots` are mounted at their own paths, read-only unless writable. `readable` are further read-only
    paths of the machine beside /usr; `exec_paths` (files or directories) may be executed beside the program; with
    `exec_writable` also what the cell itself writes. Without `egress` there is no network at all. Control files such as
    `.git` are read-only in writable roots, too, unless `control_writable`: for a program whose work they are. With a
    `secret` the places of `egress` are asked in plain HTTP, which goes on over TLS with it.
    """

    run: RunId
    subtask: SubtaskId
    agent: AgentId
    call: CallId
    program: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    stdin: bytes
    roots: tuple[Root, ...]
    readable: tuple[str, ...]
    exec_paths: tuple[str, ...]
    exec_writable: bool
    egress: tuple[HostPort, ...]
    limits: CellLimits
    secret: PlacedSecret | None = None
    control_writable: bool = False


@dataclass(frozen=True, slots=True)
class CellResult:
    """How a cell ended, as agentd saw it. `stdout` and `stderr` are the first bytes of each, up to the limit.

    `exit_code` is there when the program exited, `signal` when a signal ended it, neither when it was LOST.
    """

    end: CellEnd
    exit_code: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    stdout_cut: bool
    stderr_cut: bool
    duration_ms: float
    cpu_ms: float
    peak_bytes: int | None
    policy_digest: str
    filter_digest: str


Output = Callable[[Stream, bytes], None]


class CellRunner(Protocol):
    """The only way to a cell."""

    async def run_cell(self, request: CellRequest, output: Output) -> CellResult:
        """Run it to its end; `output` gets each piece as it comes, up to the limit. Cancelling the task kills the cell.

        Raises ConfinementError, BusyError, WorkerLostError, NotFoundError for a program that is not there.
        """


class CellNetwork(Protocol):
    """The door of a cell to the egress."""

    def open_door(self, listener_fd: int, request: CellRequest) -> AbstractAsyncContextManager[None]:
        """As long as it is open, the egress accepts on this socket, which listens in the cell's own network namespace,
        and connects to the request's `egress` and nothing else; when it was left, every connection has ended and is on
        record. The fd is duplicated: the caller closes its own inside. Raises AaosError."""
