"""From a policy's mounts to Landlock: the second, independent boundary around the file tree, network and signals.

Invariant: every right that the running ABI knows is handled, so what no rule allows is denied; in a worker nothing may
be made, removed or renamed anywhere, in a cell below what it may write. Two stacked rulesets: network and scope while a
worker is parked, files once it is known what was granted. The `landlock` package says which rights there are; the calls
are ours, since its own make each worker copy some sixty pages (a quarter MiB) that it could share.
"""

import os
from collections.abc import Sequence

import landlock

from worker.abi import Mount, Policy
from worker.wall import syscalls

# linux/landlock.h, ABI 4 (net) and 6 (scope)
NET_BIND_TCP = 1
NET_CONNECT_TCP = 2
SCOPE_ABSTRACT_UNIX_SOCKET = 1
SCOPE_SIGNAL = 2

_A = landlock.FSAccess
_READ = int(_A.READ_FILE | _A.READ_DIR)
_READ_WRITE = int(_READ | _A.WRITE_FILE | _A.TRUNCATE)
_DEVICE = int(_A.READ_FILE | _A.WRITE_FILE)
_ALL = int(_A.all())
_EXECUTE, _REFER = int(_A.EXECUTE), int(_A.REFER)
_FILE = int(_READ_WRITE & ~_A.READ_DIR)  # what a rule for a file may hold
_NAMES = int(_A.MAKE_DIR | _A.MAKE_REG | _A.MAKE_SYM | _A.REMOVE_DIR | _A.REMOVE_FILE | _A.REFER)
_NAMES_SHOWN = int(_A.READ_DIR)
_SCRATCH = int(_READ_WRITE | _NAMES | _A.MAKE_SOCK | _A.MAKE_FIFO)


def require_abi(abi: int, minimum: int) -> None:
    """Raises RuntimeError when the kernel's ABI is below `minimum`."""
    if abi < minimum:
        raise RuntimeError(f"the kernel's Landlock ABI is {abi}, the policy needs {minimum}")


def landlock_abi() -> int:
    """The ABI of the running kernel; 0 when Landlock is absent or switched off."""
    syscalls.clear_errno()
    try:
        return int(landlock.landlock_abi_version())
    except landlock.SyscallError:
        return 0


def restrict_network_and_scope(*, may_connect: bool, port: int | None = None, may_move: bool = False) -> None:
    """Deny TCP, and signals and abstract sockets of others; a mount is still possible. Source: landlock(7).

    With `may_connect` only listening is denied: where it may connect to is the process' own business. A `port` may be
    connected to in any case. `may_move` leaves it to later rulesets whether a name may go to another directory, which
    every ruleset denies unless it has a rule.
    """
    access_net = NET_BIND_TCP if may_connect else NET_BIND_TCP | NET_CONNECT_TCP
    scoped, refer = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL, _REFER if may_move else 0
    ruleset = syscalls.landlock_create_ruleset(access_fs=refer, access_net=access_net, scoped=scoped)
    if may_move:
        syscalls.landlock_allow_below(ruleset, "/", _REFER)
    if port is not None:
        syscalls.landlock_allow_port(ruleset, port, NET_CONNECT_TCP)
    syscalls.landlock_restrict_self(ruleset)
    os.close(ruleset)


def prepare_files() -> int:
    """A ruleset, not in force yet, that denies every file but the devices."""
    ruleset = syscalls.landlock_create_ruleset(access_fs=_ALL)
    syscalls.landlock_allow_below(ruleset, "/dev", _DEVICE)
    return ruleset


def restrict_files(ruleset: int, mounts: Sequence[Mount]) -> None:
    """Allow reading below each mount, and writing existing files below the writable ones; deny all else.

    From here on nothing can be mounted. Raises OSError. Source: landlock(7).
    """
    for mount in mounts:
        syscalls.landlock_allow_below(ruleset, mount.path, _READ_WRITE if mount.writable else _READ)
    syscalls.landlock_restrict_self(ruleset)
    os.close(ruleset)


def restrict_cell(ruleset: int, policy: Policy, *, scratch: str) -> None:
    """As `restrict_files`, for a cell: names below what it may write, its programs to execute; what is not `readable`
    of a mount in which something is cannot be opened, so that no loader and no code of its own can load it.

    Raises OSError.
    """
    own = _EXECUTE if policy.exec_writable else 0
    syscalls.landlock_allow_below(ruleset, scratch, _SCRATCH | own)
    for mount in policy.mounts:
        is_in_part = any(path.startswith(f"{mount.path}/") for path in policy.readable)
        rights = _READ_WRITE | _NAMES | own if mount.writable else _NAMES_SHOWN if is_in_part else _READ
        syscalls.landlock_allow_below(ruleset, mount.path, rights if mount.is_dir else rights & _FILE)
    for path in policy.readable:
        _allow(ruleset, path, _READ)
    for path in policy.execute:
        _allow(ruleset, path, _READ | _EXECUTE)
    syscalls.landlock_restrict_self(ruleset)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    syscalls.landlock_allow_below(ruleset, path, rights if os.path.isdir(path) else rights & ~_NAMES_SHOWN)
