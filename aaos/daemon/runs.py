"""The runs that run now: each one a task of the daemon's own group, bounded in number, stopped by cancellation.

Invariant: a run is here exactly while its task lives, and when it leaves its row is final, or the daemon ends and the
run is left for the next one. It must not look into a run.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from aaos.core.errors import AaosError, BusyError, CancelledError, ConflictError
from aaos.core.events import Event, EventKind
from aaos.core.graph import RunState
from aaos.core.ids import RunId, Uid
from aaos.core.ports import AuditSink
from aaos.store.runs import Runs

_STOP_S = 10.0
_log = logging.getLogger("agentd")
Work = Callable[[], Awaitable[object]]


class LiveRuns:
    """At most `max_runs` runs at once, half of them of one user.

    `close` sets `closing`, then tells `suspend` each run that it leaves to the next daemon.
    """

    def __init__(
        self,
        runs: Runs,
        audit: AuditSink,
        *,
        max_runs: int,
        suspend: Callable[[RunId], None] = lambda _: None,
        closing: asyncio.Event | None = None,
    ) -> None:
        self._runs = runs
        self._audit = audit
        self._max_runs = max_runs
        self._suspend = suspend
        self._waiting: list[tuple[RunId, Uid, Work]] = []
        self._stopped: set[RunId] = set()
        self._suspended: set[RunId] = set()
        self._closing = closing or asyncio.Event()
        self._tasks: dict[RunId, asyncio.Task[None]] = {}
        self._owners: dict[RunId, Uid] = {}
        self._group: asyncio.TaskGroup | None = None
        self._unwritten: dict[RunId, tuple[RunState, AaosError]] = {}  # ends that a full disk refused

    def open(self, group: asyncio.TaskGroup) -> None:
        """Runs may start from now on, as tasks of `group`; those that are resumed do."""
        self._group = group
        waiting, self._waiting = self._waiting, []
        for run, uid, work in waiting:
            self._begin(group, run, uid, work)

    def check_room(self, uid: Uid) -> None:
        """Raises BusyError when this user may start no further run, ConflictError when the daemon stops."""
        if self._group is None:
            raise ConflictError("agentd is stopping", "submit again when it runs")
        own = sum(owner == uid for owner in self._owners.values())
        if len(self._tasks) >= self._max_runs or own >= self._share(uid):
            remedy = "wait for one to end (`agentd list`), stop one (`agentd stop RUN`), or raise limits.max_runs"
            raise BusyError(f"{own} runs of uid {uid} and {len(self._tasks)} in all run already", remedy)

    def _share(self, uid: Uid) -> int:
        """Half of the places are the most that one user may hold, so that nobody can keep root and the others out."""
        return self._max_runs if uid == 0 else max(1, self._max_runs // 2)

    def start(self, run: RunId, uid: Uid, work: Work) -> None:
        """Begin the run. Raises BusyError, ConflictError."""
        self.check_room(uid)
        if self._group is None:
            raise ConflictError("agentd is stopping", "submit again when it runs")
        self._begin(self._group, run, uid, work)

    def resume(self, run: RunId, uid: Uid, work: Work) -> None:
        """Begin the run when runs may start; it had its place under an earlier daemon."""
        self._waiting.append((run, uid, work))

    def _begin(self, group: asyncio.TaskGroup, run: RunId, uid: Uid, work: Work) -> None:
        task = group.create_task(self._guarded(run, work), name=f"run {run}")
        self._tasks[run] = task
        self._owners[run] = uid
        task.add_done_callback(partial(self._ended, run))

    async def stop(self, run: RunId) -> None:
        """Cancel the run and wait for its end, 10 s at most; nothing when it has ended."""
        task = self._tasks.get(run)
        if task is not None:
            self._stopped.add(run)
            task.cancel()
            await asyncio.wait({task}, timeout=_STOP_S)

    async def close(self, *, timeout_s: float = _STOP_S) -> None:
        """No further runs; those that run are suspended, unless they were being stopped, and waited for."""
        self._group = None
        self._closing.set()
        tasks = set(self._tasks.values())
        for run in self._tasks.keys() - self._stopped:
            self._suspended.add(run)
            self._suspend(run)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    def settle(self) -> None:
        """Write the ends that could not be written when they came; to be called now and then."""
        for run, (state, error) in tuple(self._unwritten.items()):
            self._close_row(run, state, error)

    def __contains__(self, run: RunId) -> bool:
        return run in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    async def _guarded(self, run: RunId, work: Work) -> None:
        """The boundary of a run: however it ends, its row is final and the daemon goes on."""
        try:
            await work()
        except AaosError as error:
            self._close_row(run, RunState.FAILED, error)
        except Exception:  # noqa: BLE001  # the boundary of a run: logged and audited here
            _log.exception("run %s", run)
            failed = AaosError("the run failed inside agentd", "see `journalctl -t agentd`, and report it")
            self._close_row(run, RunState.FAILED, failed)

    def _ended(self, run: RunId, task: asyncio.Task[None]) -> None:
        """Also for a task that was cancelled before its first step."""
        del self._tasks[run], self._owners[run]
        self._stopped.discard(run)
        if task.cancelled():
            self._close_row(run, RunState.CANCELLED, CancelledError("the run was stopped", "submit the goal again"))

    def _close_row(self, run: RunId, state: RunState, error: AaosError) -> None:
        """Ends the row when whoever ran it did not; what cannot be written now is kept for `settle`."""
        if run in self._suspended:
            return
        try:
            if not self._runs.get(run).state.is_final:
                self._runs.set_state(run, state, error=error)
                kind = EventKind.RUN_CANCELLED if state is RunState.CANCELLED else EventKind.RUN_FAILED
                self._audit.record(Event(kind, run, fields={"code": error.code, "message": error.message}))
            self._unwritten.pop(run, None)
        except AaosError as unwritten:
            if run not in self._unwritten:
                _log.error("run %s: its end cannot be written yet: %s", run, unwritten.message)
            self._unwritten[run] = (state, error)
