"""What of the wall this machine offers, found by asking the kernel; for `agentd doctor` and for a refusal at the start.

Invariant: a probe changes nothing and never guesses from a version alone where the kernel can be asked.
"""

import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import landlock

from aaos.core.config import Settings
from aaos.core.errors import AaosError, ConfinementError
from aaos.core.layers import Layer
from aaos.sandbox import filters
from aaos.sandbox.cgroup import CgroupTree
from aaos.sandbox.ids import IdRange
from worker.wall.syscalls import clear_errno

MIN_KERNEL = (6, 12)
_VERSION = re.compile(r"(\d+)\.(\d+)")
_NAMESPACES = {
    Layer.USERNS: "user",
    Layer.MOUNTNS: "mnt",
    Layer.PIDNS: "pid",
    Layer.NETNS: "net",
    Layer.IPCNS: "ipc",
    Layer.UTSNS: "uts",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `layer` is None when it concerns all of them."""

    name: str
    layer: Layer | None
    ok: bool
    detail: str
    remedy: str = ""


def probe(settings: Settings) -> tuple[Finding, ...]:
    """Every finding, in the order in which a worker needs it."""
    checks: tuple[Callable[[], Finding], ...] = (
        _machine,
        _kernel,
        _privilege,
        lambda: _ids(settings),
        *(lambda layer=layer, name=name: _namespace(layer, name) for layer, name in _NAMESPACES.items()),
        lambda: _landlock(settings.confinement.landlock_abi),
        _seccomp,
        _cgroup,
    )
    return tuple(check() for check in checks)


def require_machine(settings: Settings, without: frozenset[Layer]) -> None:
    """Raises ConfinementError with the first finding that is not well and was not left out by name."""
    for finding in probe(settings):
        if not finding.ok and finding.layer not in without:
            raise ConfinementError(f"{finding.name}: {finding.detail}", finding.remedy)


def _machine() -> Finding:
    machine = platform.machine()
    return Finding("machine", None, machine == "x86_64", machine, "the wall is built for x86_64 only")


def _kernel() -> Finding:
    release = platform.release()
    found = _VERSION.match(release)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    remedy = "boot a kernel of 6.12 or newer (Debian 13's): apt install linux-image-amd64"
    return Finding("kernel", None, version >= MIN_KERNEL, release, remedy)


def _privilege() -> Finding:
    return Finding("root", None, os.geteuid() == 0, f"uid {os.geteuid()}", "run it as root: sudo agentd run")


def _ids(settings: Settings) -> Finding:
    first, last = settings.worker.uid_first, settings.worker.uid_first + settings.worker.uid_count - 1
    try:
        IdRange(settings.worker).check_unused()
    except AaosError as error:
        return Finding("worker ids", None, False, error.message, error.remedy)
    return Finding("worker ids", None, True, f"{first} to {last}")


def _namespace(layer: Layer, name: str) -> Finding:
    present = Path(f"/proc/self/ns/{name}").exists()
    limit = _number(Path(f"/proc/sys/user/max_{name}_namespaces"))
    detail = f"limit {limit}" if present else "not in this kernel"
    remedy = f"sysctl user.max_{name}_namespaces=15000"
    return Finding(f"{name} namespaces", layer, present and limit != 0, detail, remedy)


def _landlock(minimum: int) -> Finding:
    clear_errno()
    try:
        abi = int(landlock.landlock_abi_version())
    except landlock.SyscallError:
        abi = 0
    remedy = "boot with landlock in the lsm= list, on a kernel of 6.12 or newer"
    return Finding("Landlock", Layer.LANDLOCK, abi >= minimum, f"ABI {abi}, needed {minimum}", remedy)


def _seccomp() -> Finding:
    try:
        size = len(filters.worker_filter()) // 8
    except OSError as error:
        return Finding("seccomp", Layer.SECCOMP, False, str(error), "apt install libseccomp2")
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    offered = actions.read_text().split() if actions.exists() else []
    ok = {"kill_process", "errno"} <= set(offered)
    return Finding("seccomp", Layer.SECCOMP, ok, f"{size} instructions", "boot a kernel with CONFIG_SECCOMP_FILTER")


def _cgroup() -> Finding:
    try:
        tree = CgroupTree.delegated()
        tree.check()
    except AaosError as error:
        return Finding("cgroup v2", Layer.CGROUP, False, error.message, error.remedy)
    return Finding("cgroup v2", Layer.CGROUP, True, str(tree.root))


def _number(path: Path) -> int | None:
    return int(path.read_text()) if path.exists() else None
