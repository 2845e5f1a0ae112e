"""Workspaces over the life of their runs: made first, mounted while they live, kept for days, swept.

Invariant: a run has its own workspace and no other; one whose run lives is not removed. Files in it are looked at with
agentd's rights, but only ever beneath its root, and by so many at a time. What happens to a workspace is on record.
"""

import asyncio
import base64
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from aaos.broker.archive import Told, archive, list_entries
from aaos.broker.files import Entry
from aaos.broker.workspaces import Image, Workspaces
from aaos.core.capability import Capability, Kind, path_resource
from aaos.core.config import WorkspaceSettings
from aaos.core.envelope import Submitter
from aaos.core.errors import AaosError, ConflictError, NotFoundError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ids import Gid, RunId, Uid
from aaos.core.ports import AuditSink, Held, Root
from aaos.core.rpc import Json
from aaos.core.threads import in_thread
from aaos.daemon.atonce import AtOnce
from aaos.daemon.connection import Send
from aaos.daemon.views import GOAL_BYTES, View, fit
from aaos.store.runs import RunRow, Runs

_log = logging.getLogger("agentd")
PLACEHOLDER = "{workspace}"  # in a goal: the path of the run's own workspace
SHOWN_ENTRIES = 1_000
OF_ONE, IN_ALL = 4, 16  # exports and looks at what is in one
_LOOK_S = 2.0
_SWEEP_S = 3_600.0
_DAY_S = 86_400.0
_CLOSE_TRIES, _CLOSE_S = 500, 0.02


@dataclass(slots=True)
class Keeping:
    """The workspaces of this daemon's runs. `now_s` is UTC."""

    workspaces: Workspaces
    runs: Runs
    audit: AuditSink
    settings: WorkspaceSettings
    now_s: Callable[[], float] = time.time
    _making: set[RunId] = field(default_factory=set)
    _full: set[RunId] = field(default_factory=set)
    _trimmed: set[RunId] = field(default_factory=set)
    _reading: AtOnce = field(default_factory=lambda: AtOnce(OF_ONE, IN_ALL))

    def make(self, run: RunId, owner: Submitter, size_bytes: int) -> tuple[Capability, ...]:
        """A workspace for a run that is about to begin, and the grants of it. Blocking. Raises as `Workspaces.make`."""
        self._making.add(run)
        try:
            self.workspaces.make(run, owner, size_bytes)
        except BaseException:
            self._making.discard(run)
            raise
        return workspace_capabilities(self.workspaces.path_of(run))

    def made(self, run: RunId) -> None:
        """Tell of the workspace of a run that begins now."""
        if run in self._making:
            image = self.workspaces.find(run)
            self._tell(EventKind.WORKSPACE_MADE, run, uid=image.uid, bytes=image.size_bytes)

    def begun(self, run: RunId) -> None:
        """From now on it is its run's."""
        self._making.discard(run)

    def unmake(self, run: RunId) -> None:
        """Forget the workspace of a run that was refused. Blocking."""
        if run in self._making:
            try:
                self.workspaces.detach(run)
                self.workspaces.remove(run)
            finally:
                self._making.discard(run)  # what could not be removed is swept

    async def begin(self, run: RunId) -> None:
        """Mount the workspace of a run that goes on, if it has one. Raises AaosError."""
        if self.workspaces.has(run) and not self.workspaces.is_mounted(run):
            await in_thread(partial(self.workspaces.attach, run))

    async def end(self, run: RunId) -> None:
        """Unmount the workspace of a run that has ended, or is left to the next daemon."""
        if self.workspaces.is_mounted(run):
            try:
                await self.look()
            finally:  # a run that is stopped twice is cancelled here too
                self._full.discard(run)
                await in_thread(partial(self.workspaces.detach, run, is_over=self._is_over(run)))

    @contextmanager
    def at_hand(self, run: RunId) -> Iterator[None]:
        """Its workspace, if it has one, is mounted until the block ends. Blocking. Raises AaosError."""
        if not self.workspaces.has(run):
            yield
            return
        with self.workspaces.attached(run, is_writable=True):
            yield

    async def supervise(self) -> None:
        """Tell of workspaces that are full, and sweep, until cancelled."""
        sweep_s = time.monotonic()
        while True:
            if time.monotonic() >= sweep_s:
                await self.sweep()
                sweep_s = time.monotonic() + _SWEEP_S
            await self.look()
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Tell of each workspace that has become full."""
        for run, room in await asyncio.to_thread(lambda: tuple(self.workspaces.rooms())):
            if not room.is_full:
                self._full.discard(run)
            elif run not in self._full:
                self._full.add(run)
                fields: dict[str, Scalar] = {"free_bytes": room.free_bytes, "free_inodes": room.free_inodes}
                self._tell(EventKind.WORKSPACE_FULL, run, **fields)

    async def sweep(self) -> None:
        """Remove what was kept long enough, and what belongs to no run; give back what an ended run has reserved."""
        try:
            images = await asyncio.to_thread(self.workspaces.all)
        except AaosError as error:
            _log.error("workspaces are not swept: %s; %s", error.message, error.remedy)
            return
        for image in images:
            try:
                if reason := self._reason(image):
                    await asyncio.to_thread(self.workspaces.remove, image.run)
                    self._tell(EventKind.WORKSPACE_REMOVED, image.run, uid=image.uid, reason=reason)
                elif self._is_left_reserved(image):
                    self._trimmed.add(image.run)
                    await asyncio.to_thread(self.workspaces.trim, image.run)
            except AaosError as error:
                _log.error("workspace of %s: %s; %s", image.run, error.message, error.remedy)
            except OSError as error:  # it must not end the daemon, nor keep the others from being swept
                _log.error("workspace of %s: %s", image.run, error)

    def list(self, sight: Uid) -> Json:
        """Those that the asker may see; 0 sees all."""
        found = [(image, row) for image in self.workspaces.all() if (row := self._row(image.run)) is not None]
        return {"workspaces": [self._view(image, row) for image, row in found if sight in (0, row.uid)]}

    async def show(self, run: RunRow, uid: Uid) -> Json:
        """One with the beginning of what is in it. Raises NotFoundError, StorageError, BusyError."""
        with self._reading.place(uid, "workspaces that are read", again=f"agentd workspace show {run.id}"):
            entries, is_whole = await in_thread(partial(self._entries, run))
        rows: list[Json] = [[fit(one.path, GOAL_BYTES), one.kind, one.size] for one in entries]
        return {**self._view(self.workspaces.find(run.id), run), "entries": rows, "is_whole": is_whole}

    async def remove(self, run: RunRow, uid: Uid) -> Json:
        """Delete one whose run has ended. Raises NotFoundError, ConflictError."""
        self.workspaces.find(run.id)
        if not run.state.is_final:
            message = f"run {run.id} is {run.state}: its workspace is in use"
            raise ConflictError(message, f"stop it first: agentd stop {run.id}")
        image = await asyncio.to_thread(self.workspaces.remove, run.id)
        self._tell(EventKind.WORKSPACE_REMOVED, run.id, uid=image.uid, reason="asked", by=uid)
        return {"run": run.id, "disk_bytes": image.disk_bytes}

    async def export(self, run: RunRow, uid: Uid, send: Send) -> Json:
        """Send what is in it, piece by piece, as a tar archive. Raises NotFoundError, StorageError, BusyError."""
        again = f"agentd workspace export {run.id} -o {run.id}.tar"
        with self._reading.place(uid, "workspaces that are read", again=again):
            told, size = Told(), 0
            pieces = self._pieces(run, told)
            try:
                while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                    size += len(piece)
                    await send({"data": base64.b64encode(piece).decode("ascii")})
            finally:
                await in_thread(partial(_close, pieces))
        return {"run": run.id, "bytes": size, "entries": told.entries, "skipped": told.skipped}

    def _pieces(self, run: RunRow, told: Told) -> Generator[bytes, None, None]:
        with self.workspaces.attached(run.id, is_writable=not run.state.is_final) as path, _root(path) as root:
            yield from archive(root, run.id, told)

    def _entries(self, run: RunRow) -> tuple[tuple[Entry, ...], bool]:
        with self.workspaces.attached(run.id, is_writable=not run.state.is_final) as path, _root(path) as root:
            return list_entries(root, SHOWN_ENTRIES)

    def _reason(self, image: Image) -> str:
        if self.workspaces.is_mounted(image.run) or image.run in self._making:
            return ""
        row = self._row(image.run)
        if row is None:
            return "no run"
        kept_until_s = self._kept_until_s(row)
        return "kept long enough" if kept_until_s is not None and kept_until_s <= self.now_s() else ""

    def _is_left_reserved(self, image: Image) -> bool:
        """Its run ended without it: while agentd did not run, say."""
        row = self._row(image.run)
        is_over = row is not None and row.state.is_final and not self.workspaces.is_mounted(image.run)
        return is_over and image.disk_bytes >= image.size_bytes and image.run not in self._trimmed

    def _is_over(self, run: RunId) -> bool:
        """Whether its run will not go on; of what cannot be read now the sweep finds out."""
        try:
            row = self._row(run)
        except AaosError:
            return False
        return row is None or row.state.is_final

    def _kept_until_s(self, row: RunRow) -> float | None:
        return None if row.finished_s is None else row.finished_s + self.settings.keep_days * _DAY_S

    def _row(self, run: RunId) -> RunRow | None:
        try:
            return self.runs.get(run)
        except NotFoundError:
            return None

    def _view(self, image: Image, row: RunRow) -> View:
        return {
            "run": row.id,
            "uid": row.uid,
            "goal": fit(row.goal, GOAL_BYTES),
            "state": row.state.value,
            "path": self.workspaces.path_of(row.id),
            "bytes": image.size_bytes,
            "disk_bytes": image.disk_bytes,
            "is_mounted": self.workspaces.is_mounted(row.id),
            "created_s": row.created_s,
            "kept_until_s": self._kept_until_s(row),
        }

    def _tell(self, kind: EventKind, run: RunId, **fields: Scalar) -> None:
        """On a full disk what cannot be written down is still done."""
        try:
            self.audit.record(Event(kind, run, fields=fields))
        except AaosError as error:
            _log.error("workspace of %s: %s is not on record: %s", run, kind, error.message)


def workspace_capabilities(path: str) -> tuple[Capability, ...]:
    """The grants of a whole workspace: reading as its owner, and writing."""
    resource = path_resource(path, is_dir=True)
    return Capability(Kind.FILE_READ, resource, as_owner=True), Capability(Kind.FILE_WRITE, resource)


@contextmanager
def _root(path: str) -> Iterator[Root]:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        yield Root(path, fd, True, False, False, Uid(status.st_uid), Gid(status.st_gid), Held.GATE)
    finally:
        os.close(fd)


def _close(pieces: Generator[bytes, None, None]) -> None:
    """A thread may still be making a piece that nobody waits for any more."""
    for _ in range(_CLOSE_TRIES):
        try:
            pieces.close()
        except ValueError:  # generator already executing
            time.sleep(_CLOSE_S)
        else:
            return
