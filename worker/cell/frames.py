"""What agentd and a cell say to each other, over the cell's one socket, in the wire format of `worker.abi`.

Invariant: the first frame to a cell holds only policy; what comes from an agent (arguments, variables) is in the
second, which agentd sends when both attestations agreed. `ready` and `log` are those of `worker.abi`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from worker import abi

PLAIN = "cell"  # profile of a cell without network
WITH_DOOR = "cell.net"  # profile of one with a door to the egress
PROFILES = (PLAIN, WITH_DOOR)
PROXY_PORT = 3128  # of the door, on the cell's own loopback


@dataclass(frozen=True, slots=True)
class Furnish:
    """To a parked cell: its abi.Policy. fds: a detached tree for each mount."""

    t: ClassVar[str] = "cell.furnish"
    policy: Mapping[str, abi.Json]


@dataclass(frozen=True, slots=True)
class Exec:
    """To a confirmed cell: run this. fds: the program, stdout, stderr, and stdin unless that is to be empty."""

    t: ClassVar[str] = "cell.exec"
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str


@dataclass(frozen=True, slots=True)
class Door:
    """From a cell with network, before `ready`. One fd: the socket that listens on its loopback."""

    t: ClassVar[str] = "cell.door"


@dataclass(frozen=True, slots=True)
class Ended:
    """From a cell: its program has ended, by `exit_code` or by `signal`, and so has the cell.

    `cpu_us` and `peak_bytes` are those of all that was reaped, the latter of the largest process.
    """

    t: ClassVar[str] = "cell.ended"
    exit_code: int | None
    signal: int | None
    cpu_us: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class NotStarted:
    """From a cell: its program could not be started."""

    t: ClassVar[str] = "cell.not_started"
    message: str


Report = Ended | NotStarted

TO_PARKED: tuple[type[Furnish], ...] = (Furnish,)
TO_CONFIRMED: tuple[type[Exec], ...] = (Exec,)
FIRST: tuple[type[Door] | type[abi.Ready] | type[abi.Log], ...] = (Door, abi.Ready, abi.Log)
REPORTS: tuple[type[Ended] | type[NotStarted], ...] = (Ended, NotStarted)

abi.learn(Furnish, Exec, Door, Ended, NotStarted)
