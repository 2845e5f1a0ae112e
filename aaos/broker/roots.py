"""Opens the roots of an agent's file grants, and says of each who holds it: the kernel or the gate.

Invariant: a root is opened with the submitter's own rights, through no link, and is a directory of a real file system.
A root is kernel-held only if the grant is a whole tree without conditions and, where it must be shown as its owner's,
the file system can do so for an owner who is not root and is the only one of this worker. Everything else is gate-held:
its root is the directory that names are looked up in, and the grant itself is checked for each call.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from aaos.broker.faults import fault
from aaos.broker.opening import Acting, acting
from aaos.core.capability import Capability, Kind
from aaos.core.envelope import Submitter
from aaos.core.errors import AaosError, DeniedError, InputError
from aaos.core.ids import Gid, Uid
from aaos.core.ports import Held, Root
from aaos.core.text import quoted
from worker.wall import syscalls

# Not files but the kernel's or another process's answers: reading may block, act, or show other processes.
PSEUDO = frozenset({
    "proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs", "bpf", "devpts", "devtmpfs",
    "efivarfs", "pstore", "mqueue", "binfmt_misc", "selinuxfs", "autofs", "rpc_pipefs", "nsfs", "fusectl", "hugetlbfs",
})  # fmt: skip
ID_MAPPED = frozenset({"ext4", "xfs", "btrfs", "f2fs", "tmpfs"})  # FS_ALLOW_IDMAP, and used here

_RESOLVE = syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
_FILES = (Kind.FILE_READ, Kind.FILE_WRITE)


@dataclass(frozen=True, slots=True)
class Owner:
    """The one owner that a worker is shown as."""

    uid: int
    gid: int


def open_roots(capabilities: Iterable[Capability], submitter: Submitter, *, act: Acting) -> tuple[Root, ...]:
    """The roots of all file capabilities, each once; the caller closes them with `close_roots`.

    Raises:
        InputError, DeniedError: a root is missing, is no directory, or may not be used; nothing stays open.
    """
    roots: dict[tuple[str, Held], Root] = {}
    owner: Owner | None = None
    try:
        for capability in capabilities:
            if capability.kind not in _FILES:
                continue
            root = _open_root(capability, submitter, act=act, owner=owner)
            if root.held is Held.KERNEL and (root.writable or root.as_owner):
                owner = Owner(root.owner_uid, root.owner_gid)
            _merge(roots, root)
        return tuple(roots.values())
    except BaseException:
        close_roots(roots.values())
        raise


def close_roots(roots: Iterable[Root]) -> None:
    """Let go of the fds of `open_roots`."""
    for root in roots:
        os.close(root.fd)


def resolve(path: str, submitter: Submitter, *, act: Acting) -> str:
    """The path that `path` leads to now, links followed with the submitter's rights; the last name need not exist.

    For the operator's own words, before a grant is made of them and echoed. The links of /proc that lead into processes
    are refused: agentd would follow them with CAP_SYS_PTRACE, and /proc/self is agentd. Raises AaosError.
    """
    above, name = os.path.split(path)
    with acting(act, submitter):
        try:
            return _real(path)
        except FileNotFoundError:
            try:
                return os.path.join(_real(above), name)
            except OSError as error:
                raise fault(error, above) from error
        except OSError as error:
            raise fault(error, path) from error


def choose_held(capability: Capability, status: os.stat_result, *, file_system: str, owner: Owner | None) -> Held:
    """Who holds the grant; pure."""
    if not capability.is_plain_root:
        return Held.GATE
    if capability.kind is Kind.FILE_READ and not capability.as_owner:
        return Held.KERNEL
    own = Owner(status.st_uid, status.st_gid)
    if not own.uid or not own.gid or file_system not in ID_MAPPED or (owner is not None and owner != own):
        return Held.GATE
    return Held.KERNEL


def _open_root(capability: Capability, submitter: Submitter, *, act: Acting, owner: Owner | None) -> Root:
    path = os.path.dirname(capability.root) if capability.is_exact else capability.root
    fd = _open_directory(path, submitter, act=act)
    try:
        status = os.fstat(fd)
        file_system = _file_system(fd)
        if file_system in PSEUDO or file_system.startswith("fuse"):
            raise DeniedError(
                f"{quoted(path)} is on {file_system}, which holds no files", "copy what is needed elsewhere"
            )
        granted = _status_of(capability, fd, status)
        if capability.as_owner and granted.st_uid != submitter.uid:
            raise DeniedError(
                f"{capability.text()}: as_owner, but {quoted(capability.root)} belongs to uid {granted.st_uid}",
                f"submit as that user, or grant {quoted(capability.root)} without as_owner",
            )
        return Root(
            path=path,
            fd=fd,
            is_dir=True,
            writable=capability.kind is Kind.FILE_WRITE,
            as_owner=capability.as_owner,
            owner_uid=Uid(status.st_uid),
            owner_gid=Gid(status.st_gid),
            held=choose_held(capability, status, file_system=file_system, owner=owner),
        )
    except BaseException:
        os.close(fd)
        raise


def _open_directory(path: str, submitter: Submitter, *, act: Acting) -> int:
    try:
        with acting(act, submitter):
            return syscalls.openat2(syscalls.AT_FDCWD, path, flags=os.O_PATH | os.O_DIRECTORY, resolve=_RESOLVE)
    except OSError as error:
        raise _not_a_root(error, path) from error


def _not_a_root(error: OSError, path: str) -> AaosError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"directory {quoted(path, max_chars=200)} does not exist", "create it, or name another")
    if isinstance(error, NotADirectoryError):
        return InputError(f"{quoted(path, max_chars=200)} is not a directory", "name the file itself, without /**")
    return fault(error, path)


def _status_of(capability: Capability, fd: int, status: os.stat_result) -> os.stat_result:
    """The status of what is granted: the file itself when one file is granted and exists."""
    if not capability.is_exact:
        return status
    try:
        return os.stat(os.path.basename(capability.root), dir_fd=fd, follow_symlinks=False)
    except OSError:
        return status


def _merge(roots: dict[tuple[str, Held], Root], root: Root) -> None:
    """Several grants of one directory with the same holder become one root with the rights of all."""
    key = (root.path, root.held)
    known = roots.get(key)
    if known is None:
        roots[key] = root
        return
    os.close(root.fd)
    roots[key] = replace(known, writable=known.writable or root.writable, as_owner=known.as_owner or root.as_owner)


def _real(path: str) -> str:
    fd = syscalls.openat2(syscalls.AT_FDCWD, path, flags=os.O_PATH, resolve=syscalls.RESOLVE_NO_MAGICLINKS)
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _file_system(fd: int) -> str:
    """The type of the file system that an fd is on. Source: proc_pid_fdinfo(5), proc_pid_mountinfo(5)."""
    mount = _mount_id(fd)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            if line.startswith(f"{mount} "):
                return line.partition(" - ")[2].split(" ")[0]
    return "unknown"


def _mount_id(fd: int) -> str:
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
        fields: Mapping[str, str] = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
    return fields["mnt_id"]
