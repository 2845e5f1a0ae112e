"""Granted roots as detached mounts: what a worker gets of the machine's files, made by agentd from the fds it opened.

Invariant: a tree is one mount without those below it, `nosuid,nodev`, `noexec` unless a cell is to execute what is in
it, and read-only unless it is to be written;
its owner is shown as the worker's own id, or not at all.
"""

import os

from aaos.core.errors import ConfinementError
from worker import abi
from worker.wall import syscalls

_HARMLESS = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOEXEC


def detach_tree(root_fd: int, mount: abi.Mount, *, userns_fd: int = -1) -> int:
    """A detached copy of what `root_fd` names, for this mount; the caller closes it. An id-mapped one shows its owner
    as the id that the user namespace of `userns_fd` maps.

    Raises ConfinementError for what cannot be cloned or mapped. Source: open_tree(2), mount_setattr(2).
    """
    try:
        tree = syscalls.open_tree(root_fd, "")
    except OSError as error:
        message = f"{mount.path} cannot be mounted for a worker: {error.strerror}"
        raise ConfinementError(message, "grant another path") from error
    attributes = _HARMLESS if mount.writable else _HARMLESS | syscalls.MOUNT_ATTR_RDONLY
    if mount.executable:
        attributes &= ~syscalls.MOUNT_ATTR_NOEXEC
    if mount.idmapped:
        attributes |= syscalls.MOUNT_ATTR_IDMAP
    try:
        syscalls.mount_setattr(tree, "", set_attributes=attributes, userns_fd=userns_fd)
    except OSError as error:
        os.close(tree)
        raise _refusal(mount, error) from error
    return tree


def _refusal(mount: abi.Mount, error: OSError) -> ConfinementError:
    """EINVAL is what overlay, network and FUSE file systems answer to a mapping."""
    if not mount.idmapped:
        return ConfinementError(f"{mount.path} cannot be mounted for a worker: {error.strerror}", "grant another path")
    message = f"{mount.path}: its file system cannot show its owner to a worker ({error.strerror})"
    return ConfinementError(message, "grant a directory on ext4, xfs, btrfs or tmpfs, or its files one by one")
