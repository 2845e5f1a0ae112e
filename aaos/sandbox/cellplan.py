"""From a request for a cell to its policy: what is mounted, what may be executed, within which limits.

Invariant: a program, and each further path that a request names, belongs to root, and so does the way to it; nothing
of the machine is in a cell but /usr, three places of /etc, what the request names, and what was granted.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from aaos.core.cell import CellRequest
from aaos.core.errors import ConfinementError, NotFoundError
from aaos.core.layers import Layer
from aaos.core.paths import is_normal
from aaos.sandbox.control import control_paths
from aaos.sandbox.policy import MAX_MOUNTS, OWN_MOUNTS, Covered, plan_mounts
from aaos.sandbox.trees import detach_tree
from aaos.sandbox.trusted import require_trusted
from worker import abi
from worker.wall import syscalls

USR = "/usr"
PROC = "/proc"  # named by a request, it is the cell's own
SYSTEM = (USR, "/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs")
LOADER = "/lib64/ld-linux-x86-64.so.2"
LIBRARIES = (
    "/usr/include",
    "/usr/lib/locale",
    "/usr/lib/mime",
    "/usr/lib/os-release",
    "/usr/lib/ssl",
    "/usr/lib/terminfo",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/local/include",
    "/usr/local/lib",
    "/usr/local/share",
    "/usr/share",
)  # what every program may read of /usr: no place where Debian puts programs
_INTERPRETERS = re.compile(r"python3(\.[0-9]+)?|llvm-[0-9.]+")  # below /usr/lib; of llvm the libraries
INIT = 1  # process of a cell beside those of its program
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class CellPlan:
    """What a cell is to be; `system` are the mounts that come from the machine, in front of those of its roots."""

    request: CellRequest
    program: str
    owner: tuple[int, int]
    system: tuple[abi.Mount, ...]
    roots: tuple[abi.Mount, ...]
    execute: tuple[str, ...]
    readable: tuple[str, ...]

    def policy(self, parked: abi.Policy) -> abi.Policy:
        """The whole policy of the cell that is made of this parked one."""
        request, limits = self.request, self.request.limits
        return replace(
            parked,
            agent=request.agent,
            entry=self.program,
            mounts=(*self.system, *self.roots),
            nofile=limits.nofile,
            fsize_bytes=limits.fsize_bytes,
            memory_bytes=limits.memory_bytes,
            address_bytes=limits.address_bytes or limits.memory_bytes,
            pids=limits.pids + INIT + (Layer.CGROUP in parked.layers),  # the leaf's bound is met first, and is told
            tmpfs_bytes=limits.tmpfs_bytes,
            cpu_s=limits.cpu_s,
            execute=self.execute,
            exec_writable=request.exec_writable,
            readable=self.readable,
        )


def plan_cell(request: CellRequest) -> CellPlan:
    """Look at the machine and plan. Raises NotFoundError for what is not there, ConfinementError for what may not be.

    A name in `exec_paths` that is not there is left out: nothing can be executed there.
    """
    program = _program(request.program)
    execute = [require_trusted(path) for path in request.exec_paths if os.path.exists(path)]
    for path in filter(os.path.exists, request.readable):
        require_trusted(path)
    grants = [
        Covered(root, control_paths(root) if root.writable and root.is_dir and not request.control_writable else ())
        for root in request.roots
    ]
    owner, granted = plan_mounts(grants, in_cell=True)
    roots = tuple(replace(mount, executable=mount.writable and request.exec_writable) for mount in granted)
    system = _system_mounts(request.readable, (program, *execute), taken={mount.path for mount in roots})
    if len(system) + len(roots) > MAX_MOUNTS:
        raise ConfinementError(f"{len(system) + len(roots)} mounts for one cell, {MAX_MOUNTS} fit", "grant fewer roots")
    loader = os.path.realpath(LOADER)
    programs = tuple(dict.fromkeys((program, loader, *execute)))
    return CellPlan(request, program, owner, system, roots, programs, _readable(request))


def _readable(request: CellRequest) -> tuple[str, ...]:
    """What may be read of /usr, and whether of the cell's own /proc: the names of disks are in it, and what programs
    that are built and tested ask of themselves."""
    below = [f"{USR}/lib/{name}" for name in os.listdir(f"{USR}/lib") if _INTERPRETERS.fullmatch(name)]
    libraries = [f"{path}/lib" if "/llvm-" in path else path for path in below]
    named = [path for path in request.readable if f"{path}/".startswith(f"{USR}/") or path == PROC]
    proc = [PROC] if request.exec_writable else []
    return tuple(dict.fromkeys(filter(os.path.exists, (*LIBRARIES, *libraries, *named, *proc))))


@contextmanager
def opened(plan: CellPlan, *, userns_fd: int) -> Iterator[tuple[list[int], int]]:
    """A detached tree for each mount, closed at the end, and the program, opened once in the tree that holds it, which
    the caller closes unless this raises.

    Raises ConfinementError, NotFoundError.
    """
    trees: list[int] = []
    program = -1
    try:
        for mount in plan.system:
            source = _open_path(mount.path)
            try:
                trees.append(detach_tree(source, mount))
            finally:
                os.close(source)
        by_path = {root.path: root.fd for root in plan.request.roots}
        trees.extend(detach_tree(by_path[mount.path], mount, userns_fd=userns_fd) for mount in plan.roots)
        program = _open_program(plan, trees)
        yield trees, program
    except BaseException:
        if program >= 0:
            os.close(program)
        raise
    finally:
        for fd in trees:
            os.close(fd)


def _program(path: str) -> str:
    """The file that is meant, through all links."""
    if not is_normal(path):
        raise NotFoundError(f"{path!r} is not the plain absolute path of a program", "name it as in /usr/bin/git")
    try:
        real = require_trusted(path)
        status = os.stat(real)
    except (NotFoundError, OSError) as error:
        raise NotFoundError(f"{path} is not there", "apt-file search names its package") from error
    _require_program(path, status)
    return real


def _require_program(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IXOTH:
        raise NotFoundError(f"{path} is not a program that everybody may run", "name another program")
    if status.st_uid != 0 or status.st_mode & _OTHERS_MAY_WRITE:
        raise ConfinementError(f"{path} can be changed by others than root", f"chown root {path}; chmod go-w {path}")


def _system_mounts(readable: Sequence[str], execute: Sequence[str], *, taken: set[str]) -> tuple[abi.Mount, ...]:
    """Outer places first; what an outer one shows already is not mounted again, unless it is to be executed there."""
    wanted = dict.fromkeys((path for path in (*SYSTEM, *readable) if path != PROC and os.path.exists(path)), False)
    wanted |= dict.fromkeys(execute, True)
    wanted[USR] = True
    found: dict[str, bool] = {}
    for path in sorted(wanted):
        if any(f"{path}/".startswith(f"{own}/") for own in OWN_MOUNTS):
            raise ConfinementError(f"{path} of the machine is not shown to programs", f"name {PROC}, or nothing of it")
        if not is_normal(path):
            raise ConfinementError(f"{path!r} is not a plain absolute path", "name it without links and dots")
        is_shown = any(path.startswith(f"{outer}/") and found[outer] >= wanted[path] for outer in found)
        if path not in taken and not is_shown:
            found[path] = wanted[path]
    return tuple(
        abi.Mount(path, is_dir=os.path.isdir(path), writable=False, idmapped=False, executable=executable)
        for path, executable in found.items()
    )


def _open_program(plan: CellPlan, trees: Sequence[int]) -> int:
    mounts = (*plan.system, *plan.roots)
    holders = [i for i, mount in enumerate(mounts) if f"{plan.program}/".startswith(f"{mount.path}/")]
    holder = max(holders, key=lambda i: len(mounts[i].path))
    inner = plan.program[len(mounts[holder].path) + 1 :]
    resolve = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
    try:
        fd = (
            syscalls.openat2(trees[holder], inner, flags=os.O_PATH, resolve=resolve) if inner else os.dup(trees[holder])
        )
    except OSError as error:
        raise NotFoundError(f"{plan.program} is not there any more: {error.strerror}", "try again") from error
    try:
        _require_program(plan.program, os.fstat(fd))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open_path(path: str) -> int:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise NotFoundError(f"{path} is not there: {error.strerror}", "name what is there") from error
