"""Granted roots as detached mounts: what a worker gets of the machine's files, made by agentd from the fds it opened.

Invariant: a tree is one mount without those below it, `nosuid,nodev,noexec`, and read-only unless it is to be written.
"""

import os

from aaos.core.errors import ConfinementError
from worker import abi
from worker.wall import syscalls

_HARMLESS = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOEXEC


def detach_tree(root_fd: int, mount: abi.Mount) -> int:
    """A detached copy of what `root_fd` names, for this mount; the caller closes it.

    Raises ConfinementError for what cannot be cloned. Source: open_tree(2), mount_setattr(2).
    """
    try:
        tree = syscalls.open_tree(root_fd, "")
        try:
            attributes = _HARMLESS if mount.writable else _HARMLESS | syscalls.MOUNT_ATTR_RDONLY
            syscalls.mount_setattr(tree, "", set_attributes=attributes)
        except OSError:
            os.close(tree)
            raise
    except OSError as error:
        message = f"{mount.path} cannot be mounted for a worker: {error.strerror}"
        raise ConfinementError(message, "grant another path") from error
    return tree
