"""Real cells for the kernel tests: requests, and what became of their programs.

Invariant: a program runs only in a cell that both attestations confirmed; `run` checks that its confinement is on
record before anything is believed of what the program said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

from aaos.core.cell import CellLimits, CellRequest, CellResult, HostPort, Output, Stream
from aaos.core.events import EventKind
from aaos.core.ids import AgentId, CallId, RunId, SubtaskId
from aaos.core.layers import ALL_LAYERS, Layer
from aaos.core.ports import Root
from tests.kernel.harness import REDUCED, Stand

PYTHON = "/usr/bin/python3"
SHELL = "/bin/sh"
ENV = {"PATH": "/usr/bin", "LANG": "C.UTF-8"}
LIMITS = CellLimits(
    wall_s=20.0,
    cpu_s=10,
    memory_bytes=2**28,
    pids=32,
    nofile=128,
    fsize_bytes=2**24,
    output_bytes=2**17,
    tmpfs_bytes=2**24,
)
LAYERS = ALL_LAYERS - REDUCED - {Layer.MDWE}


class Limits(TypedDict, total=False):
    """Other limits than LIMITS."""

    wall_s: float
    cpu_s: int
    memory_bytes: int
    pids: int
    nofile: int
    fsize_bytes: int
    output_bytes: int
    tmpfs_bytes: int


def cell(
    program: str,
    *argv: str,
    roots: Sequence[Root] = (),
    exec_paths: Sequence[str] = (),
    readable: Sequence[str] = (),
    exec_writable: bool = False,
    control_writable: bool = False,
    stdin: bytes = b"",
    cwd: str = "/",
    env: Mapping[str, str] = ENV,
    egress: Sequence[HostPort] = (),
    **limits: Unpack[Limits],
) -> CellRequest:
    """A request for `program`, which argv[0] names too."""
    return CellRequest(
        run=RunId("r-1"),
        subtask=SubtaskId("s"),
        agent=AgentId("a-1"),
        call=CallId("a-1-1-0"),
        program=program,
        argv=(program, *argv),
        env=env,
        cwd=cwd,
        stdin=stdin,
        roots=tuple(roots),
        readable=tuple(readable),
        exec_paths=tuple(exec_paths),
        exec_writable=exec_writable,
        egress=tuple(egress),
        limits=replace(LIMITS, **limits),
        control_writable=control_writable,
    )


def python(source: str, **limits: Unpack[Limits]) -> CellRequest:
    """A cell that runs this program of Python, on the machine's own interpreter."""
    return cell(PYTHON, "-I", "-c", source, **limits)


def shell(source: str, *exec_paths: str, **limits: Unpack[Limits]) -> CellRequest:
    """A cell that runs this script of sh, which may start the programs that are named."""
    return cell(SHELL, "-c", source, exec_paths=exec_paths, **limits)


def silent(stream: Stream, piece: bytes) -> None:
    """Nobody listens."""


def run(stand: Stand, request: CellRequest, output: Output = silent) -> CellResult:
    """What became of a cell that was confirmed with every layer that this machine has."""
    before = stand.audit.count(EventKind.CELL_ENDED)
    result = stand.run(stand.launcher.cells.run_cell(request, output))
    confined = [event for event in stand.audit.events if event.kind is EventKind.CELL_CONFINED][-1]
    assert set(str(confined.fields["layers"]).split()) == set(LAYERS)
    assert confined.fields["policy_digest"] == result.policy_digest
    assert stand.audit.count(EventKind.CELL_ENDED) == before + 1
    return result


def said(stand: Stand, request: CellRequest) -> list[str]:
    """The lines of a program that is to end well."""
    result = run(stand, request)
    assert (result.end.value, result.exit_code, result.stderr) == ("exited", 0, b""), result
    return result.stdout.decode().splitlines()
