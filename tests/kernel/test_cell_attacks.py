"""What a hostile program of a cell tries, with every system call at hand, and the refusal that it must meet.

Each attack is a line of a program on the machine's own Python, in a cell that was confirmed; the program lives to tell,
so a refusal was an error and not an accident.
"""

import json
import os
import signal
import socket

import pyseccomp
import pytest

from aaos.core.errors import ConfinementError
from tests.kernel.cells import PYTHON, cell, python, run, said
from tests.kernel.harness import Stand

DENIED = {"EPERM", "EACCES", "ENOSYS", "EROFS", "ENOENT", "ESRCH"}
NEW = {"NEWNS": 0x20000, "NEWCGROUP": 0x2000000, "NEWUTS": 0x4000000, "NEWIPC": 0x8000000} | {
    "NEWUSER": 0x10000000, "NEWPID": 0x20000000, "NEWNET": 0x40000000
}  # fmt: skip
PRELUDE = """
import ctypes, errno, json, mmap, os, resource, signal, socket, stat, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(name, *args):
    values = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in (*args, *[0] * (6 - len(args)))]
    result = libc.syscall(ctypes.c_long(CALLS[name]), *values)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result
def outcome(source):
    try:
        return f"allowed: {eval(source)!r}"
    except OSError as error:
        return errno.errorcode[error.errno or 0]
def setgid_of_self():
    raise OSError(errno.EPERM, "")
"""


def _calls(names: str) -> list[str]:
    return [f'call("{name}", 0, 0, 0, 0, 0)' for name in names.split()]


ATTACKS = {
    "H-SBX-01": [
        *(f'call("unshare", {flag})' for flag in NEW.values()),
        *(f'call("clone", {flag | signal.SIGCHLD}, 0, 0, 0, 0)' for flag in NEW.values()),
        'call("clone3", ctypes.create_string_buffer(88), 88)',
    ],
    "H-SBX-02": [
        'call("setns", os.open("/proc/self/ns/user", os.O_RDONLY), 0)',
        'os.open("/proc/1/ns/mnt", os.O_RDONLY)',
        *(f'os.open("/proc/{os.getpid()}/ns/{name}", os.O_RDONLY)' for name in ("mnt", "user", "net", "pid")),
    ],
    "H-SBX-03": _calls("mount umount2 pivot_root fsopen fsmount fsconfig fspick open_tree move_mount mount_setattr"),
    "H-SBX-05": ['os.chroot("/")', 'os.chroot("/tmp")', 'os.listdir("/")', 'os.mkdir("/x")'],
    "H-SBX-06": [
        'os.mknod("/tmp/x", 0o60666, os.makedev(8, 0))',
        'os.mknod("/tmp/x", 0o20666, os.makedev(1, 1))',
        *_calls("open_by_handle_at name_to_handle_at"),
    ],
    "H-SBX-07": [
        *_calls("ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp"),
        "resource.prlimit(1, resource.RLIMIT_NOFILE)",
        "resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE)",
        f"os.pidfd_open({os.getpid()})",
    ],
    "H-SBX-08": [*(f"os.kill({os.getpid()}, {number})" for number in (0, 9, 19))],
    "H-SBX-11": _calls(
        "bpf perf_event_open userfaultfd keyctl add_key request_key fanotify_init init_module finit_module "
        "delete_module kexec_load reboot swapon swapoff acct iopl ioperm adjtimex clock_settime settimeofday syslog "
        "quotactl io_uring_setup io_uring_enter io_uring_register modify_ldt vhangup"
    ),
    "H-SBX-12": [
        *(
            f'call("ioctl", {fd}, {request:#x}, 0)'
            for fd in (0, 1, 2)
            for request in (0x5412, 0x1_0000_5412, 0x541C, 0x1_0000_541C)
        ),
        'os.open("/dev/tty", os.O_RDWR)',
        'os.open("/dev/ptmx", os.O_RDWR)',
    ],
    "H-SBX-13": [
        *_calls("setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset seccomp"),
        'os.execv("/usr/bin/su", ["su"])',
        'os.execv("/usr/bin/passwd", ["passwd"])',
        'os.chmod("/usr/bin/true", 0o777)',
    ],
    "H-SBX-16": [
        'os.open("/proc/self/exe", os.O_WRONLY)',
        'os.open("/proc/self/exe", os.O_RDWR | os.O_TRUNC)',
        "os.open(os.path.realpath(sys.executable), os.O_WRONLY)",
        'os.open("/usr/lib/x86_64-linux-gnu/libc.so.6", os.O_WRONLY)',
        'os.open("/proc/self/mem", os.O_RDWR)',
    ],
    "H-FS-14": [
        'os.chmod("/tmp", 0o4755)',
        'os.chmod("/tmp", 0o2755)',
        'os.open("/tmp/x", os.O_CREAT | os.O_WRONLY, 0o4755)',
        'os.setxattr("/tmp", "security.capability", b"x")',
        'os.setxattr("/tmp", "user.x", b"x")',
        'call("fchmodat2", -100, b"/tmp", 0o4755, 0)',
        'call("openat2", -100, b"/tmp/x", ctypes.create_string_buffer(24), 24)',
    ],
    "H-PROC-01": [
        f'os.open("/proc/{pid}/{name}", os.O_RDONLY)'
        for pid in (1, os.getpid(), os.getppid())
        for name in ("environ", "mem", "root", "cwd", "fd", "maps", "status")
    ],
    "H-PROC-04": [
        f'os.open("/proc/{name}", os.O_RDONLY)'
        for name in "kcore kallsyms kmsg slabinfo vmallocinfo timer_list keys sysrq-trigger sys/kernel net".split()
    ],
    "H-PROC-05": [f'os.open("/sys/fs/cgroup{name}", os.O_RDONLY)' for name in ("", "/cgroup.procs", "/memory.max")],
    "H-PROC-06": [*(f'os.listdir("{path}")' for path in ("/sys", "/run", "/var", "/home", "/root", "/etc"))],
    "H-PROC-07": [
        'os.open("/proc/self/oom_score_adj", os.O_WRONLY)',
        'os.open("/proc/self/uid_map", os.O_WRONLY)',
        "os.setpriority(os.PRIO_PROCESS, 0, -20)",
        "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
        *_calls("sched_setattr ioprio_set"),
    ],
    "H-NET-02": [
        "socket.socket(socket.AF_INET)",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "socket.socket(40, socket.SOCK_STREAM)",
        'socket.socket(socket.AF_UNIX).connect("/run/agentd/agentd.sock")',
        'socket.socket(socket.AF_UNIX).connect("/run/systemd/journal/stdout")',
    ],
}
NEWER = {"fchmodat2": 452, "openat2": 437}


@pytest.mark.parametrize("case", ATTACKS)
def test_every_attack_is_refused_and_the_program_lives(stand: Stand, case: str) -> None:
    """H-SBX-00, SBX, PROC: what meets it is an error."""
    acts = ATTACKS[case]
    names = {part.split('"')[0] for act in acts for part in act.split('call("')[1:]}
    numbers = {name: NEWER.get(name) or pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) for name in names}
    program = f"CALLS = {numbers!r}\n{PRELUDE}\nfor act in {acts!r}: print(json.dumps([act, outcome(act)]))\n"
    seen = dict(json.loads(line) for line in said(stand, python(program)))
    assert {act: met for act, met in seen.items() if met not in DENIED} == {}
    assert set(seen) == set(acts)


def test_it_has_no_capability_and_no_way_to_any(stand: Stand) -> None:
    """H-SBX-20, H-SBX-13: in the program and in what it starts."""
    pattern = "^(Cap...|NoNewPrivs|Seccomp|Uid|Groups):"
    grep = f"grep -E '{pattern}' /proc/self/status"
    lines = said(
        stand,
        cell(
            "/bin/sh", "-c", f'{grep}; sh -c "{grep}"', exec_paths=["/usr/bin/grep", "/usr/bin/sh"], readable=["/proc"]
        ),
    )
    seen = [(name, *values.split()) for name, _, values in (line.partition(":") for line in lines)]
    one = [
        ("Uid", "1000", "1000", "1000", "1000"),
        ("Groups",),
        *((f"Cap{which}", "0" * 16) for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ]
    assert seen == one * 2


def test_it_sees_its_own_processes_only(stand: Stand) -> None:
    """H-PROC-01: not even the one that started it."""
    source = "import os\nprint([n for n in os.listdir('/proc') if n.isdigit()], os.getpid())"
    lines = said(stand, cell(PYTHON, "-I", "-c", source, readable=["/proc"]))
    assert lines == ["['2'] 2"]


def test_the_mounts_that_it_sees_are_its_own(stand: Stand) -> None:
    """H-PROC-06: read-only but for scratch and devices; nothing of the machine's other places."""
    source = "print(open('/proc/self/mountinfo').read().strip())"
    lines = said(stand, cell(PYTHON, "-I", "-c", source, readable=["/proc"]))
    mounts = {fields[4]: set(fields[5].split(",")) for fields in map(str.split, lines)}
    assert {"/", "/dev", "/proc", "/tmp", "/usr"} <= set(mounts)
    assert {path for path in mounts if path.split("/")[1] not in {"", "dev", "proc", "tmp", "usr", "etc"}} == set()
    assert {path for path, options in mounts.items() if "ro" not in options} == {"/proc", "/tmp"}
    assert all("nosuid" in options for options in mounts.values())
    assert {path for path, options in mounts.items() if "noexec" not in options} == {"/usr"}
    assert {path for path, options in mounts.items() if "nodev" not in options} == {"/dev"}


EXECUTED_OTHERWISE = {
    "a file in memory": "fd = os.memfd_create('x', 0)",
    "a file in memory, sealed": "fd = os.memfd_create('x', 8); os.write(fd, true); os.fchmod(fd, 0o755)",
    "standard input": "fd = 0",
    "scratch": "open('/tmp/x', 'wb').write(true); os.chmod('/tmp/x', 0o755); fd = os.open('/tmp/x', os.O_RDONLY)",
    "a link": "os.symlink('/usr/bin/true', '/tmp/l'); fd = os.open('/tmp/l', os.O_RDONLY)",
    "another program": "fd = os.open('/usr/bin/true', os.O_PATH)",
}


@pytest.mark.parametrize("way", EXECUTED_OTHERWISE.values(), ids=list(EXECUTED_OTHERWISE))
def test_nothing_else_is_executed(stand: Stand, way: str) -> None:
    """ISO-12, H-SUB-12: whatever fd it is, with and without a name."""
    with open("/usr/bin/true", "rb") as file:
        true = file.read()
    program = f"""
import os
true = open(0, 'rb', closefd=False).read()
try:
    {way}
    os.execve(fd, ['x'], {{}})
except OSError as error:
    print(error.errno in (1, 13, 38))
"""
    assert said(stand, cell(PYTHON, "-I", "-c", program, stdin=true)) == ["True"]


LOADED_OTHERWISE = {
    "by the loader": "$LD /usr/bin/true",
    "by the loader, by another name of it": "/usr/lib64/../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 /bin/true",
    "a copy": "cat /usr/bin/true > /tmp/t; $LD /tmp/t",
    "by its fd": "exec 5< /usr/bin/true; $LD /proc/self/fd/5",
    "a helper of git": "$LD /usr/lib/git-core/git --version",
    "from standard input": "cat > /tmp/t; $LD /tmp/t",
}


@pytest.mark.parametrize("way", LOADED_OTHERWISE.values(), ids=list(LOADED_OTHERWISE))
def test_no_other_program_of_usr_is_loaded(stand: Stand, way: str) -> None:
    """ISO-12, H-SUB-12: the loader can be started, since every program needs it; it gets no other program to read."""
    with open("/usr/bin/true", "rb") as file:
        true = file.read()
    script = f"LD=/lib64/ld-linux-x86-64.so.2\nset -e\n$LD /usr/bin/echo ready\n{way}\n/usr/bin/echo got in\n"
    asked = cell("/bin/sh", "-c", script, exec_paths=["/usr/bin/cat", "/usr/bin/echo"], stdin=true)
    result = run(stand, asked)
    assert result.stdout == b"ready\n"
    assert result.exit_code != 0
    assert b"ermission denied" in result.stderr or b"cannot open" in result.stderr or b"failed to map" in result.stderr


@pytest.mark.parametrize("way", ["$LD --preload /usr/bin/true", "LD_PRELOAD=/usr/bin/true", "LD_PRELOAD=/tmp/t.so"])
def test_none_is_loaded_as_a_library(stand: Stand, way: str) -> None:
    """ISO-12: the program starts without it, as the loader says."""
    with open("/usr/bin/true", "rb") as file:
        true = file.read()
    script = f"LD=/lib64/ld-linux-x86-64.so.2; cat > /tmp/t.so; {way} /usr/bin/echo alone"
    result = run(stand, cell("/bin/sh", "-c", script, exec_paths=["/usr/bin/cat", "/usr/bin/echo"], stdin=true))
    assert result.stdout == b"alone\n"
    assert b"cannot be preloaded" in result.stderr


def test_names_of_programs_are_seen_and_nothing_of_their_bytes(stand: Stand) -> None:
    """ISO-12: not by code of its own either, which could map what it reads."""
    source = """
import os
print("true" in os.listdir("/usr/bin"), os.stat("/usr/bin/true").st_size > 0)
for path in ("/usr/bin/true", "/usr/sbin/ldconfig", "/usr/lib/git-core/git", "/usr/lib/apt/methods/http"):
    try:
        print(path, os.open(path, os.O_RDONLY))
    except OSError as error:
        print(error.errno in (2, 13))
"""
    assert said(stand, python(source)) == ["True True", *["True"] * 4]
    opened = "import os\nprint(os.open('/usr/bin/true', os.O_RDONLY) > 0)"
    assert said(stand, cell(PYTHON, "-I", "-c", opened, readable=["/usr/bin/true"])) == ["True"]


def test_its_own_proc_is_shut_unless_it_is_named(stand: Stand) -> None:
    """H-PROC-06: mountinfo names the disks that its directories lie on; the machine's own is never shown."""
    source = """
for name in ("mountinfo", "mounts", "maps", "status", "cgroup"):
    try:
        print(name, bool(open(f"/proc/self/{name}").read()))
    except OSError as error:
        print(error.errno)
"""
    assert said(stand, python(source)) == ["13"] * 5
    pids = "import os\nprint([name for name in os.listdir('/proc') if name.isdigit()])"
    assert said(stand, cell(PYTHON, "-I", "-c", pids, readable=["/proc"])) == ["['2']"]
    for path in ("/proc/1", "/proc/sys", "/dev", "/dev/shm"):
        with pytest.raises(ConfinementError, match="of the machine is not shown"):
            run(stand, cell(PYTHON, "-I", "-c", "", readable=[path]))


@pytest.mark.parametrize("number", [39, 59, 101, 272])
def test_a_number_of_x32_kills(stand: Stand, number: int) -> None:
    """H-SBX-10"""
    source = f"import ctypes\nprint('before', flush=True)\nctypes.CDLL(None).syscall({number | 0x40000000}, 0, 0)"
    result = run(stand, python(source))
    assert (result.stdout, result.signal) == (b"before\n", signal.SIGSYS)


INT_80 = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3")  # mov eax, 20 (getpid of i386); int 0x80; ret
print("before", flush=True)
print(ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))(), flush=True)
"""


def test_the_gate_of_i386_kills(stand: Stand) -> None:
    """H-SBX-10: a program of a cell may make code as it runs, and has nothing of it."""
    result = run(stand, python(INT_80))
    assert result.stdout == b"before\n"
    assert result.signal in (signal.SIGSYS, signal.SIGSEGV)  # the latter where the kernel has no such gate


def test_abstract_sockets_of_the_machine_are_out_of_reach(stand: Stand) -> None:
    """H-NET-02: by the network namespace and by Landlock."""
    name = f"\0aaos-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        result = run(stand, python(f"import socket\nsocket.socket(socket.AF_UNIX).connect({name!r})"))
    assert b"Operation not permitted" in result.stderr or b"Connection refused" in result.stderr
    assert result.exit_code == 1
