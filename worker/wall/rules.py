"""From a policy's mounts to Landlock: the second, independent boundary around the file tree, network and signals.

Invariant: every right that the running ABI knows is handled, so what no rule allows is denied; nothing may be made,
removed or renamed anywhere. Two stacked rulesets: network and scope while a worker is parked, files once it is known
what was granted. The `landlock` package says which rights there are; the calls are ours, since its own make each worker
copy some sixty pages (a quarter MiB) that it could share.
"""

import os
from collections.abc import Sequence

import landlock

from worker.abi import Mount
from worker.wall import syscalls

# linux/landlock.h, ABI 4 (net) and 6 (scope)
NET_BIND_TCP = 1
NET_CONNECT_TCP = 2
SCOPE_ABSTRACT_UNIX_SOCKET = 1
SCOPE_SIGNAL = 2

_READ = int(landlock.FSAccess.READ_FILE | landlock.FSAccess.READ_DIR)
_READ_WRITE = int(_READ | landlock.FSAccess.WRITE_FILE | landlock.FSAccess.TRUNCATE)
_DEVICE = int(landlock.FSAccess.READ_FILE | landlock.FSAccess.WRITE_FILE)
_ALL = int(landlock.FSAccess.all())


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


def restrict_network_and_scope(*, may_connect: bool) -> None:
    """Deny TCP, and signals and abstract sockets of others; a mount is still possible. Source: landlock(7).

    With `may_connect` only listening is denied: where it may connect to is the process' own business.
    """
    access_net = NET_BIND_TCP if may_connect else NET_BIND_TCP | NET_CONNECT_TCP
    ruleset = syscalls.landlock_create_ruleset(access_net=access_net, scoped=SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL)
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
