"""seccomp filters: an allow-list for each profile, every row with its reason, compiled once to BPF bytes.

Invariant: what no row allows is refused: EPERM for what a careless program may try and must see refused, ENOSYS for
everything else (a C library falls back on ENOSYS; EPERM from clone3 breaks threads). Foreign architectures and x32 are
killed. Source: seccomp(2), libseccomp's binary-tree optimisation (SCMP_FLTATR_CTL_OPTIMIZE = 2).
"""

import errno
import fcntl
import functools
import os
import socket
import tempfile
from collections.abc import Collection, Set
from enum import StrEnum
from typing import assert_never

import pyseccomp

from aaos.sandbox.cellrows import CELL_ROWS, DOOR_ROWS
from aaos.sandbox.rows import (
    FIONBIO,
    FIONREAD,
    LOW_32_BITS,
    MAP_HUGETLB,
    NEW_FILE_FLAGS,
    PROT_EXEC,
    SOCKET_KIND,
    TCGETS,
    THREAD,
    Check,
    Row,
)
from worker.cell import frames

CANARY = "uname"  # what the worker tries when its filter is in force: it must see a refusal and live
CELL_CANARY = "sched_rr_get_interval"  # the same of a cell, whose program may well ask for the name


class Profile(StrEnum):
    """Whose filter it is."""

    WORKER = "worker"
    ZYGOTE = "zygote"
    EGRESS = "egress"
    CELL = frames.PLAIN
    CELL_WITH_DOOR = frames.WITH_DOOR


class Refusal(StrEnum):
    """What a refused call gets: an error, or (in tests) SIGSYS, so that no refusal goes unseen."""

    ERRNO = "errno"
    TRAP = "trap"


_FCNTL = {
    fcntl.F_SETFD: "fdopendir(3) of a granted directory",
    fcntl.F_GETFL: "fdopendir(3) of a granted directory",
    fcntl.F_DUPFD_CLOEXEC: "os.scandir of a directory's fd",
    fcntl.F_ADD_SEALS: "seal a long frame",
    fcntl.F_GET_SEALS: "check the seals of a long frame",
}

WORKER_ROWS: tuple[Row, ...] = (
    Row("read", "bytes of a permitted file"),
    Row("pread64", "bytes of a permitted file at an offset"),
    Row("write", "bytes into a permitted file"),
    Row("lseek", "size and position of a permitted file"),
    Row("fstat", "kind and size of an open file, from glibc 2.39 on"),
    Row("newfstatat", "kind of a directory entry, not following links; of an open file with an older glibc"),
    Row("openat", "open below a granted root; no name can be created", (Check(2, NEW_FILE_FLAGS, 0),)),
    Row("getdents64", "list a granted directory"),
    Row("close", "let go of a permitted file"),
    *(Row("fcntl", reason, (Check(1, LOW_32_BITS, command),)) for command, reason in _FCNTL.items()),
    Row("ftruncate", "shorten a file that may be written"),
    Row("memfd_create", "a result that is longer than a frame; no huge pages", (Check(1, os.MFD_HUGETLB, 0),)),
    Row("recvmsg", "frames from agentd"),
    Row("sendmsg", "frames to agentd"),
    Row("recvfrom", "frames from agentd, as plain programs read them"),
    Row("sendto", "frames to agentd, as plain programs write them"),
    Row("getsockopt", "Python asks a socket made from an fd for its kind"),
    Row("getsockname", "Python asks a socket made from an fd for its family"),
    Row("getpeername", "Python shows a socket when it warns that it was not closed"),
    Row("poll", "wait for agentd with a deadline"),
    Row("mmap", "memory, never executable, no huge pages", (Check(2, PROT_EXEC, 0), Check(3, MAP_HUGETLB, 0))),
    Row("munmap", "memory"),
    Row("mremap", "large strings grow in place"),
    Row("brk", "memory"),
    Row("futex", "wait for a lock with a deadline; the C library aborts when it is refused"),
    Row("rt_sigreturn", "return from Python's handler of SIGINT"),
    Row("clock_nanosleep", "time.sleep in a program"),
    Row("restart_syscall", "a sleep or poll that attestation or a pause interrupted goes on"),
    Row("clock_gettime", "time, where the vDSO cannot answer"),
    Row("getrandom", "hash seeds, random numbers"),
    Row("getpid", "cannot fail: a refusal would be taken for an id"),
    Row("getppid", "cannot fail: a refusal would be taken for an id"),
    Row("getuid", "cannot fail: a refusal would be taken for an id"),
    Row("geteuid", "cannot fail: a refusal would be taken for an id"),
    Row("getgid", "cannot fail: a refusal would be taken for an id"),
    Row("getegid", "cannot fail: a refusal would be taken for an id"),
    Row("gettid", "cannot fail: a refusal would be taken for an id"),
    Row("ioctl", "Python's open() asks whether a file is a terminal", (Check(1, LOW_32_BITS, TCGETS),)),
    Row("exit_group", "the end"),
)

SETUP = {
    "clone": "fork a worker",
    "pipe2": "hold the child until its ids are mapped",
    "pidfd_send_signal": "kill a child whose ids could not be mapped",
    "dup2": "fds of the child",
    "dup3": "fds of the child",
    "close_range": "the child keeps only its own fds",
    "getdents64": "the child looks at its new root",
    "setresuid": "the child takes its mapped id",
    "setresgid": "the child takes its mapped id",
    "unshare": "the child's cgroup namespace, rooted at its leaf",
    "sethostname": "the child's own name, and the canary of the capabilities",
    "socket": "canaries of network and Landlock",
    "bind": "canaries of network and Landlock",
    "connect": "canaries of network and Landlock",
    "listen": "canary of Landlock's scope",
    "mount": "the child's tmpfs and /proc",
    "umount2": "the child lets go of the template",
    "pivot_root": "the child's root",
    "chdir": "the child's root",
    "mkdir": "mount points of the child, and the canary of its root",
    "chmod": "mode of the canary file",
    "open_tree": "devices and control files of the child",
    "move_mount": "attach what was granted",
    "mount_setattr": "read-only mounts, mapped owners",
    "umask": "files of the child",
    "prlimit64": "limits of the child",
    "prctl": "no_new_privs, bounding set, MDWE, PDEATHSIG",
    "capset": "the child drops its capabilities",
    "landlock_create_ruleset": "Landlock",
    "landlock_add_rule": "Landlock",
    "landlock_restrict_self": "Landlock",
    "seccomp": "the child's own filter",
    CANARY: "canary of a worker's own filter",
    CELL_CANARY: "canary of a cell's own filter",
}
_REASONS = {row.call: row.reason for row in (*DOOR_ROWS, *CELL_ROWS)} | {row.call: row.reason for row in WORKER_ROWS}
ZYGOTE_ROWS: tuple[Row, ...] = tuple(Row(call, reason) for call, reason in (_REASONS | SETUP).items())

_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_SOCKETS = {
    socket.SOCK_STREAM: ("connections of TCP", LOW_32_BITS & ~socket.IPPROTO_TCP),  # protocol 0 or TCP, so no MPTCP
    socket.SOCK_DGRAM: ("DNS, and the order of the addresses of a name", LOW_32_BITS),  # protocol 0, so no ping
}
_EGRESS_FCNTL = {
    fcntl.F_ADD_SEALS: "seal the text of a page",
}
_EGRESS_IOCTL = {
    FIONBIO: "sockets that do not block",
    FIONREAD: "how long an answer of DNS is",
}
_EGRESS_OPTIONS = {
    (socket.IPPROTO_TCP, socket.TCP_NODELAY): "asyncio sends at once",
    (socket.IPPROTO_IP, 11): "DNS hears of errors (IP_RECVERR)",
    (socket.IPPROTO_IPV6, 25): "DNS hears of errors (IPV6_RECVERR)",
}
EGRESS_ROWS: tuple[Row, ...] = (
    Row("read", "settings of name resolution; what wakes the loop"),
    Row("write", "the text of a page; what wakes the loop"),
    Row("lseek", "Python's open()"),
    Row("fstat", "size of a file, from glibc 2.39 on"),
    Row("newfstatat", "whether settings of name resolution have changed"),
    Row(
        "openat",
        "settings of name resolution, authorities; no name can be created",
        (Check(2, NEW_FILE_FLAGS, 0),),
    ),
    Row("close", "let go of a file or a connection"),
    *(Row("fcntl", reason, (Check(1, LOW_32_BITS, command),)) for command, reason in _EGRESS_FCNTL.items()),
    *(Row("ioctl", reason, (Check(1, LOW_32_BITS, command),)) for command, reason in _EGRESS_IOCTL.items()),
    Row("memfd_create", "the text of a page; no huge pages", (Check(1, os.MFD_HUGETLB, 0),)),
    *(
        Row("socket", what, (Check(0, LOW_32_BITS, family), Check(1, SOCKET_KIND, kind), Check(2, protocols, 0)))
        for family in _FAMILIES
        for kind, (what, protocols) in _SOCKETS.items()
    ),
    Row("socketpair", "what wakes the loop", (Check(0, LOW_32_BITS, socket.AF_UNIX),)),
    Row("connect", "connections to where a fetch or a cell may go"),
    Row("accept4", "connections of a cell, at a listening socket that agentd handed over"),
    Row("shutdown", "one end of a cell's connection has said all"),
    *(
        Row("setsockopt", reason, (Check(1, LOW_32_BITS, level), Check(2, LOW_32_BITS, option)))
        for (level, option), reason in _EGRESS_OPTIONS.items()
    ),
    Row("getsockopt", "how connecting ended"),
    Row("getsockname", "the order of the addresses of a name"),
    Row("getpeername", "which address was connected to"),
    Row("recvmsg", "frames from agentd"),
    Row("sendmsg", "frames to agentd"),
    Row("recvfrom", "bytes of a server, answers of DNS"),
    Row("sendto", "bytes to a server, frames to agentd"),
    Row("sendmmsg", "questions to DNS"),
    Row("writev", "questions to DNS over TCP"),
    Row("poll", "wait for DNS"),
    Row("epoll_create1", "the loop"),
    Row("epoll_ctl", "the loop"),
    Row("epoll_wait", "the loop"),
    Row("clone", "threads that wait for DNS, and nothing but threads", (Check(0, LOW_32_BITS, THREAD),)),
    Row("rseq", "the C library's set-up of a thread"),
    Row("set_robust_list", "the C library's set-up of a thread"),
    Row("rt_sigprocmask", "the C library's set-up of a thread"),
    Row("mprotect", "the stack of a thread, never executable", (Check(2, PROT_EXEC, 0),)),
    Row("mmap", "memory, never executable, no huge pages", (Check(2, PROT_EXEC, 0), Check(3, MAP_HUGETLB, 0))),
    Row("munmap", "memory"),
    Row("mremap", "large strings grow in place"),
    Row("brk", "memory"),
    Row("futex", "locks between threads; the C library aborts when it is refused"),
    Row("clock_gettime", "time, where the vDSO cannot answer"),
    Row("restart_syscall", "a wait that attestation or a pause interrupted goes on"),
    Row("getrandom", "keys of TLS, numbers of DNS questions"),
    Row("getpid", "cannot fail: a refusal would be taken for an id"),
    Row("gettid", "cannot fail: a refusal would be taken for an id"),
    Row("exit_group", "the end"),
)

PROFILES = {
    Profile.WORKER: WORKER_ROWS,
    Profile.ZYGOTE: ZYGOTE_ROWS,
    Profile.EGRESS: EGRESS_ROWS,
    Profile.CELL: CELL_ROWS,
    Profile.CELL_WITH_DOOR: (*CELL_ROWS, *DOOR_ROWS),
}
_CELLS = (Profile.CELL, Profile.CELL_WITH_DOOR)

# What the C library tries in the egress and does without: the daemon of a name service, the list of this machine's
# addresses, threads by clone3, their changing ids together, giving memory back, counting processors. They see a plain
# refusal also where other refusals kill.
_DONE_WITHOUT = (
    ("socket", errno.EPERM, (Check(0, LOW_32_BITS, socket.AF_UNIX),)),
    ("socket", errno.EPERM, (Check(0, LOW_32_BITS, socket.AF_NETLINK),)),
    ("clone3", errno.ENOSYS, ()),
    ("rt_sigaction", errno.ENOSYS, ()),
    ("madvise", errno.ENOSYS, ()),
    ("sched_getaffinity", errno.ENOSYS, ()),
)

# What a program may try that its rows' checks leave out: a plain refusal instead of ENOSYS.
_REFUSED_ARGUMENTS = (
    ("openat", Check(2, os.O_CREAT, os.O_CREAT)),
    ("mmap", Check(2, PROT_EXEC, PROT_EXEC)),
)

# Calls that a program may try in good faith or in bad: it must see a plain refusal.
_EPERM = (
    "unshare setns mount umount2 pivot_root chroot fsopen fsmount fsconfig fspick open_tree move_mount mount_setattr "
    "mknod mknodat open_by_handle_at name_to_handle_at ptrace process_vm_readv process_vm_writev pidfd_getfd "
    "pidfd_open pidfd_send_signal kcmp prlimit64 setrlimit kill tkill tgkill rt_sigqueueinfo bpf perf_event_open "
    "userfaultfd keyctl add_key request_key fanotify_init init_module finit_module delete_module kexec_load "
    "kexec_file_load reboot swapon swapoff acct iopl ioperm adjtimex clock_adjtime clock_settime settimeofday "
    "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset prctl seccomp "
    "execve execveat fork vfork clone socket socketpair connect bind listen accept accept4 chmod fchmod fchmodat "
    "chown lchown fchown fchownat utime utimes utimensat futimesat setxattr lsetxattr fsetxattr removexattr "
    "lremovexattr fremovexattr open creat mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat "
    "symlink symlinkat truncate sched_setscheduler sched_setattr sched_setparam setpriority personality "
    "io_uring_setup io_uring_enter io_uring_register quotactl lookup_dcookie vhangup syslog sethostname setdomainname "
    "mprotect pkey_mprotect shmget shmat msgget semget mq_open ioprio_set migrate_pages "
    "move_pages mbind set_mempolicy modify_ldt arch_prctl"
).split()


# In a cell: cp and install keep modes without them when they are not there, and fail when they are refused.
_ATTRIBUTES = frozenset("setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr".split())


def compile_filter(profile: Profile, *, refusal: Refusal = Refusal.ERRNO, without: Collection[Row] = ()) -> bytes:
    """The profile's filter as BPF instructions; `without` drops these rows (for tests of the rows).

    Raises OSError when libseccomp cannot build it.
    """
    rows = tuple(row for row in PROFILES[profile] if row not in without)
    filter_ = pyseccomp.SyscallFilter(_action(refusal, errno.ENOSYS))
    filter_.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    filter_.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, 2)
    match refusal:
        case Refusal.ERRNO:
            _refuse_plainly(filter_, profile, {row.call for row in rows})
        case Refusal.TRAP:
            if profile is not Profile.ZYGOTE:
                canary = CELL_CANARY if profile in _CELLS else CANARY
                filter_.add_rule(_action(Refusal.ERRNO, errno.ENOSYS), canary)
            if profile in _CELLS:  # its C library tries these and goes on: threads by clone3, a daemon of names
                filter_.add_rule(_action(Refusal.ERRNO, errno.ENOSYS), "clone3")
                a_local_one = _argument(Check(0, LOW_32_BITS, socket.AF_UNIX))
                filter_.add_rule(_action(Refusal.ERRNO, errno.EPERM), "socket", a_local_one)
        case _:
            assert_never(refusal)
    if profile is Profile.EGRESS:
        for call, number, checks in _DONE_WITHOUT:
            if refusal is Refusal.ERRNO and number == errno.ENOSYS:
                continue  # what is refused so anyway
            filter_.add_rule(_action(Refusal.ERRNO, number), call, *map(_argument, checks))
    for row in rows:
        filter_.add_rule(pyseccomp.ALLOW, row.call, *(_argument(check) for check in row.checks))
    return _export(filter_)


@functools.cache
def worker_filter() -> bytes:
    """The worker's filter, compiled once in this process."""
    return compile_filter(Profile.WORKER)


@functools.cache
def zygote_filter() -> bytes:
    """The zygote's filter, compiled once in this process; it is stacked below every child's, and so
    allows what any of them may do."""
    return compile_filter(Profile.ZYGOTE)


@functools.cache
def cell_filter(profile: str) -> bytes:
    """The filter of cells of this profile, compiled once in this process."""
    return compile_filter(Profile(profile))


@functools.cache
def egress_filter() -> bytes:
    """The egress' filter, compiled once in this process."""
    return compile_filter(Profile.EGRESS)


def _refuse_plainly(filter_: pyseccomp.SyscallFilter, profile: Profile, allowed: Set[str]) -> None:
    absent = _ATTRIBUTES if profile in _CELLS else frozenset()
    for call in _EPERM:
        if call not in allowed | absent:
            filter_.add_rule(_action(Refusal.ERRNO, errno.EPERM), call)
    if profile not in (Profile.ZYGOTE, *_CELLS):
        for call, check in _REFUSED_ARGUMENTS:
            filter_.add_rule(_action(Refusal.ERRNO, errno.EPERM), call, _argument(check))


def _action(refusal: Refusal, number: int) -> int:
    return int(pyseccomp.TRAP if refusal is Refusal.TRAP else pyseccomp.ERRNO(number))


def _argument(check: Check) -> pyseccomp.Arg:
    return pyseccomp.Arg(check.argument, pyseccomp.MASKED_EQ, check.mask, check.value)


def _export(filter_: pyseccomp.SyscallFilter) -> bytes:
    with tempfile.TemporaryFile() as file:
        filter_.export_bpf(file)
        file.seek(0)
        return file.read()
