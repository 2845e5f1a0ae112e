"""The self-test of this installation: asked for by an operator, run behind the wall, and kept for the doctor.

Invariant: one runs at a time; the last result is on the disk before it is answered, and in the audit; a result that
cannot be read counts as none. It must not judge: that is the self-test's own.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from aaos import __version__
from aaos.core.cell import CellRunner
from aaos.core.errors import BusyError, ConfinementError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ports import AuditSink, Launcher
from aaos.core.rpc import Json
from aaos.daemon.configure_files import Change, put_in_place
from aaos.selftest.places import Places, places
from aaos.selftest.probe import Result
from aaos.selftest.trial import Facts, counted, failures, run_in_cells, run_in_workers

KEPT = "selftest.json"
MAX_KEPT_BYTES = 65_536
_NAMED = 20  # failed probes that are kept by name


@dataclass(frozen=True, slots=True)
class Kept:
    """What is remembered of the last self-test."""

    time_s: float
    version: str
    probes: int
    failed: int
    named: tuple[str, ...]


class SelfTest:
    """Runs it. `owner` gives the ids that own what its workers are granted."""

    def __init__(
        self,
        launcher: Launcher,
        cells: CellRunner,
        audit: AuditSink,
        *,
        state_dir: Path,
        socket: Path,
        owner: Callable[[], tuple[int, int]],
    ) -> None:
        self._launcher = launcher
        self._cells = cells
        self._audit = audit
        self._state_dir = state_dir
        self._socket = socket
        self._owner = owner
        self._running = asyncio.Lock()

    async def run(self) -> Mapping[str, Json]:
        """Every result, and how many there are. Raises AaosError when the probes could not be tried."""
        if self._running.locked():
            raise BusyError("a self-test is running", "wait a moment, then: agentd selftest")
        async with self._running:
            begun_s = time.monotonic()
            results = await self._results()
            duration_ms = round((time.monotonic() - begun_s) * 1000, 1)
            counts = counted(results)
            named = tuple(f"{bad.place}: {bad.group}: {bad.probe}" for bad in failures(results))
            kept = Kept(time.time(), __version__, counts["probes"], counts["failed"], named[:_NAMED])
            await asyncio.to_thread(keep, self._state_dir, kept)
            fields: dict[str, Scalar] = {**counts, "duration_ms": duration_ms, "message": "; ".join(kept.named)}
            self._audit.record(Event(EventKind.SELFTEST_DONE, fields=fields))
            return {"results": [_view(one) for one in results], **counts, "duration_ms": duration_ms}

    async def _results(self) -> list[Result]:
        async with AsyncExitStack() as stack:
            context = places(self._state_dir, self._owner())
            made = await asyncio.to_thread(context.__enter__)
            stack.push_async_callback(asyncio.to_thread, context.__exit__, None, None, None)
            facts = Facts(os.getpid(), self._socket)
            try:
                in_workers = await run_in_workers(self._launcher, made, facts)
                return [*in_workers, *await run_in_cells(self._cells, made, facts)]
            except ConfinementError as error:
                raise _of_place(error, made) from error


def _of_place(error: ConfinementError, made: Places) -> ConfinementError:
    """Of what the self-test was granted, which no operator grants otherwise: its place is the state's."""
    if not error.message.startswith(f"{made.directory}/"):
        return error
    return ConfinementError(error.message, "put daemon.state_dir on ext4, xfs, btrfs or tmpfs")


def keep(state_dir: Path, kept: Kept) -> None:
    """Replace what is remembered. Raises StorageError."""
    put_in_place([Change(state_dir / KEPT, json.dumps(asdict(kept)).encode(), 0o600)])


def last(state_dir: Path) -> Kept | None:
    """The last self-test, or None."""
    try:
        document = json.loads((state_dir / KEPT).read_bytes()[:MAX_KEPT_BYTES])
        named = tuple(str(name) for name in document["named"])
        kept = Kept(float(document["time_s"]), str(document["version"]), document["probes"], document["failed"], named)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return kept if (type(kept.probes), type(kept.failed)) == (int, int) else None


def _view(result: Result) -> Json:
    shown = asdict(result)
    shown["ok"] = shown.pop("is_ok")
    return shown
