"""What the program of a cell may ask of the kernel: ordinary programs of Debian, compilers and interpreters included.

Invariant: nothing here makes or enters a namespace, mounts, traces or reads another process, loads code into the
kernel, types into a terminal, changes an id, makes a file that runs as somebody else, speaks to a socket that another
program holds in a granted tree (Landlock does not see that), or lets others wait for a file (a lease); a path is looked
up by calls whose flags a filter can read, which openat2(2) is not. Rows without checks are harmless whatever their
arguments are, behind the other layers.
"""

import fcntl
import socket
import stat

from aaos.sandbox.rows import (
    FIONBIO,
    FIONREAD,
    LOW_32_BITS,
    MAP_HUGETLB,
    NEW_FILE_FLAGS,
    SOCKET_KIND,
    TCGETS,
    Check,
    Row,
)

NAMESPACES = 0x7E020000  # every CLONE_NEW* that clone(2) takes; linux/sched.h
SET_IDS = stat.S_ISUID | stat.S_ISGID
MFD_NOEXEC_SEAL = 8  # linux/memfd.h: such a file is data for ever; Landlock does not see who executes a memfd
_KIND = 0o170000  # S_IFMT
MSG_FASTOPEN = 0x20000000  # linux/socket.h: it connects without connect(2), which Landlock would hear of
KEEP_ID = 0xFFFFFFFF  # -1 as an id: leave it; setresuid(2)
PER_QUERY = 0xFFFFFFFF  # linux/personality.h

_PLAIN = {
    "read pread64 readv preadv preadv2": "bytes of files and pipes",
    "write pwrite64 writev pwritev pwritev2": "bytes into files and pipes",
    "close close_range dup dup2 dup3": "open files and pipes by their numbers",
    "lseek fstat stat lstat newfstatat statx statfs fstatfs access faccessat faccessat2": "what a file is",
    "getdents getdents64 readlink readlinkat getcwd chdir fchdir umask": "directories",
    "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat": "names of files",
    "truncate ftruncate fallocate fsync fdatasync sync_file_range flock fadvise64 readahead": "files of a database",
    "copy_file_range sendfile": "copies of files",
    "chown fchown lchown fchownat": "installers give a file to its owner; the kernel knows no other id here",
    "utime utimes futimesat utimensat": "times, which make and tar set",
    "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr": "cp asks",
    "pipe pipe2 eventfd eventfd2": "programs that talk to their children",
    "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2": "waiting",
    "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch": "test runners that watch their files",
    "signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime": "event loops",
    "munmap mremap mprotect madvise mincore msync brk": "memory; compilers at run time make code",
    "futex futex_waitv set_robust_list get_robust_list rseq membarrier": "locks between threads",
    "set_tid_address gettid tgkill tkill": "threads",
    "fork vfork execve execveat exit exit_group wait4 waitid": "children; Landlock and noexec say which programs",
    "kill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal": "children; nobody else can be seen",
    "rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigreturn sigaltstack pause": "signals",
    "getpid getppid getuid geteuid getgid getegid getresuid getresgid getgroups": "who am I",
    "getpgid getpgrp setpgid getsid setsid": "shells and their jobs",
    "getrlimit setrlimit getrusage times": "limits, which nobody raises",
    "getpriority setpriority sched_yield sched_getaffinity sched_setaffinity": "lower priorities, processors",
    "sched_getparam sched_getscheduler sched_getattr sched_get_priority_min sched_get_priority_max": "threads ask",
    "clock_gettime clock_getres gettimeofday time clock_nanosleep nanosleep": "what time it is, and sleep",
    "setitimer getitimer alarm timer_create timer_settime timer_gettime timer_getoverrun timer_delete": "timers",
    "restart_syscall": "a wait that was interrupted goes on",
    "getrandom getcpu uname sysinfo capget": "questions that every program may ask",
    "shutdown getsockname getpeername getsockopt setsockopt": "pairs of sockets",
    "recvfrom recvmsg recvmmsg": "pairs of sockets",
}
_FCNTL = {
    fcntl.F_DUPFD: "another number for an open file",
    fcntl.F_DUPFD_CLOEXEC: "the same, not for children",
    1027: "F_DUPFD_QUERY: are two numbers one file",
    fcntl.F_GETFD: "is it for children",
    fcntl.F_SETFD: "whether it is for children",
    fcntl.F_GETFL: "how it was opened",
    fcntl.F_SETFL: "do not block, append",
    fcntl.F_GETLK: "who has locked a file",
    fcntl.F_SETLK: "lock a file, as databases do",
    fcntl.F_SETLKW: "lock a file, and wait for it",
    fcntl.F_OFD_GETLK: "the same, of an open file",
    fcntl.F_OFD_SETLK: "the same, of an open file",
    fcntl.F_OFD_SETLKW: "the same, of an open file",
    fcntl.F_GETPIPE_SZ: "how much a pipe holds",
    fcntl.F_SETPIPE_SZ: "how much a pipe holds, within the kernel's bound",
    fcntl.F_ADD_SEALS: "memory that nobody changes any more",
    fcntl.F_GET_SEALS: "who may still change memory",
}
_PRCTL = {
    1: "PR_SET_PDEATHSIG",
    2: "PR_GET_PDEATHSIG",
    3: "PR_GET_DUMPABLE",
    4: "PR_SET_DUMPABLE",
    15: "PR_SET_NAME",
    16: "PR_GET_NAME",
    23: "PR_CAPBSET_READ",
    29: "PR_SET_TIMERSLACK",
    36: "PR_SET_CHILD_SUBREAPER",
    38: "PR_SET_NO_NEW_PRIVS, which is set",
    39: "PR_GET_NO_NEW_PRIVS",
    0x53564D41: "PR_SET_VMA, names of memory",
}
_IOCTL = {
    TCGETS: "is it a terminal",
    0x5413: "TIOCGWINSZ: how wide is it",
    0x540F: "TIOCGPGRP: whose is it",
    FIONREAD: "how much is there to read",
    FIONBIO: "do not block",
    0x5451: "FIOCLEX: close on exec",
    0x5450: "FIONCLEX: keep on exec",
    0x40049409: "FICLONE: cp shares the blocks of a copy",
    0x4020940D: "FICLONERANGE: the same of a part",
}
_ARCH_PRCTL = {
    0x1001: "ARCH_SET_GS",
    0x1002: "ARCH_SET_FS: threads of programs without a C library",
    0x1003: "ARCH_GET_FS",
    0x3001: "ARCH_CET_STATUS: the loader asks",
    0x5005: "ARCH_SHSTK_STATUS: the loader asks",
}

_NO_FIRST_DATA = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}  # where their flags are
_EFFECTIVE = (Check(0, LOW_32_BITS, KEEP_ID), Check(2, LOW_32_BITS, KEEP_ID))

CELL_ROWS: tuple[Row, ...] = (
    *(Row(call, reason) for calls, reason in _PLAIN.items() for call in calls.split()),
    Row("open", "files that exist", (Check(1, NEW_FILE_FLAGS, 0),)),
    Row("open", "new files, which run as nobody else", (Check(2, SET_IDS, 0),)),
    Row("openat", "files that exist", (Check(2, NEW_FILE_FLAGS, 0),)),
    Row("openat", "new files, which run as nobody else", (Check(3, SET_IDS, 0),)),
    Row("creat", "new files, which run as nobody else", (Check(1, SET_IDS, 0),)),
    Row("chmod", "modes without setuid and setgid", (Check(1, SET_IDS, 0),)),
    Row("fchmod", "modes without setuid and setgid", (Check(1, SET_IDS, 0),)),
    Row("fchmodat", "modes without setuid and setgid", (Check(2, SET_IDS, 0),)),
    Row("mknod", "named pipes", (Check(1, _KIND | SET_IDS, stat.S_IFIFO),)),
    Row("mknodat", "named pipes", (Check(2, _KIND | SET_IDS, stat.S_IFIFO),)),
    Row("mmap", "memory, no huge pages", (Check(3, MAP_HUGETLB, 0),)),
    Row("memfd_create", "memory that is never a program", (Check(1, MFD_NOEXEC_SEAL, MFD_NOEXEC_SEAL),)),
    Row("clone", "processes and threads in the same namespaces", (Check(0, NAMESPACES, 0),)),
    Row("prlimit64", "limits of its own", (Check(0, LOW_32_BITS, 0),)),
    Row("personality", "setarch and compilers ask", (Check(0, LOW_32_BITS, PER_QUERY),)),
    *(
        Row(name, "make takes its real id for a command; with one id in the cell that changes nothing", _EFFECTIVE)
        for name in ("setresuid", "setresgid")
    ),
    *(
        Row(
            "socketpair",
            "processes of the program that talk; datagrams could be sent to a socket in a granted tree",
            (Check(0, LOW_32_BITS, socket.AF_UNIX), Check(1, SOCKET_KIND, kind)),
        )
        for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
    ),
    *(
        Row(call, "pairs of sockets; data cannot go with the opening of a connection", (Check(at, MSG_FASTOPEN, 0),))
        for call, at in _NO_FIRST_DATA.items()
    ),
    *(Row("fcntl", reason, (Check(1, LOW_32_BITS, command),)) for command, reason in _FCNTL.items()),
    *(Row("prctl", reason, (Check(0, LOW_32_BITS, option),)) for option, reason in _PRCTL.items()),
    *(Row("ioctl", reason, (Check(1, LOW_32_BITS, command),)) for command, reason in _IOCTL.items()),
    *(Row("arch_prctl", reason, (Check(0, LOW_32_BITS, code),)) for code, reason in _ARCH_PRCTL.items()),
)

DOOR_ROWS: tuple[Row, ...] = (
    Row("connect", "to the door; there is no socket of another family to connect"),
    *(
        Row(
            "socket",
            "TCP to the door on the cell's own loopback; Landlock allows no other port",
            (
                Check(0, LOW_32_BITS, family),
                Check(1, SOCKET_KIND, socket.SOCK_STREAM),
                Check(2, LOW_32_BITS & ~socket.IPPROTO_TCP, 0),
            ),
        )
        for family in (socket.AF_INET, socket.AF_INET6)
    ),
)
