"""What an earlier daemon left: its processes, files, leases, calls and runs, found by their rows and put in order.

Invariant: nothing is killed or removed by name or pattern, only by the identity that was recorded (pid with start
time, path with inode); a lease is released after its clean-up. It reads rows and nothing else; it must run before the
socket listens.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aaos.core.errors import AaosError, WorkerLostError
from aaos.core.events import Event, EventKind
from aaos.core.graph import RunState, SubtaskState
from aaos.core.ids import RunId
from aaos.core.ports import AuditSink, CallOutcome, CallRecord, CallState
from aaos.store.calls import Calls
from aaos.store.leases import Detail, Lease, LeaseKind, Leases
from aaos.store.runs import Runs
from worker.wall import syscalls

_ENDED = "agentd ended while this run was under way"
_ORDER = (LeaseKind.PROCESS, LeaseKind.CGROUP, LeaseKind.TEMP_FILE, LeaseKind.HOST_UID)
_START_TIME_FIELD = 22  # proc(5): /proc/PID/stat, counted from 1
_RESOLVE = syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was put in order, by kind; `kept` are leases whose clean-up failed and is tried again at the next start."""

    cleaned: Mapping[str, int]
    kept: tuple[str, ...]
    runs: tuple[RunId, ...]
    calls: int


class Recovery:
    """One pass over the rows of earlier starts. `judge` says from the world what became of an open call."""

    def __init__(
        self, leases: Leases, runs: Runs, *, calls: Calls, audit: AuditSink, judge: Callable[[CallRecord], CallOutcome]
    ) -> None:
        self._leases = leases
        self._runs = runs
        self._calls = calls
        self._audit = audit
        self._judge = judge

    def recover(self) -> Recovered:
        """Clean, settle, close. Raises StorageError only."""
        cleaned, kept = self._clean_leases()
        calls = self._settle_calls()
        runs = self._end_runs()
        if cleaned or kept or calls or runs:
            fields = {**cleaned, "kept": len(kept), "calls": calls, "runs": len(runs)}
            self._audit.record(Event(EventKind.STALE_CLEANED, fields=fields))
        return Recovered(cleaned=cleaned, kept=kept, runs=runs, calls=calls)

    def _clean_leases(self) -> tuple[Mapping[str, int], tuple[str, ...]]:
        cleaned: Counter[str] = Counter()
        kept: list[str] = []
        for lease in sorted(self._leases.stale(), key=lambda lease: _ORDER.index(lease.kind)):
            try:
                clean(lease)
            except OSError as error:
                kept.append(f"{lease.kind} {lease.key}: {error.strerror}")
                continue
            self._leases.release(lease.kind, lease.key)
            cleaned[lease.kind] += 1
        return dict(cleaned), tuple(kept)

    def _settle_calls(self) -> int:
        unsettled = self._calls.unsettled()
        for row in unsettled:
            record = row.record
            outcome = self._judge(record)
            self._calls.settle_call(record.call, outcome)
            if outcome.state is CallState.OUTCOME_UNKNOWN:
                fields = {"call": record.call, "tool": record.tool, "message": outcome.result}
                self._audit.record(Event(EventKind.OUTCOME_UNKNOWN, record.run, record.subtask, record.agent, fields))
        return len(unsettled)

    def _end_runs(self) -> tuple[RunId, ...]:
        unfinished = self._runs.unfinished()
        for run in unfinished:
            error = WorkerLostError(_ENDED, "submit the goal again; what it wrote before is listed by `agentd logs`")
            self._end_run(run.id, error)
        return tuple(run.id for run in unfinished)

    def _end_run(self, run: RunId, error: AaosError) -> None:
        for subtask in self._runs.subtasks(run):
            if not subtask.state.is_final:
                has_run = subtask.state is not SubtaskState.PENDING
                state = SubtaskState.FAILED if has_run else SubtaskState.SKIPPED
                self._runs.set_subtask(run, subtask.id, state, attempt=subtask.attempt, error=error)
        self._runs.set_state(run, RunState.FAILED, error=error)
        self._audit.record(Event(EventKind.RUN_FAILED, run, fields={"code": error.code, "message": error.message}))


def clean(lease: Lease) -> None:
    """Gives back to the machine what the lease names, when it is still the same thing. Raises OSError."""
    match lease.kind:
        case LeaseKind.PROCESS:
            _kill(int(lease.key), lease.detail)
        case LeaseKind.TEMP_FILE:
            _unlink(Path(lease.key), lease.detail)
        case LeaseKind.CGROUP:
            _remove_cgroup(Path(lease.key))
        case LeaseKind.HOST_UID:
            pass  # its processes were killed before: leases are cleaned in that order


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot: with the pid its identity. Raises OSError."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[_START_TIME_FIELD - 3])  # the name before may hold spaces


def _kill(pid: int, detail: Detail) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if start_time(pid) == detail.get("start_time"):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return
    finally:
        os.close(pidfd)


def _unlink(path: Path, detail: Detail) -> None:
    try:
        parent = syscalls.openat2(-100, os.fspath(path.parent), flags=os.O_PATH | os.O_DIRECTORY, resolve=_RESOLVE)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        status = os.stat(path.name, dir_fd=parent, follow_symlinks=False)
        if (status.st_dev, status.st_ino) == (detail.get("device"), detail.get("inode")):
            os.unlink(path.name, dir_fd=parent)
    except FileNotFoundError:
        return
    finally:
        os.close(parent)


def _remove_cgroup(leaf: Path) -> None:
    with suppress(FileNotFoundError):
        (leaf / "cgroup.kill").write_text("1")
    with suppress(FileNotFoundError):
        leaf.rmdir()
