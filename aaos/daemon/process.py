"""What the daemon does to its own process before it holds anything worth stealing (H-SEC-05).

Invariant: no core dump, not attachable by others of the same uid, files it makes are its own. Must run first.
"""

import os
import resource

import prctl

from aaos.core.errors import ConfinementError
from worker.wall import syscalls

_MS_SLAVE = 1 << 19  # linux/mount.h


def harden() -> None:
    """No core files, not dumpable, umask 077. Source: prctl(2) PR_SET_DUMPABLE, setrlimit(2) RLIMIT_CORE."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl.set_dumpable(False)
    os.umask(0o077)


def raise_open_files(wanted: int = 65_536) -> int:
    """As many fds as the hard limit allows, up to `wanted`; the limit that holds now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def own_mounts() -> None:
    """A mount namespace of its own: what the machine mounts later is seen, what agentd mounts is seen by nobody else
    and ends with it. For a process that is still one thread. Raises ConfinementError.
    """
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("none", "/", "none", flags=syscalls.MS_REC | _MS_SLAVE)
    except OSError as error:
        raise ConfinementError(f"agentd cannot have mounts of its own: {error.strerror}", "run it as root") from error
