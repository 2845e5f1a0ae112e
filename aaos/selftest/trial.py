"""Runs the probes: each group in a worker and in a cell of its own, confirmed like every other, until each is judged.

Invariant: a probe whose process ends or falls silent under it is judged by that, and those after it are tried in a new
one, so that there is a result for every probe; each step is bounded in time. It must not judge a probe by anything that
the process says beside what became of an act.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from aaos.core.cell import CellEnd, CellLimits, CellRequest, CellRunner, Stream
from aaos.core.errors import AaosError, ConfinementError
from aaos.core.ids import AgentId, CallId, RunId, SubtaskId
from aaos.core.ports import Launcher, LaunchRequest, Root, Session
from aaos.selftest import kernel_probes, place_probes
from aaos.selftest.cell_probes import in_cell
from aaos.selftest.places import Places, granted
from aaos.selftest.probe import KILLED, SILENT, Probe, Result, judged
from worker import abi

WORKER, CELL = "worker", "cell"
PYTHON = "/usr/bin/python3"
RUN = RunId("selftest")
SOURCE = Path(__file__).parent / "program.py"
PROBES: tuple[Probe, ...] = (
    *kernel_probes.NAMESPACES,
    *kernel_probes.MOUNTS,
    *kernel_probes.PROCESSES,
    *kernel_probes.IDENTITY,
    *kernel_probes.MEMORY,
    *kernel_probes.KERNEL,
    *place_probes.FILES,
    *place_probes.MACHINE,
    *place_probes.TERMINAL,
    *place_probes.NETWORK,
    *place_probes.LIMITS,
    *place_probes.INHERITED,
)
SILENCE_S = 10.0  # for the rest of a group
LIMITS = CellLimits(
    wall_s=SILENCE_S,
    cpu_s=10,
    memory_bytes=2**28,
    pids=32,
    nofile=128,
    fsize_bytes=2**23,
    output_bytes=2**18,
    tmpfs_bytes=2**22,
)
_MARK = "# the literals of `trial` come here\n"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the acts name of this installation."""

    agentd: int
    socket: Path


@dataclass(slots=True)
class _Heard:
    """What a process has said: the probe that is under way, and what became of those before."""

    seen: dict[int, str] = field(default_factory=dict)
    current: int | None = None

    def line(self, text: str) -> None:
        """Take one line; what is no report is not one."""
        try:
            report = json.loads(text)
        except (ValueError, RecursionError):
            return
        match report:
            case {"probe": int(index), "seen": str(seen)} if index == self.current:
                self.seen.setdefault(index, seen[:200])
                self.current = None
            case {"probe": int(index)} if self.current is None:
                self.current = index


async def run_in_workers(
    launcher: Launcher, made: Places, facts: Facts, *, probes: Sequence[Probe] = PROBES, silence_s: float = SILENCE_S
) -> list[Result]:
    """A result for each probe, in their order. Raises AaosError when there is no worker to try them in."""
    results: list[Result] = []
    with granted(made) as roots:
        for group, members in groupby(probes, key=lambda probe: probe.group):
            results += await _group(launcher, roots, tuple(members), literals(made, facts), group, silence_s)
    return results


async def _group(
    launcher: Launcher, roots: tuple[Root, ...], probes: Sequence[Probe], facts: str, group: str, silence_s: float
) -> list[Result]:
    seen: dict[int, str] = {}
    while left := [index for index in range(len(probes)) if index not in seen]:
        source = program([(index, probes[index].act) for index in left], facts)
        request = LaunchRequest(RUN, SubtaskId(group), AgentId(f"selftest-{group}"), "program", roots, source)
        session = await launcher.launch(request)
        heard = await _listened(session, silence_s)
        fresh = {index: what for index, what in heard.seen.items() if index in left}
        if not fresh and heard.current is None:
            raise _said_nothing(group)
        seen |= fresh
    return [judged(probe, seen[index], place=WORKER, refusals=probe.refusals) for index, probe in enumerate(probes)]


async def run_in_cells(
    cells: CellRunner, made: Places, facts: Facts, *, probes: Sequence[Probe] = PROBES, silence_s: float = SILENCE_S
) -> list[Result]:
    """A result for each probe that a cell's program may not do. Raises AaosError when there is no cell to try it in."""
    results: list[Result] = []
    tried = [(probe, refusals) for probe in probes if (refusals := in_cell(probe)) is not None]
    with granted(made) as roots:
        for group, members in groupby(tried, key=lambda pair: pair[0].group):
            pairs = tuple(members)
            acts = [probe.act for probe, _ in pairs]
            seen = await _cell_group(cells, roots, acts, literals(made, facts), group, silence_s)
            results += [
                judged(probe, seen[index], place=CELL, refusals=refusals)
                for index, (probe, refusals) in enumerate(pairs)
            ]
    return results


async def _cell_group(
    cells: CellRunner, roots: tuple[Root, ...], acts: Sequence[str], facts: str, group: str, silence_s: float
) -> dict[int, str]:
    seen: dict[int, str] = {}
    while left := [index for index in range(len(acts)) if index not in seen]:
        source = program([(index, acts[index]) for index in left], facts, ending="as_program()")
        ended = await cells.run_cell(_cell(source, roots, group, silence_s), _unheard)
        heard = _Heard()
        for line in ended.stdout.decode("utf-8", "replace").splitlines():
            heard.line(line)
        if heard.current is not None:
            heard.seen[heard.current] = SILENT if ended.end is CellEnd.WALL else KILLED
        fresh = {index: what for index, what in heard.seen.items() if index in left}
        if not fresh:
            raise _said_nothing(group)
        seen |= fresh
    return seen


def _unheard(stream: Stream, piece: bytes) -> None:
    """All of it is in the result."""


def _cell(source: bytes, roots: tuple[Root, ...], group: str, silence_s: float) -> CellRequest:
    return CellRequest(
        run=RUN,
        subtask=SubtaskId(group),
        agent=AgentId(f"selftest-{group}"),
        call=CallId(f"selftest-{group}"),
        program=PYTHON,
        argv=(PYTHON, "-I", "-S", "-"),
        env={},
        cwd="/",
        stdin=source,
        roots=roots,
        readable=(),
        exec_paths=(),
        exec_writable=False,
        egress=(),
        limits=replace(LIMITS, wall_s=silence_s),
    )


def _said_nothing(group: str) -> ConfinementError:
    return ConfinementError(f"the self-test of {group} said nothing", "see journalctl -t agentd; run it again")


async def _listened(session: Session, silence_s: float) -> _Heard:
    """What a worker said until its end, and what its end means for the probe that was under way."""
    heard = _Heard()

    def hear(frame: abi.FromWorker) -> None:
        if isinstance(frame, abi.Log):
            heard.line(frame.text)
        elif isinstance(frame, abi.Finish):
            done.set()

    done, end = asyncio.Event(), KILLED
    start = abi.Start(v=abi.VERSION, agent="selftest", goal="", params={}, tools=(), grants=(), credits=1)
    try:
        async with asyncio.timeout(silence_s):
            await session.serve(start, hear)
    except TimeoutError:
        end = SILENT
    except AaosError:  # what it sent was no frame
        end = KILLED
    finally:
        await session.close("the self-test is over")
    if heard.current is not None and not done.is_set():
        heard.seen[heard.current] = end
    return heard


def literals(made: Places, facts: Facts) -> str:
    """The places of a self-test as the program has them."""
    paths = (str(made.writable), str(made.readable), str(made.closed), str(facts.socket))
    return f"W, R, X, SOCKET = {paths!r}\nAGENTD = {facts.agentd}\n"


def program(acts: Sequence[tuple[int, str]], facts: str, *, ending: str = "as_agent()") -> bytes:
    """The source that tries these acts."""
    source = SOURCE.read_text(encoding="utf-8")
    return f"{source.replace(_MARK, f'{facts}ACTS = {list(acts)!r}', 1)}\n{ending}\n".encode()


def counted(results: Sequence[Result]) -> Mapping[str, int]:
    """How many probes there were, and how many of them did not meet their refusal."""
    return {"probes": len(results), "failed": sum(not result.is_ok for result in results)}


def failures(results: Sequence[Result]) -> Iterator[Result]:
    """Those that did not meet their refusal."""
    return (result for result in results if not result.is_ok)
