"""The workspaces of runs: one mounted image each, while its run lives; what is in it is kept after that.

Invariant: all mounts are below one directory of agentd's own, in its own mount namespace when it has one, and none is
left when it has closed; an image is there exactly as long as its run may be asked for it. What one user may keep is
bounded, and so is what all may take of the disk.
"""

import logging
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from aaos.broker import images
from aaos.core.config import WorkspaceSettings
from aaos.core.envelope import Submitter
from aaos.core.errors import (
    AaosError,
    BusyError,
    ConfinementError,
    ConflictError,
    InputError,
    NotFoundError,
    StorageError,
)
from aaos.core.ids import RunId, Uid, check_name
from worker.wall import syscalls

_log = logging.getLogger("agentd")
FULL_BYTES = 1024 * 1024  # less than this is left: nothing more is built in it
_SUFFIX, _FRESH = ".ext4", ".new"
_TRIM = Path()  # stands for all images among what is wrong


@dataclass(frozen=True, slots=True)
class Image:
    """A workspace as it lies in the state directory: its whole size, and what it takes of the disk now."""

    run: RunId
    uid: Uid
    path: Path
    size_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Room:
    """What is left in a mounted workspace."""

    free_bytes: int
    free_inodes: int

    @property
    def is_full(self) -> bool:
        """Whether nothing of note can be written any more."""
        return self.free_bytes < FULL_BYTES or self.free_inodes == 0


@dataclass(slots=True)
class _Seat:
    """Who uses one workspace; its lock is held while it is mounted or unmounted."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    is_writable: bool = False
    is_over: bool = False  # its run needs it no more: what its files do not use is given back with the last user


class Workspaces:
    """Images in `directory`, mounted below `place`. Blocking: call it in a thread; any may."""

    def __init__(self, directory: Path, place: Path, settings: WorkspaceSettings) -> None:
        self._directory = directory
        self._place = place
        self._settings = settings
        self._lock = threading.Lock()
        self._seats: dict[RunId, _Seat] = {}
        self._making: dict[RunId, tuple[Uid, int]] = {}
        self._is_placed = False
        self._wrong: dict[Path, StorageError] = {}

    def path_of(self, run: RunId) -> str:
        """Where the workspace of a run is, for its agents and in its grants."""
        return str(self._place / run)

    def open(self) -> None:
        """Take away what a killed agentd left: half-made images, and mounts where it had no namespace of its own.

        What cannot be taken away is told, also by `faults`, and is in nobody's way.
        """
        with self._told(self._directory):
            for name in sorted(os.listdir(self._directory)) if self._directory.is_dir() else ():
                if name.endswith(_FRESH):
                    with self._told(self._directory / name):
                        (self._directory / name).unlink(missing_ok=True)
        with self._told(self._place):
            for path in sorted(self._place.iterdir()) if self._place.is_dir() else ():
                with self._told(path):
                    images.unmount(path)
            self._displace()

    def faults(self) -> tuple[AaosError, ...]:
        """What is wrong with workspaces now, each with its remedy."""
        try:
            self.all()
        except StorageError as error:
            return (error,)
        self._wrong.pop(self._directory, None)
        return tuple(error for path, error in tuple(self._wrong.items()) if os.path.lexists(path))

    def close(self) -> None:
        """Unmount all; what was in use keeps what it has reserved."""
        for run, seat in tuple(self._seats.items()):
            with seat.lock:
                if seat.users:
                    seat.users = 0
                    self._unmount(run, seat)
        if self._is_placed:
            self._displace()

    def make(self, run: RunId, owner: Submitter, size_bytes: int) -> int:
        """A new workspace of that size, or of the usual one for 0, mounted for its run; its size.

        Raises InputError, BusyError, StorageError, ConfinementError: nothing is left of it then.
        """
        size_bytes = self._checked_size(size_bytes)
        path = self._directory / f"{check_name(run, 'run')}.{owner.uid}{_SUFFIX}"
        with self._lock:
            try:
                self._directory.mkdir(mode=0o700, exist_ok=True)
                self._check_room(owner.uid, size_bytes)
            except OSError as error:
                raise images.fault(error, self._directory) from error
            self._making[run] = owner.uid, size_bytes
        try:
            images.make_image(path, size_bytes, run=run, owner=(owner.uid, owner.gid))
        finally:
            with self._lock:
                del self._making[run]
        try:
            self.attach(run)
            self._make_private(run)
        except BaseException:
            self.detach(run)
            path.unlink(missing_ok=True)
            raise
        return size_bytes

    def attach(self, run: RunId, *, is_writable: bool = True) -> None:
        """Mount the workspace of a run, or use it once more; each is to be ended by `detach`.

        Raises NotFoundError, StorageError, ConflictError, ConfinementError.
        """
        seat = self._seat(run)
        with seat.lock:
            if not seat.users:
                self._mount(self.find(run), is_writable=is_writable)
                seat.is_writable, seat.is_over = is_writable, False
            elif is_writable and not seat.is_writable:
                raise ConflictError(f"the workspace of {run} is being read", "try again when that has ended")
            seat.users += 1

    def detach(self, run: RunId, *, is_over: bool = False) -> None:
        """The inverse of `attach`; the last one unmounts it, and gives back what its files do not use if that is over.

        A run that goes on later keeps what is reserved: others may have filled the disk by then.
        """
        seat = self._seat(run)
        with seat.lock:
            if not seat.users:
                return
            seat.users -= 1
            seat.is_over |= is_over
            if not seat.users:
                self._unmount(run, seat)

    @contextmanager
    def attached(self, run: RunId, *, is_writable: bool) -> Iterator[str]:
        """The workspace's path, where it is mounted until the block ends. Raises as `attach`."""
        self.attach(run, is_writable=is_writable)
        try:
            yield self.path_of(run)
        finally:
            self.detach(run)

    def remove(self, run: RunId) -> Image:
        """Delete a workspace that nobody uses; what it was. Raises NotFoundError, ConflictError, StorageError."""
        seat = self._seat(run)
        with seat.lock:
            image = self.find(run)
            if seat.users:
                raise ConflictError(f"the workspace of {run} is in use", "try again when that has ended")
            try:
                image.path.unlink()
            except OSError as error:
                raise images.fault(error, image.path) from error
            self._seats.pop(run, None)
        return image

    def trim(self, run: RunId) -> None:
        """Give back what the files of a workspace that nobody uses do not take. Raises as `attach`."""
        self.attach(run)
        self.detach(run, is_over=True)

    def find(self, run: RunId) -> Image:
        """The workspace of a run. Raises NotFoundError, StorageError."""
        found = next(self._images(lambda name: name.startswith(f"{run}.")), None)
        if found is None:
            raise NotFoundError(f"run {run} has no workspace", "see those that are kept: agentd workspace list")
        return found

    def has(self, run: RunId) -> bool:
        """Whether there is a workspace of this run. Raises StorageError."""
        return next(self._images(lambda name: name.startswith(f"{run}.")), None) is not None

    def all(self) -> tuple[Image, ...]:
        """The workspaces that there are, by the names of their runs. Raises StorageError."""
        return tuple(self._images(lambda _: True))

    def is_mounted(self, run: RunId) -> bool:
        """Whether somebody uses it now."""
        seat = self._seats.get(run)
        return seat is not None and seat.users > 0

    def rooms(self) -> Iterator[tuple[RunId, Room]]:
        """What is left in each workspace that is mounted for its run."""
        for run, seat in tuple(self._seats.items()):
            if seat.users and seat.is_writable:
                with suppress(OSError):
                    left = os.statvfs(self._place / run)
                    yield run, Room(left.f_bavail * left.f_frsize, left.f_favail)

    @contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        """What fails on a path ends nothing: it is told once, until it is well again."""
        try:
            yield
        except OSError as error:
            self._tell(path, images.fault(error, path))

    def _tell(self, path: Path, error: StorageError) -> None:
        if path not in self._wrong:
            _log.error("workspaces: %s; %s", error.message, error.remedy)
        self._wrong[path] = error

    def _images(self, is_wanted: Callable[[str], bool]) -> Iterator[Image]:
        try:
            names = sorted(filter(is_wanted, os.listdir(self._directory)))
        except FileNotFoundError:
            return
        except OSError as error:
            raise images.fault(error, self._directory) from error
        yield from (image for name in names if (image := self._image(name)) is not None)

    def _seat(self, run: RunId) -> _Seat:
        with self._lock:
            return self._seats.setdefault(run, _Seat())

    def _checked_size(self, size_bytes: int) -> int:
        wanted, most = size_bytes or self._settings.default_bytes, self._settings.max_bytes
        if not images.MIN_BYTES <= wanted <= most:
            message = f"--workspace: {_mib(wanted)}, where {_mib(images.MIN_BYTES)} to {_mib(most)} may be asked for"
            raise InputError(message, "ask for less, or raise workspaces.max_bytes in agentd.toml")
        return wanted - wanted % images.BLOCK_BYTES

    def _check_room(self, uid: Uid, size_bytes: int) -> None:
        own = sum(_charged(image, self.is_mounted(image.run)) for image in self.all() if image.uid == uid)
        own += sum(size for owner, size in self._making.values() if owner == uid)
        if own + size_bytes > self._settings.user_bytes:
            message = f"the workspaces of uid {uid} have {_mib(own)}, and {_mib(self._settings.user_bytes)} may be had"
            raise BusyError(message, "remove one: agentd workspace list, then agentd workspace rm RUN")
        self._check_disk(size_bytes + sum(size for _, size in self._making.values()))

    def _check_disk(self, more_bytes: int) -> None:
        free_bytes = shutil.disk_usage(self._directory).free
        if free_bytes - more_bytes < self._settings.spare_bytes:
            message = f"{_mib(free_bytes)} are free at {self._directory}: too few for {_mib(more_bytes)} more"
            raise StorageError(message, f"free space, see: df -h {self._directory}; or ask for less: --workspace 64M")

    def _image(self, name: str) -> Image | None:
        run, _, rest = name.partition(".")
        uid = rest.removesuffix(_SUFFIX)
        if not (rest.endswith(_SUFFIX) and uid.isascii() and uid.isdigit()):
            return None
        try:
            info = (self._directory / name).lstat()
        except OSError:  # it vanished in between
            return None
        return Image(RunId(run), Uid(int(uid)), self._directory / name, info.st_size, info.st_blocks * 512)

    def _mount(self, image: Image, *, is_writable: bool) -> None:
        target = self._placed() / image.run
        fd = images.open_image(image.path, image.run)
        try:
            if is_writable:
                if image.disk_bytes < image.size_bytes:
                    self._check_disk(image.size_bytes - image.disk_bytes)
                images.reserve(fd, image.path)
            target.mkdir(mode=0o700, exist_ok=True)
            images.mount_image(fd, image.path, target, is_writable=is_writable)
        except OSError as error:
            raise images.fault(error, target) from error
        finally:
            os.close(fd)

    def _unmount(self, run: RunId, seat: _Seat) -> None:
        target = self._place / run
        if seat.is_writable and seat.is_over:
            self._trim(target)
        images.unmount(target)
        with suppress(OSError):
            target.rmdir()

    def _trim(self, target: Path) -> None:
        try:
            images.trim(target)
        except StorageError as error:
            self._tell(_TRIM, error)
        else:
            self._wrong.pop(_TRIM, None)

    def _make_private(self, run: RunId) -> None:
        """For its owner alone; where lost files go belongs to root, and would be in the way."""
        root = self._place / run
        with suppress(OSError):
            (root / "lost+found").rmdir()
        root.chmod(0o700)

    def _placed(self) -> Path:
        """A small file system of our own to put mounts in: nothing of them is seen in the directory below it."""
        with self._lock:
            if not self._is_placed:
                try:
                    self._place.mkdir(mode=0o711, parents=True, exist_ok=True)
                    self._check_place()
                    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
                    syscalls.mount("aaos", str(self._place), "tmpfs", flags=flags, options="mode=0711,size=1m")
                    syscalls.mount("none", str(self._place), "none", flags=syscalls.MS_PRIVATE)
                except OSError as error:
                    message = f"{self._place}: workspaces cannot be mounted there: {error.strerror}"
                    raise ConfinementError(message, "run agentd as root; then: agentd doctor") from error
                self._is_placed = True
        return self._place

    def _check_place(self) -> None:
        """What somebody else has put there first, where others may write, is not mounted on."""
        info = self._place.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o022:
            message = f"{self._place}: not a directory of agentd's own"
            raise ConfinementError(message, f"move it away: mv {self._place} {self._place}.old")

    def _displace(self) -> None:
        """The directory stays: to remove one is to unmount what another daemon has mounted there for itself."""
        if self._place.is_dir() and not self._place.is_symlink():
            images.unmount(self._place)
        self._is_placed = False


def _charged(image: Image, is_mounted: bool) -> int:  # its only caller is above
    return image.size_bytes if is_mounted else image.disk_bytes


def _mib(number: int) -> str:
    return f"{number / 2**20:g} MiB" if number < 2**30 else f"{number / 2**30:.3g} GiB"
