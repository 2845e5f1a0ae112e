"""What a hostile program tries with system calls, each in a confirmed worker of its own, and the refusal it must meet.

The number in `call("name", …)` is libseccomp's; calls newer than it are given in the table as numbers.
"""

import os
import signal
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from aaos.core.layers import Layer
from tests.kernel.harness import REDUCED, Stand, boot_script

NEW = {"NEWNS": 0x20000, "NEWCGROUP": 0x2000000, "NEWUTS": 0x4000000, "NEWIPC": 0x8000000} | {
    "NEWUSER": 0x10000000, "NEWPID": 0x20000000, "NEWNET": 0x40000000, "NEWTIME": 0x80
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attack:
    """An expression that a program evaluates, and the only outcome that is no breach."""

    case: str
    act: str
    refusal: str

    def __str__(self) -> str:
        return f"{self.case} {self.act}"


def _calls(case: str, names: str, refusal: str = "EPERM") -> list[Attack]:
    """System calls that are refused whatever their arguments are."""
    return [Attack(case, f'call("{name}", 0, 0, 0, 0, 0)', refusal) for name in names.split()]


def _numbers(case: str, numbers: dict[str, int]) -> list[Attack]:
    """System calls that are newer than the filter and its library."""
    return [Attack(case, f"number({number}, {name!r})", "ENOSYS") for name, number in numbers.items()]


NAMESPACES = [
    *(Attack("H-SBX-01", f'call("unshare", {flag}) or {name!r}', "EPERM") for name, flag in NEW.items()),
    *(
        Attack("H-SBX-01", f'call("clone", {flag | signal.SIGCHLD}, 0, 0, 0, 0) or {name!r}', "EPERM")
        for name, flag in NEW.items()
    ),
    Attack("H-SBX-01", "os.fork()", "EPERM"),
    Attack("H-SBX-01", 'call("clone3", ctypes.create_string_buffer(88), 88)', "ENOSYS"),
    *_calls("H-SBX-01", "fork vfork"),
    Attack("H-SBX-02", 'call("setns", 3, 0)', "EPERM"),
    *(
        Attack("H-SBX-02", f'os.open("/proc/{os.getpid()}/ns/{name}", os.O_RDONLY)', "ENOENT")
        for name in ("mnt", "user", "net", "pid")
    ),
    # Its own may be opened, as Landlock cannot deny files of nsfs: nothing can be done with them.
    *(
        Attack("H-SBX-02", f'call("{act}", os.open("/proc/1/ns/{name}", os.O_RDONLY), {argument:#x}, 0)', refusal)
        for name in ("mnt", "user")
        for act, argument, refusal in (
            ("setns", 0, "EPERM"),
            ("ioctl", 0xB701, "ENOSYS"),  # NS_GET_USERNS
            ("ioctl", 0xB702, "ENOSYS"),  # NS_GET_PARENT
        )
    ),
]
MOUNTS = [
    *_calls("H-SBX-03", "mount umount2 pivot_root fsopen fsmount fsconfig fspick open_tree move_mount mount_setattr"),
    *_numbers("H-SBX-03", {"statmount": 457, "listmount": 458, "open_tree_attr": 467}),
    Attack("H-SBX-05", 'os.chroot("/")', "EPERM"),
    *_calls("H-SBX-05", "chdir fchdir", "ENOSYS"),
    Attack("H-SBX-06", 'os.mknod("/dev/block", 0o60666, os.makedev(8, 0))', "EPERM"),
    *_calls("H-SBX-06", "mknod mknodat open_by_handle_at name_to_handle_at"),
]
PROCESSES = [
    *_calls("H-SBX-07", "ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd kcmp prlimit64"),
    *_numbers("H-SBX-07", {"process_madvise": 440, "process_mrelease": 448}),
    *(Attack("H-SBX-08", f"os.kill({pid}, {sig})", "EPERM") for pid in (0, 1, -1, 2) for sig in (0, 9, 19)),
    *_calls("H-SBX-08", "tkill tgkill rt_sigqueueinfo pidfd_send_signal"),
    *_calls("H-SBX-08", "rt_tgsigqueueinfo alarm setitimer timer_create", "ENOSYS"),
    *_calls("H-SBX-18", "setsid setpgid", "ENOSYS"),
]
KERNEL = _calls(
    "H-SBX-11",
    "bpf perf_event_open userfaultfd keyctl add_key request_key fanotify_init init_module finit_module delete_module "
    "kexec_load kexec_file_load reboot swapon swapoff acct iopl ioperm adjtimex clock_adjtime clock_settime "
    "settimeofday syslog quotactl io_uring_setup io_uring_enter io_uring_register modify_ldt vhangup",
)
TERMINAL = [
    *(
        Attack("H-SBX-12", f'call("ioctl", {fd}, {request:#x}, 0)', "ENOSYS")
        for fd in (0, 3)
        for request in (0x5412, 0x1_0000_5412, 0x541C, 0x1_0000_541C)  # TIOCSTI, TIOCLINUX, each with bit 32 set
    ),
    Attack("H-SBX-12", 'os.open("/dev/tty", os.O_RDWR)', "ENOENT"),
    Attack("H-SBX-12", 'os.open("/dev/console", os.O_RDWR)', "ENOENT"),
    Attack("H-SBX-12", 'call("ioctl", 0, 0x1_0000_5401, ctypes.create_string_buffer(64))', "ENOTTY"),
]
IDENTITY = [
    *_calls(
        "H-SBX-13", "execve execveat setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups"
    ),
    Attack("H-SBX-13", 'os.execv("/bin/su", ["su"])', "EPERM"),
    *_calls("H-SBX-13", "capset prctl seccomp"),
    Attack("H-SBX-20", 'call("prctl", 38, 0, 0, 0, 0)', "EPERM"),  # PR_SET_NO_NEW_PRIVS
]
MEMORY = [
    Attack("H-SBX-15", "mmap.mmap(-1, 4096, prot=7)", "EPERM"),
    Attack("H-SBX-15", "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)", "EPERM"),
    Attack("H-SBX-15", 'call("mprotect", ctypes.addressof(libc_page), 4096, 5)', "EPERM"),
    Attack("H-SBX-15", 'call("pkey_mprotect", 0, 4096, 5, 0)', "EPERM"),
    Attack("H-SBX-15", 'call("mmap", 0, 4096, 5 | 1 << 32, 0x22, -1, 0)', "EPERM"),
    Attack("H-SBX-15", 'call("personality", 0x0400000)', "EPERM"),  # READ_IMPLIES_EXEC
    *_calls("H-SBX-15", "shmget shmat"),
    Attack("H-SBX-15", 'os.open("/proc/self/mem", os.O_RDWR)', "EACCES"),
    Attack("H-SBX-16", 'os.open("/proc/self/exe", os.O_WRONLY)', "EACCES"),
    Attack("H-SBX-16", 'os.open("/proc/self/exe", os.O_RDONLY)', "EACCES"),
]
PROC = [
    *(
        Attack("H-PROC-01", f'os.open("/proc/{pid}/{name}", os.O_RDONLY)', refusal)
        for name in ("environ", "mem", "root", "cwd", "fd", "maps")
        for pid, refusal in (("1", "EACCES"), (os.getpid(), "ENOENT"))
    ),
    *(
        Attack("H-PROC-04", f'os.open("/proc/{name}", os.O_RDONLY)', "ENOENT")
        for name in "kcore kallsyms kmsg slabinfo vmallocinfo timer_list keys sysrq-trigger sys/kernel".split()
    ),
    *(Attack("H-PROC-05", f'os.open("/sys/fs/cgroup{name}", os.O_RDONLY)', "ENOENT") for name in ("", "/cgroup.procs")),
    Attack("H-PROC-05", 'os.open("/proc/self/cgroup", os.O_RDONLY)', "EACCES"),
    Attack("H-PROC-06", 'os.listdir("/sys")', "ENOENT"),
    Attack("H-PROC-06", 'os.listdir("/run")', "ENOENT"),
    Attack("H-PROC-06", 'os.listdir("/")', "EACCES"),
    Attack("H-PROC-06", 'os.open("/proc/self/mountinfo", os.O_RDONLY)', "EACCES"),
    Attack("H-PROC-07", 'os.open("/proc/self/oom_score_adj", os.O_WRONLY)', "EACCES"),
    *_calls("H-PROC-07", "setpriority sched_setscheduler sched_setparam sched_setattr setrlimit prlimit64 ioprio_set"),
]
NETWORK = [
    Attack("H-NET-02", f"socket.socket(socket.{family}, socket.{kind})", "EPERM")
    for family, kind in (
        ("AF_UNIX", "SOCK_STREAM"), ("AF_INET", "SOCK_STREAM"), ("AF_INET6", "SOCK_DGRAM"), ("AF_NETLINK", "SOCK_RAW"),
        ("AF_PACKET", "SOCK_RAW"), ("AF_VSOCK", "SOCK_STREAM"), ("AF_ALG", "SOCK_SEQPACKET"),
    )
] + _calls("H-NET-02", "socketpair connect bind listen accept accept4")  # fmt: skip
NAMES = [
    Attack("H-FS-14", 'os.open("/dev/new", os.O_WRONLY | os.O_CREAT, 0o4755)', "EPERM"),
    Attack("H-FS-14", 'os.open("/dev", os.O_WRONLY | os.O_TMPFILE, 0o4755)', "ENOSYS"),
    Attack("H-FS-14", 'os.mkdir("/dev/new")', "EPERM"),
    *_calls(
        "H-FS-14",
        "open creat mkdirat rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat rmdir truncate "
        "chmod fchmod fchmodat chown lchown fchown fchownat utime utimes utimensat futimesat setxattr lsetxattr "
        "fsetxattr removexattr lremovexattr fremovexattr",
    ),
    *_numbers(
        "H-FS-14", {"openat2": 437, "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466, "file_setattr": 469}
    ),
]
ATTACKS = (
    *NAMESPACES, *MOUNTS, *PROCESSES, *KERNEL, *TERMINAL, *IDENTITY, *MEMORY, *PROC, *NETWORK, *NAMES
)  # fmt: skip

SETUP = """
import mmap
import os
libc_page = ctypes.create_string_buffer(8192)
def number(value, name):
    CALLS[name] = value
    return call(name, 0, 0, 0, 0, 0)
"""


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_an_attack_meets_its_refusal_and_nothing_else(stand: Stand, attack: Attack) -> None:
    """SBX, PROC: the worker lives on, so the refusal was an error and not an accident."""
    ended = stand.attack(f"{SETUP}\nattempt(lambda: {attack.act})\nsay('alive')")
    assert ended.said == [attack.refusal, "alive"]
    assert ended.was_killed_by == 0


def test_the_worker_has_three_empty_fds_and_one_socket(stand: Stand) -> None:
    """H-SBX-17, H-SBX-05: no directory to walk out of, and nothing leaked from daemon or zygote."""
    program = """
import os, stat
kinds = {}
for fd in range(1024):
    if outcome(lambda: os.fstat(fd)) != "EBADF":
        kinds[fd] = stat.S_IFMT(os.fstat(fd).st_mode)
say([f"{fd}:{kind:o}" for fd, kind in kinds.items()])
say([os.isatty(fd) for fd in range(4)])
attempt(lambda: os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=0))
attempt(lambda: os.open("/proc/self/fd/3", os.O_RDONLY))
"""
    said = stand.attack(program).said
    assert said[0] == "['0:20000', '1:20000', '2:20000', '3:140000']"
    assert said[1:] == ["[False, False, False, False]", "ENOTDIR", "ENXIO"]


def test_the_worker_sees_five_devices(stand: Stand) -> None:
    """ISO-3"""
    program = """
import os
for name in ("null", "zero", "full", "random", "urandom", "tty", "mem", "kmsg", "fuse", "shm", "ptmx", "vda"):
    say(f"{name} {outcome(lambda: os.close(os.open('/dev/' + name, os.O_RDONLY)))}")
"""
    said = dict(line.split(" ", 1) for line in stand.attack(program).said)
    assert {name for name, seen in said.items() if seen == "allowed: None"} == {
        "null",
        "zero",
        "full",
        "random",
        "urandom",
    }
    assert {seen for name, seen in said.items() if seen != "allowed: None"} == {"ENOENT"}


@pytest.mark.parametrize("number", [39, 59, 101, 272])  # getpid is allowed as itself, the others are not
def test_a_number_of_x32_kills(stand: Stand, number: int) -> None:
    """H-SBX-10: bit 30 set, so the number means the same call on a kernel that has x32."""
    ended = stand.attack(f'say("before")\nCALLS["x32"] = {number | 0x40000000}\nattempt(lambda: call("x32", 0, 0, 0))')
    assert ended.said == ["before"]
    assert ended.was_killed_by == signal.SIGSYS


INT_80 = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3")  # mov eax, 20 (getpid of i386); int 0x80; ret
zygote.getpid_of_i386 = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
"""
CALL_INT_80 = "from worker.wall import zygote\nsay('before')\nsay(zygote.getpid_of_i386())"


def test_the_gate_of_i386_kills(tmp_path: Path) -> None:
    """H-SBX-10: int 0x80 from code that the test put into the template; a program cannot have any."""
    with closing(Stand(boot=boot_script(tmp_path, INT_80))) as stand:
        ended = stand.attack(CALL_INT_80)
    assert ended.said == ["before"]
    assert ended.was_killed_by == signal.SIGSYS


def test_without_a_filter_the_gate_of_i386_is_open(tmp_path: Path) -> None:
    """H-SBX-10: it is the filter that shuts it."""
    boot = boot_script(tmp_path, f"{INT_80}\nsys.argv[2] = '-1'")
    with closing(Stand(REDUCED | {Layer.SECCOMP}, boot=boot)) as stand:
        ended = stand.attack(CALL_INT_80)
    if ended.was_killed_by == signal.SIGSEGV:
        pytest.skip("this kernel has no int 0x80 (CONFIG_IA32_EMULATION)")
    assert ended.said == ["before", "1"]


def test_a_worker_that_calls_nothing_forbidden_lives(stand: Stand) -> None:
    """H-SBX-00: what refuses the attacks is not that nothing works."""
    ended = stand.attack(
        'import os\nsay(os.getpid())\nsay(len(os.urandom(8)))\nCALLS["getpid"] = 39\nsay(call("getpid"))'
    )
    assert ended.said == ["1", "8", "1"]
    assert (ended.was_killed_by, ended.status) == (0, 0)
