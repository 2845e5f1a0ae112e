"""cgroups v2: one leaf for each worker below the subtree that systemd delegated to agentd.

Invariant: only files of the delegated subtree are written; a controller that is missing is an error, never a skip.
Input and output alone are bounded as far as the machine can: where it has the controller, on disks that are known.
Source: Documentation/admin-guide/cgroup-v2.rst, systemd.resource-control(5) (Delegate=, DelegateSubgroup=).
"""

import errno
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aaos.core.config import WorkerSettings
from aaos.core.errors import ConfinementError

CONTROLLERS = ("cpu", "memory", "pids")
IO = "io"  # used where it is there
WORKERS = "workers"  # the inner node that holds the leaves; processes live in leaves only
# Of 1 to 10000, where all workers and cells together have 100: agentd does little and everybody waits for it, so that
# it is on the processor at once, however many cells want that; they share what it leaves.
OWN_WEIGHT = 1000
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_REMEDY = "run agentd by its unit (Delegate=yes), or name the layer to do without: agentd run --without cgroup"


@dataclass(frozen=True, slots=True)
class Leaf:
    """The cgroup of one worker."""

    path: Path

    def procs_fd(self) -> int:
        """cgroup.procs, opened for writing; the caller closes it."""
        return os.open(self.path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    def kill(self) -> None:
        """SIGKILL to everything in it, at once."""
        _write(self.path / "cgroup.kill", "1")

    def freeze(self, frozen: bool) -> None:
        """Stop or continue everything in it."""
        _write(self.path / "cgroup.freeze", "1" if frozen else "0")

    def trouble(self) -> Mapping[str, int]:
        """How often a limit was hit: `oom_kill` and `pids_max`, counts since it was made."""
        memory, pids = _counts(self.path / "memory.events"), _counts(self.path / "pids.events")
        return {"oom_kill": memory.get("oom_kill", 0), "pids_max": pids.get("max", 0)}

    @property
    def is_frozen(self) -> bool:
        """Whether everything in it stands still by now; some time after `freeze`."""
        return _counts(self.path / "cgroup.events").get("frozen") == 1

    def check(self, limits: WorkerSettings) -> None:
        """Raises ConfinementError that names a limit which is not in force any more."""
        for name, value in _limits(limits).items():
            if (found := _text(self.path / name)) != value:
                raise ConfinementError(f"{name} of {self.path.name} is {found}, not {value}", "agentd doctor")

    def check_bounds(self, *, memory_bytes: int, pids: int) -> None:
        """Raises ConfinementError that names a limit of `bound` which is not in force any more."""
        for name, value in _bounds(memory_bytes, pids).items():
            if (found := _text(self.path / name)) != value:
                raise ConfinementError(f"{name} of {self.path.name} is {found}, not {value}", "agentd doctor")

    def bound(self, *, memory_bytes: int, pids: int) -> None:
        """Other limits than those that it was made with. Raises ConfinementError."""
        for name, value in _bounds(memory_bytes, pids).items():
            _write(self.path / name, value)

    def cpu_us(self) -> int:
        """Microseconds of processor time of everything that was ever in it."""
        return _counts(self.path / "cpu.stat").get("usage_usec", 0)

    def peak_bytes(self) -> int:
        """The most memory that it had at once."""
        peak = self.path / "memory.peak"
        return int(_text(peak)) if peak.exists() else 0

    def limit_io(self, disks: Iterable[str], bytes_per_s: int) -> None:
        """Bound reading and writing of each disk, by its device number. Raises ConfinementError."""
        if (file := self.path / "io.max").exists():
            for disk in disks:
                _write(file, f"{disk} rbps={bytes_per_s} wbps={bytes_per_s}")

    def remove(self) -> bool:
        """Remove it; False while a process is still ending in it."""
        try:
            self.path.rmdir()
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            raise
        return True


@dataclass(frozen=True, slots=True)
class CgroupTree:
    """The delegated subtree."""

    root: Path

    @classmethod
    def delegated(cls, proc: Path = Path("/proc/self")) -> "CgroupTree":
        """The subtree that holds this process. Raises ConfinementError when cgroup v2 is not there or not delegated."""
        mount = next((line.split()[4] for line in _lines(proc / "mountinfo") if " - cgroup2 " in line), None)
        own = next((line[3:] for line in _lines(proc / "cgroup") if line.startswith("0::")), None)
        if mount is None or own is None:
            raise ConfinementError("cgroup v2 is not mounted", _REMEDY)
        path = Path(mount + own)
        return cls(path.parent if path.name == "daemon" else path)

    def check(self) -> None:
        """Raises ConfinementError that names the missing controllers."""
        present = self._offered()
        if missing := [name for name in CONTROLLERS if name not in present]:
            raise ConfinementError(f"{self.root} lacks the cgroup controllers {', '.join(missing)}", _REMEDY)

    def _offered(self) -> list[str]:
        return " ".join(_lines(self.root / "cgroup.controllers")).split()

    def prepare(self) -> None:
        """Move this process into its own leaf, then hand the controllers down to the workers' node."""
        self.check()
        own, workers = self.root / "daemon", self.root / WORKERS
        _make(own, exist_ok=True)
        _write(own / "cgroup.procs", str(os.getpid()))
        _make(workers, exist_ok=True)
        used = (*CONTROLLERS, *(name for name in (IO,) if name in self._offered()))
        enable = " ".join(f"+{name}" for name in used)
        _write(self.root / "cgroup.subtree_control", enable)
        _write(own / "cpu.weight", str(OWN_WEIGHT))
        if (file := own / "io.weight").exists():  # it belongs to some schedulers of disks only
            _write(file, f"default {OWN_WEIGHT}")
        _write(workers / "cgroup.subtree_control", enable)

    def make(self, name: str, limits: WorkerSettings) -> Leaf:
        """A leaf with every limit in force before anything runs in it. Raises ConfinementError and leaves nothing."""
        leaf = Leaf(self.root / WORKERS / name)
        _make(leaf.path, exist_ok=False)
        try:
            for file, value in _limits(limits).items():
                _write(leaf.path / file, value)
        except ConfinementError:
            leaf.remove()
            raise
        return leaf

    def leaves(self) -> tuple[Leaf, ...]:
        """Every leaf that exists, those of an earlier life included."""
        workers = self.root / WORKERS
        return tuple(Leaf(path) for path in sorted(workers.iterdir()) if path.is_dir()) if workers.is_dir() else ()


def disks(devices: Iterable[int], sys: Path = Path("/sys/dev/block")) -> tuple[str, ...]:
    """The whole disks behind device numbers of file systems (stat's st_dev); those without one disk are left out.

    A limit belongs to a disk, and a file system often is on a part of it.
    """
    found: dict[str, None] = {}
    for device in devices:
        entry = sys / f"{os.major(device)}:{os.minor(device)}"
        whole = entry.resolve().parent if (entry / "partition").exists() else entry
        if (whole / "dev").exists():
            found[_text(whole / "dev")] = None
    return tuple(found)


def _bounds(memory_bytes: int, pids: int) -> Mapping[str, str]:
    return {"memory.max": str(memory_bytes // _PAGE_BYTES * _PAGE_BYTES), "pids.max": str(pids)}


def _limits(limits: WorkerSettings) -> Mapping[str, str]:
    return {
        "memory.max": str(limits.memory_bytes // _PAGE_BYTES * _PAGE_BYTES),  # as the kernel shows it
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": str(limits.pids),
        "cpu.weight": "100",
    }


def _text(path: Path) -> str:
    return "\n".join(_lines(path))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError as error:
        raise ConfinementError(f"{path} does not exist", _REMEDY) from error


def _counts(path: Path) -> dict[str, int]:
    """Nothing when the leaf, or its controller, is not there."""
    if not path.exists():
        return {}
    return {name: int(value) for name, value in (line.split() for line in _lines(path))}


def _make(path: Path, *, exist_ok: bool) -> None:
    try:
        path.mkdir(exist_ok=exist_ok)
    except OSError as error:
        raise ConfinementError(f"{path}: {error.strerror}", _REMEDY) from error


def _write(path: Path, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # never O_CREAT: a missing file is a missing controller
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise ConfinementError(f"{path}: {error.strerror}", _REMEDY) from error
