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


def restrict(mounts: Sequence[Mount], minimum_abi: int) -> None:
    """Allow reading below each mount, and writing existing files below the writable ones; deny all else.

    Raises OSError, or RuntimeError when the kernel's ABI is below `minimum_abi`. Source: landlock(7).
    """
    abi = landlock_abi()
    if abi < minimum_abi:
        raise RuntimeError(f"the kernel's Landlock ABI is {abi}, the policy needs {minimum_abi}")
    _restrict_network_and_scope()
    _restrict_files(mounts)


def landlock_abi() -> int:
    """The ABI of the running kernel; 0 when Landlock is absent or switched off."""
    syscalls.clear_errno()
    try:
        return int(landlock.landlock_abi_version())
    except landlock.SyscallError:
        return 0


def _restrict_files(mounts: Sequence[Mount]) -> None:
    syscalls.clear_errno()
    ruleset = landlock.Ruleset(_ALL)
    ruleset.allow("/dev", rules=_DEVICE)
    for mount in mounts:
        ruleset.allow(mount.path, rules=_READ | _WRITE if mount.writable else _READ)
    ruleset.apply()
    os.close(ruleset._fd)  # the package keeps it open and offers no way to close it


def _restrict_network_and_scope() -> None:
    ruleset = syscalls.landlock_create_ruleset(
        access_net=NET_BIND_TCP | NET_CONNECT_TCP, scoped=SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL
    )
    syscalls.landlock_restrict_self(ruleset)
    os.close(ruleset)
