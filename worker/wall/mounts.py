"""The private file trees: the zygote's template, and each worker's root made from nothing.

Invariant: a mount that the policy does not name does not exist behind the wall. Order matters throughout: ids are
mapped before tmpfs is touched (else EOVERFLOW), /proc is mounted while the template's is still visible (else EPERM),
and all of it happens before Landlock, which forbids every later mount.
"""

import os
import stat
from collections.abc import Sequence

from worker.abi import Mount, Policy
from worker.wall import syscalls

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
CANARY = "/.landlock-canary"  # readable by everyone, granted by no Landlock rule
NEW_ROOT = "/new"
SCRATCH = "/tmp"  # noqa: S108  # each cell's own
LINKS = ("bin", "lib", "lib64", "sbin")  # to where Debian has merged them
_INODE_BYTES = 4096

_LOCKED_DOWN = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
_READ_ONLY = syscalls.MOUNT_ATTR_RDONLY


def build_template(at: str) -> None:
    """Make the zygote's own root and move into it: devices, the machine's /proc, an empty directory for new roots.

    `at` is an existing directory; the mount namespace is unshared first, so nothing of it is seen outside. Workers are
    forked from here, so that unmounting the old root (which may wait for RCU) is paid once.
    """
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", "none", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", at, "tmpfs", flags=syscalls.MS_NOSUID | syscalls.MS_NOEXEC, options="mode=0755,size=64k")
    for name in ("dev", "proc", "new"):
        os.mkdir(f"{at}/{name}")
        os.chmod(f"{at}/{name}", 0o755)  # noqa: S103  # whatever agentd's umask is, workers use their devices
    _make_devices(f"{at}/dev")
    syscalls.mount("proc", f"{at}/proc", "proc", flags=_LOCKED_DOWN)
    syscalls.mount_setattr(syscalls.AT_FDCWD, at, set_attributes=_READ_ONLY)
    _enter(at)


def build_root(tmpfs_bytes: int) -> None:
    """Make this worker's own root, still empty and writable, and move into it.

    The caller is alone in its user, mount and pid namespaces and has its mapped uid. Raises OSError.
    """
    options = f"mode=0755,size={tmpfs_bytes},nr_inodes=4096"
    syscalls.mount("tmpfs", NEW_ROOT, "tmpfs", flags=_LOCKED_DOWN, options=options)
    os.mkdir(f"{NEW_ROOT}/dev", 0o755)
    os.mkdir(f"{NEW_ROOT}/proc", 0o755)
    _place_canary(NEW_ROOT + CANARY)
    _bind("/dev", f"{NEW_ROOT}/dev")
    syscalls.mount("proc", f"{NEW_ROOT}/proc", "proc", flags=_LOCKED_DOWN, options="hidepid=invisible,subset=pid")
    _enter(NEW_ROOT)


def furnish_root(mounts: Sequence[Mount], trees: Sequence[int]) -> None:
    """Attach the detached `trees`, one for each mount, and make the root read-only. Raises OSError."""
    for mount, tree in sorted(zip(mounts, trees, strict=True), key=lambda pair: pair[0].path):
        _attach(mount, tree)
    syscalls.mount_setattr(syscalls.AT_FDCWD, "/", set_attributes=_READ_ONLY)


def furnish_cell(policy: Policy, trees: Sequence[int]) -> None:
    """As `furnish_root`, with a scratch directory of the cell's own and the links of a merged /usr. Raises OSError."""
    for name in LINKS:
        os.symlink(f"usr/{name}", f"/{name}")
    os.mkdir(SCRATCH, 0o700)
    flags = _LOCKED_DOWN & ~syscalls.MS_NOEXEC if policy.exec_writable else _LOCKED_DOWN
    options = f"mode=0700,size={policy.tmpfs_bytes},nr_inodes={policy.tmpfs_bytes // _INODE_BYTES + 64}"
    syscalls.mount("tmpfs", SCRATCH, "tmpfs", flags=flags, options=options)
    furnish_root(policy.mounts, trees)


def _make_devices(at: str) -> None:
    for name, (major, minor) in DEVICES.items():
        path = f"{at}/{name}"
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        os.chmod(path, 0o666)  # noqa: S103  # devices that everybody may use


def _place_canary(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    os.chmod(path, 0o644)


def _bind(source: str, target: str) -> None:
    tree = syscalls.open_tree(syscalls.AT_FDCWD, source)
    syscalls.mount_setattr(
        tree, "", set_attributes=_READ_ONLY | syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NOEXEC
    )
    syscalls.move_mount(tree, target)
    os.close(tree)


def _attach(mount: Mount, tree: int) -> None:
    os.makedirs(mount.path if mount.is_dir else os.path.dirname(mount.path), 0o755, exist_ok=True)
    if not mount.is_dir and not os.path.exists(mount.path):
        os.close(os.open(mount.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o444))
    syscalls.move_mount(tree, mount.path)
    os.close(tree)
    for covered in mount.covered:
        _cover(f"{mount.path}/{covered}")


def _cover(path: str) -> None:
    """Mount what is at `path` over itself, read-only, and never to be executed."""
    tree = syscalls.open_tree(syscalls.AT_FDCWD, path)
    syscalls.mount_setattr(tree, "", set_attributes=_READ_ONLY | syscalls.MOUNT_ATTR_NOEXEC)
    syscalls.move_mount(tree, path)
    os.close(tree)


def _enter(root: str) -> None:
    """Make `root` the root and let go of the old one. Source: pivot_root(2), "pivot_root(".", ".")"."""
    os.chdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", flags=syscalls.MNT_DETACH)
    os.chdir("/")
