"""What tries the probes behind the wall: a program as an agent could be, read as text and run in a worker.

It is never imported by agentd. It knows the kernel by numbers, tries each act once, and says what became of it, one
line before and one after; the acts and their places are literals that `trial` puts in front. An act that succeeds must
do no harm: it asks for as little as shows that it was allowed.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import signal
import socket
import stat
import struct
import sys
from collections.abc import Callable

W = R = X = SOCKET = ""  # a directory granted for writing, one for reading, one not at all; the operator's socket
AGENTD = 0
ACTS: list[tuple[int, str]] = []
NAMED_BY_ACTS = (fcntl, sys)
# the literals of `trial` come here

# asm/unistd_64.h
NUMBERS = {
    "mprotect": 10,
    "ioctl": 16,
    "shmget": 29,
    "alarm": 37,
    "connect": 42,
    "listen": 50,
    "clone": 56,
    "fork": 57,
    "semget": 64,
    "msgget": 68,
    "sysinfo": 99,
    "ptrace": 101,
    "syslog": 103,
    "setpgid": 109,
    "setfsuid": 122,
    "capset": 126,
    "rt_sigqueueinfo": 129,
    "personality": 135,
    "sched_setscheduler": 144,
    "mlockall": 151,
    "modify_ldt": 154,
    "pivot_root": 155,
    "prctl": 157,
    "adjtimex": 159,
    "acct": 163,
    "settimeofday": 164,
    "mount": 165,
    "umount2": 166,
    "swapon": 167,
    "swapoff": 168,
    "reboot": 169,
    "setdomainname": 171,
    "iopl": 172,
    "ioperm": 173,
    "init_module": 175,
    "delete_module": 176,
    "io_setup": 206,
    "clock_settime": 227,
    "tgkill": 234,
    "set_mempolicy": 238,
    "mq_open": 240,
    "kexec_load": 246,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "ioprio_set": 251,
    "migrate_pages": 256,
    "unshare": 272,
    "inotify_init1": 294,
    "perf_event_open": 298,
    "fanotify_init": 300,
    "prlimit64": 302,
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "clock_adjtime": 305,
    "setns": 308,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "finit_module": 313,
    "sched_setattr": 314,
    "renameat2": 316,
    "seccomp": 317,
    "kexec_file_load": 320,
    "bpf": 321,
    "execveat": 322,
    "userfaultfd": 323,
    "pkey_mprotect": 329,
    "io_uring_setup": 425,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fspick": 433,
    "pidfd_open": 434,
    "clone3": 435,
    "openat2": 437,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "memfd_secret": 447,
    "fchmodat2": 452,
    "statmount": 457,
    "listmount": 458,
}
NEWTIME, NEWNS, NEWCGROUP, NEWUTS = 0x80, 0x20000, 0x2000000, 0x4000000
NEWIPC, NEWUSER, NEWPID, NEWNET = 0x8000000, 0x10000000, 0x20000000, 0x40000000
HERE = -100  # AT_FDCWD
SMALL = 4096
PATH = os.O_PATH
TIOCSTI, TIOCLINUX, BIT_32 = 0x5412, 0x541C, 1 << 32
X32 = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class NothingError(Exception):
    """What was looked for is not there."""


def call(name: str, *args: object) -> int:
    """A raw system call. Raises OSError."""
    return number(NUMBERS[name], *args)


def number(value: int, *args: object) -> int:
    """A raw system call by its number. Raises OSError."""
    values = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result: int = libc.syscall(ctypes.c_long(value), *values)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def cloned(name: str, *args: object) -> None:
    """Make a child that ends at once."""
    child = call(name, *args)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def packed(text: str, *values: int) -> object:
    """A structure for the kernel, with space behind it."""
    return ctypes.create_string_buffer(struct.pack(text, *values), 256)


def opened(path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> None:
    """Open and close."""
    os.close(os.open(path, flags, mode))


def content(path: str) -> None:
    """Read a byte, as a process's files are checked when they are read."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.read(fd, 1)
    finally:
        os.close(fd)


def through(descriptor: int, path: str) -> None:
    """Open a path as seen from a descriptor."""
    os.close(os.open(path, os.O_RDONLY, dir_fd=descriptor))


def mapped(protection: int, flags: int = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, fd: int = -1) -> None:
    """One page of memory."""
    mmap.mmap(fd, SMALL, flags=flags, prot=protection).close()


def mapped_file() -> None:
    """One page of a file in memory, to be executed."""
    fd = os.memfd_create("probe")
    try:
        os.write(fd, bytes(SMALL))
        mapped(5, mmap.MAP_PRIVATE, fd)
    finally:
        os.close(fd)


def protected(name: str, protection: int, *more: int) -> None:
    """Change the rights of a page of memory."""
    page = mmap.mmap(-1, SMALL)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    call(name, address, SMALL, protection, *more)


def mapped_at_zero() -> None:
    """Memory where the kernel's own mistakes would read."""
    libc.mmap.restype = ctypes.c_long
    address = libc.mmap(None, SMALL, 3, 0x32, -1, ctypes.c_long(0))  # MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
    if address == -1:
        raise OSError(ctypes.get_errno(), "mmap")
    libc.munmap(None, SMALL)


def machine_code(code: bytes) -> int:
    """Instructions of no program, executed."""
    page = mmap.mmap(-1, SMALL, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
    page.write(code)
    result: int = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    return result


def grown(size: int) -> None:
    """Address space without memory behind it."""
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000).close()  # MAP_NORESERVE


def many_files(count: int) -> None:
    """So many open files at once; they are closed again."""
    fds: list[int] = []
    try:
        fds.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(count))
    finally:
        for fd in fds:
            os.close(fd)


def many_processes(count: int) -> None:
    """So many children at once; they are ended again."""
    children: list[int] = []
    try:
        for _ in range(count):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def many_names(directory: str, count: int) -> None:
    """So many empty files; they are removed again."""
    made = 0
    try:
        for made in range(count):  # the last is removed, too
            opened(f"{directory}/aaos-probe-{made}", os.O_WRONLY | os.O_CREAT)
    finally:
        for number in range(made):
            os.unlink(f"{directory}/aaos-probe-{number}")


def filled(path: str, size: int) -> None:
    """A new file with so many bytes; it is removed again."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for _ in range(size // 65_536):
            os.write(fd, bytes(65_536))
    finally:
        os.close(fd)
        os.unlink(path)


def large_file(size: int) -> None:
    """A file in memory that is longer than may be; nothing is behind most of it."""
    fd = os.memfd_create("probe")
    try:
        os.lseek(fd, size, os.SEEK_SET)
        os.write(fd, b"x")
    finally:
        os.close(fd)


def in_memory_program() -> None:
    """Become a program that is in no file; where that works, nothing more is said."""
    fd = os.memfd_create("probe", 0)
    os.write(fd, b"#!/bin/true\n")
    call("execveat", fd, b"", None, None, 0x1000)  # AT_EMPTY_PATH


def sent_into_terminal(request: int) -> None:
    """Type a letter into the terminal, if there is one."""
    call("ioctl", 0, request, ctypes.c_char_p(b"\\n"))


def found(things: object) -> None:
    """Things that should not be there. Raises NothingError when they are not."""
    if not things:
        raise NothingError


def variables() -> set[str]:
    """The environment, but for what Python itself puts there (PEP 538)."""
    return set(os.environ) - {"LC_CTYPE"}


def open_files() -> list[int]:
    """Descriptors beyond the standard three and the one of the session."""
    known = {0, 1, 2, 3}
    return [fd for fd in range(1024) if fd not in known and _is_open(fd)]


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def directories() -> list[int]:
    """Open directories, which would be a way out of a root."""
    return [fd for fd in range(1024) if _is_open(fd) and stat.S_ISDIR(os.fstat(fd).st_mode)]


def outcome(act: Callable[[], object]) -> str:
    """The name of the errno with which `act` is refused, or what else became of it."""
    try:
        act()
    except NothingError:
        return "nothing"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, f"errno {error.errno}")
    except MemoryError:
        return "ENOMEM"
    except Exception as error:  # noqa: BLE001  # a probe that is wrong in itself has not been refused
        return f"{type(error).__name__}: {error}"[:120]
    return "allowed"


def tried(text: str) -> str:
    """What became of one act."""
    code = compile(text, "<probe>", "eval")
    return outcome(lambda: eval(code, globals()))  # noqa: S307  # the act, behind the wall


def main(say: Callable[[dict[str, object]], None]) -> None:
    """All acts, one after the other."""
    for index, text in ACTS:
        say({"probe": index})
        say({"probe": index, "seen": tried(text)})


def as_agent() -> None:
    """On the socket of a session, as every agent speaks."""
    agentd = socket.socket(fileno=3)
    agentd.recv(65536)

    def say(line: dict[str, object]) -> None:
        agentd.send(json.dumps({"t": "log", "text": json.dumps(line)}).encode())

    main(say)
    agentd.send(json.dumps({"t": "finish", "ok": True, "text": ""}).encode())


def as_program() -> None:
    """On standard output, as the program of a cell."""

    def say(line: dict[str, object]) -> None:
        sys.stdout.write(f"{json.dumps(line)}\n")
        sys.stdout.flush()

    main(say)
