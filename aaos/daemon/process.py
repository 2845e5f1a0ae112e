"""What the daemon does to its own process before it holds anything worth stealing (H-SEC-05).

Invariant: no core dump, not attachable by others of the same uid, files it makes are its own. Must run first.
"""

import os
import resource

import prctl


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
