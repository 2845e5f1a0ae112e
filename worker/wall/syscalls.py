"""Every system call that the standard library lacks: one typed function each, the only ctypes in the project.

Invariant: a call that fails raises OSError with the kernel's errno; none is retried, none is replaced by another.
Numbers are those of x86_64 (asm/unistd_64.h); from 424 on they are the same on every architecture.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from ctypes import byref, c_char_p, c_int, c_long, c_size_t, c_uint, c_uint16, c_uint32, c_uint64, c_ulong, c_void_p

SYS_CLONE = 56
SYS_SETGROUPS = 116
SYS_CAPSET = 126
SYS_PIVOT_ROOT = 155
SYS_RENAMEAT2 = 316
SYS_SECCOMP = 317
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_OPENAT2 = 437
SYS_MOUNT_SETATTR = 442
SYS_LANDLOCK_CREATE_RULESET = 444
SYS_LANDLOCK_ADD_RULE = 445
SYS_LANDLOCK_RESTRICT_SELF = 446

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

# linux/sched.h
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# linux/openat2.h
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

# linux/mount.h
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_IDMAP = 0x00100000
MOUNT_ATTR_NOSYMFOLLOW = 0x00200000

# linux/fs.h
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2

# linux/prctl.h
PR_CAPBSET_DROP = 24
PR_SET_MDWE = 65
PR_MDWE_REFUSE_EXEC_GAIN = 1

LANDLOCK_RULE_PATH_BENEATH, LANDLOCK_RULE_NET_PORT = 1, 2  # linux/landlock.h

# linux/ptrace.h
PTRACE_CONT, PTRACE_DETACH, PTRACE_EVENT_STOP = 7, 17, 128
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_SECCOMP_GET_FILTER = 0x4206, 0x4207, 0x420C
WAIT_ALL_CHILDREN = 0x40000000  # __WALL, linux/wait.h

SECCOMP_SET_MODE_FILTER = 1
LINUX_CAPABILITY_VERSION_3 = 0x20080522
NO_ID = 0xFFFFFFFF
BPF_INSTRUCTION_BYTES, BPF_MOST_INSTRUCTIONS = 8, 4096  # linux/bpf_common.h
MOST_FILTERS = 8
IMMORTAL_COUNT = 0xFFFFFFFF  # _Py_IMMORTAL_REFCNT

_libc = ctypes.CDLL(None, use_errno=True)
_libc_with_gil = ctypes.PyDLL(None, use_errno=True)

# Looked up once, here: a look-up in a forked worker would write to pages that it shares with the zygote.
_syscall = _libc.syscall
_syscall.restype = c_long
_syscall_with_gil = _libc_with_gil.syscall
_syscall_with_gil.restype = c_long
_prctl = _libc.prctl
_prctl.argtypes = (c_int, c_ulong, c_ulong, c_ulong, c_ulong)
_unshare = _libc.unshare
_umount2 = _libc.umount2
_setfsuid, _setfsgid = _libc_with_gil.setfsuid, _libc_with_gil.setfsgid  # they never wait
_setfsuid.argtypes = _setfsgid.argtypes = (c_uint32,)
_setfsuid.restype = _setfsgid.restype = c_uint32
_mount = _libc.mount
_mount.argtypes = (c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)
_ptrace_call = _libc.ptrace
_ptrace_call.restype = c_long
_ptrace_call.argtypes = (c_long, c_int, c_void_p, c_void_p)
_before_fork = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
_after_fork_child = ctypes.pythonapi.PyOS_AfterFork_Child

_CapHeader = c_uint32 * 2  # kept, since ctypes forgets a type that nobody holds, and making one is slow
_CapData = c_uint32 * 6
_Filter = ctypes.c_char * (BPF_MOST_INSTRUCTIONS * BPF_INSTRUCTION_BYTES)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", c_uint64), ("mode", c_uint64), ("resolve", c_uint64))


class _MountAttr(ctypes.Structure):
    _fields_ = (("set", c_uint64), ("clear", c_uint64), ("propagation", c_uint64), ("userns_fd", c_uint64))


class _LandlockAttr(ctypes.Structure):
    _fields_ = (("handled_access_fs", c_uint64), ("handled_access_net", c_uint64), ("scoped", c_uint64))


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", c_uint16), ("filter", c_char_p))


def require_supported_machine() -> None:
    """Raises OSError(ENOSYS) on any machine but x86_64: the numbers above would mean something else."""
    if platform.machine() != "x86_64":
        raise OSError(38, f"the wall is built for x86_64, not {platform.machine()}")


def clone(flags: int) -> tuple[int, int]:
    """Fork with namespace `flags`: (0, -1) in the child, (pid, pidfd) in the caller.

    The interpreter's fork hooks run as for os.fork(), and the GIL is held throughout. The caller must have one thread.
    Source: clone(2), raw system call; CLONE_PIDFD is added.
    """
    pidfd = c_int(-1)
    _before_fork()
    pid = _syscall_with_gil(c_long(SYS_CLONE), c_ulong(flags | CLONE_PIDFD), None, byref(pidfd), None, c_ulong(0))
    errno = ctypes.get_errno()
    if pid == 0:
        _after_fork_child()
        return 0, -1
    _after_fork_parent()
    if pid < 0:
        raise OSError(errno, f"clone: {os.strerror(errno)}")
    return pid, pidfd.value


def unshare(flags: int) -> None:
    """Leave namespaces. Source: unshare(2)."""
    _check(_unshare(c_int(flags)), "unshare")


def openat2(dir_fd: int, path: str, *, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open with rules for the whole resolution; O_CLOEXEC is added. Source: openat2(2)."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    fd = _syscall(SYS_OPENAT2, dir_fd, os.fsencode(path), byref(how), 24)
    return _check(fd, "openat2", path)


def renameat2(old_dir_fd: int, old: str, new_dir_fd: int, new: str, *, flags: int = 0) -> None:
    """Rename, optionally refusing to replace or exchanging. Source: rename(2)."""
    result = _syscall(SYS_RENAMEAT2, old_dir_fd, os.fsencode(old), new_dir_fd, os.fsencode(new), c_uint(flags))
    _check(result, "renameat2", new)


def acting_as(uid: int, gid: int, groups: Sequence[int]) -> AbstractContextManager[None]:
    """File access of this thread with another user's rights; the thread's own rights come back at the end.

    Only the calling thread changes (raw calls, not glibc's broadcast), so nothing may await inside.
    Raises OSError(EPERM) when an id did not take. Source: setfsuid(2), setgroups(2), credentials(7).
    """
    return nullcontext() if uid == 0 else _Acting(uid, gid, groups)


class _Acting:
    """A class and not a generator: it is on the way of every file that is opened for an agent."""

    __slots__ = ("_groups", "_ids", "_own_groups")

    def __init__(self, uid: int, gid: int, groups: Sequence[int]) -> None:
        self._ids = uid, gid
        self._groups = groups

    def __enter__(self) -> None:
        own_groups = os.getgroups()
        self._own_groups = own_groups if set(own_groups) != set(self._groups) else None  # None: nothing to change
        try:
            if self._own_groups is not None:
                _setgroups(self._groups)
            _setfsids(*self._ids)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        _setfsids(os.geteuid(), os.getegid())
        if self._own_groups is not None:
            _setgroups(self._own_groups)


def mount(source: str, target: str, kind: str, *, flags: int, options: str = "") -> None:
    """Mount a file system. Source: mount(2)."""
    data = options.encode() if options else None
    _check(_mount(source.encode(), os.fsencode(target), kind.encode(), flags, data), "mount", target)


def umount(target: str, *, flags: int = 0) -> None:
    """Unmount. Source: umount2(2)."""
    _check(_umount2(c_char_p(os.fsencode(target)), c_int(flags)), "umount2", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Exchange the root of the mount namespace. Source: pivot_root(2)."""
    _check(_syscall(SYS_PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old)), "pivot_root", new_root)


def open_tree(dir_fd: int, path: str, *, flags: int = OPEN_TREE_CLONE) -> int:
    """A detached copy of the mount at `path` (of `dir_fd` itself when empty), not of the mounts below it.

    Source: open_tree(2), linux/mount.h.
    """
    empty = AT_EMPTY_PATH if not path else 0
    fd = _syscall(SYS_OPEN_TREE, c_int(dir_fd), os.fsencode(path), c_uint(flags | OPEN_TREE_CLOEXEC | empty))
    return _check(fd, "open_tree", path)


def move_mount(tree_fd: int, target: str) -> None:
    """Attach a detached tree at `target`. Source: move_mount(2)."""
    result = _syscall(
        SYS_MOVE_MOUNT, c_int(tree_fd), b"", c_int(AT_FDCWD), os.fsencode(target), c_uint(MOVE_MOUNT_F_EMPTY_PATH)
    )
    _check(result, "move_mount", target)


def mount_setattr(dir_fd: int, path: str, *, set_attributes: int, userns_fd: int = -1) -> None:
    """Set attributes of the one mount at `path` (of `dir_fd` itself if empty) and make it private: a clone of a shared
    mount gets what is mounted below that later, and gives what is mounted below itself. With MOUNT_ATTR_IDMAP its
    owners are shown through `userns_fd`. Source: mount_setattr(2), mount_namespaces(7).
    """
    attr = _MountAttr(set_attributes, 0, MS_PRIVATE, userns_fd if userns_fd >= 0 else 0)
    empty = AT_EMPTY_PATH if not path else 0
    result = _syscall(
        SYS_MOUNT_SETATTR, c_int(dir_fd), os.fsencode(path), c_uint(empty), byref(attr), c_size_t(ctypes.sizeof(attr))
    )
    _check(result, "mount_setattr", path)


def drop_bounding_set() -> None:
    """Empty the bounding set, up to the last capability that the kernel knows. Source: PR_CAPBSET_DROP in prctl(2)."""
    for capability in range(64):
        if _prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            if ctypes.get_errno() != 22:  # EINVAL: past the last one
                _check(-1, "prctl(PR_CAPBSET_DROP)")
            return


def drop_capability_sets() -> None:
    """Empty the effective, permitted and inheritable sets; the ambient set follows."""
    keep_capabilities(0)


def keep_capabilities(kept: int) -> None:
    """Reduce the effective and permitted sets to the bit set `kept`. Source: capget(2)."""
    low, high = kept & 0xFFFFFFFF, kept >> 32
    header, data = _CapHeader(LINUX_CAPABILITY_VERSION_3, 0), _CapData(low, low, 0, high, high, 0)
    _check(_syscall(SYS_CAPSET, byref(header), byref(data)), "capset")


def refuse_exec_gain() -> None:
    """Memory that was writable can never become executable. Source: PR_SET_MDWE in prctl(2), Linux 6.3."""
    _check(_prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0), "prctl(PR_SET_MDWE)")


def landlock_create_ruleset(*, access_fs: int = 0, access_net: int = 0, scoped: int = 0) -> int:
    """A ruleset that handles these rights and so denies them all. Source: landlock_create_ruleset(2), ABI 6."""
    attr = _LandlockAttr(access_fs, access_net, scoped)
    fd = _syscall(SYS_LANDLOCK_CREATE_RULESET, byref(attr), c_size_t(ctypes.sizeof(attr)), c_uint(0))
    return _check(fd, "landlock_create_ruleset")


def landlock_allow_below(ruleset_fd: int, path: str, access_fs: int) -> None:
    """Add to a ruleset what is allowed at and below `path`. Source: landlock_add_rule(2)."""
    parent_fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access_fs, parent_fd)
        result = _syscall(SYS_LANDLOCK_ADD_RULE, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        _check(result, "landlock_add_rule", path)
    finally:
        os.close(parent_fd)


def landlock_allow_port(ruleset_fd: int, port: int, access_net: int) -> None:
    """Add to a ruleset what is allowed with a TCP port. Source: landlock_add_rule(2), ABI 4."""
    rule = struct.pack("=QQ", access_net, port)
    _check(_syscall(SYS_LANDLOCK_ADD_RULE, ruleset_fd, LANDLOCK_RULE_NET_PORT, rule, 0), "landlock_add_rule")


def landlock_restrict_self(ruleset_fd: int) -> None:
    """Stack a ruleset on this thread for ever. Source: landlock_restrict_self(2)."""
    _check(_syscall(SYS_LANDLOCK_RESTRICT_SELF, c_int(ruleset_fd), c_uint(0)), "landlock_restrict_self")


def clear_errno() -> None:
    """Forget ctypes' copy of errno: the `landlock` package (1.0.0.dev5) trusts what an earlier failure left there."""
    ctypes.set_errno(0)


def make_immortal(objects: Iterable[object]) -> None:
    """Count no references to these objects: using one writes to no page. Source: PEP 683, object.h of 3.12, 3.13."""
    for thing in objects:
        count = c_uint64.from_address(id(thing))
        if count.value < IMMORTAL_COUNT:
            count.value = IMMORTAL_COUNT


def load_filter(program: bytes) -> None:
    """Install a seccomp filter given as BPF instructions. Source: seccomp(2), SECCOMP_SET_MODE_FILTER."""
    fprog = _SockFprog(len(program) // BPF_INSTRUCTION_BYTES, program)
    _check(_syscall(SYS_SECCOMP, c_uint(SECCOMP_SET_MODE_FILTER), c_uint(0), byref(fprog)), "seccomp")


def seize(pid: int) -> None:
    """Tell a process to stop, to be looked at; `let_go` ends it, as does the caller's end. Source: ptrace(2)."""
    _ptrace(PTRACE_SEIZE, pid, 0, None)
    _ptrace(PTRACE_INTERRUPT, pid, 0, None)


def has_stopped(pid: int) -> bool:
    """Whether what was seized stands still since the last time. Raises ProcessLookupError when it ended instead."""
    stopped, status = os.waitpid(pid, WAIT_ALL_CHILDREN | os.WNOHANG)
    if stopped and not os.WIFSTOPPED(status):
        raise ProcessLookupError(3, f"process {pid} ended")
    if stopped and status >> 16 != PTRACE_EVENT_STOP:  # on its way to a signal, which is to reach it
        _ptrace(PTRACE_CONT, pid, 0, os.WSTOPSIG(status))
        return False
    return bool(stopped)


def let_go(pid: int) -> None:
    """Let a process that stands still go on. Source: ptrace(2)."""
    _ptrace(PTRACE_DETACH, pid, 0, None)


def dump_filters(pid: int) -> tuple[bytes, ...]:
    """The seccomp filters of a process that stands still as BPF, oldest first.

    Needs CAP_SYS_ADMIN and CONFIG_CHECKPOINT_RESTORE. Source: ptrace(2), PTRACE_SECCOMP_GET_FILTER.
    """
    buffer, loaded = _Filter(), list[bytes]()
    for index in range(MOST_FILTERS):
        try:
            count = _ptrace(PTRACE_SECCOMP_GET_FILTER, pid, index, ctypes.addressof(buffer))
        except FileNotFoundError:  # it has no more
            break
        loaded.append(ctypes.string_at(buffer, count * BPF_INSTRUCTION_BYTES))
    return tuple(loaded)


def _ptrace(request: int, pid: int, address: int, data: int | None) -> int:
    return _check(_ptrace_call(request, pid, c_void_p(address), data), "ptrace", str(pid))


def _setgroups(groups: Sequence[int]) -> None:
    array = (c_uint32 * len(groups))(*groups)
    _check(_syscall(SYS_SETGROUPS, c_size_t(len(groups)), byref(array)), "setgroups")


def _setfsids(uid: int, gid: int) -> None:
    """Both calls return what was before and never an error: asking with an impossible id tells what holds now."""
    _setfsgid(gid)
    _setfsuid(uid)
    if _setfsgid(NO_ID) != gid or _setfsuid(NO_ID) != uid:
        raise PermissionError(1, f"setfsuid: cannot act as {uid}:{gid}")


def _check(result: int, call: str, path: str | None = None) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{call}: {os.strerror(errno)}", path)
    return result
