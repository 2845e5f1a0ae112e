"""From a policy's mounts to Landlock: the second, independent boundary around the file tree, network and signals.

Invariant: every right that the running ABI knows is handled, so what no rule allows is denied; nothing may be made,
removed or renamed anywhere. Two stacked rulesets: files by the `landlock` package, network and scope by ours, which the
package does not know.
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

_READ = landlock.FSAccess.READ_FILE | landlock.FSAccess.READ_DIR
_WRITE = landlock.FSAccess.WRITE_FILE | landlock.FSAccess.TRUNCATE
_DEVICE = landlock.FSAccess.READ_FILE | landlock.FSAccess.WRITE_FILE

_ALL = landlock.FSAccess.all()


def warm() -> None:
    """Make the package build and cache its functions now, in the zygote, instead of in every worker."""
    landlock.plumbing.get_add_rule()
    landlock.plumbing.get_restrict_self()
    landlock.plumbing.get_prctl()


def require_abi(minimum: int) -> None:
    """Raises RuntimeError when the kernel's ABI is below `minimum`."""
    abi = landlock_abi()
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


def prepare_files() -> landlock.Ruleset:
    """A ruleset that denies every file but the devices, not in force yet."""
    syscalls.clear_errno()
    ruleset = landlock.Ruleset(_ALL)
    ruleset.allow("/dev", rules=_DEVICE)
    return ruleset


def restrict_files(ruleset: landlock.Ruleset, mounts: Sequence[Mount]) -> None:
    """Allow reading below each mount, and writing existing files below the writable ones; deny all else.

    From here on nothing can be mounted. Raises OSError. Source: landlock(7).
    """
    syscalls.clear_errno()
    for mount in mounts:
        ruleset.allow(mount.path, rules=_READ | _WRITE if mount.writable else _READ)
    ruleset.apply()
    os.close(ruleset._fd)  # the package keeps it open and offers no way to close it
