"""The filter of cells, run as the kernel runs it: what a hostile program of a cell asks, and what compilers need."""

import errno
import os
import socket
import stat

import pyseccomp
import pytest

from aaos.sandbox.cellrows import CELL_ROWS, DOOR_ROWS
from aaos.sandbox.filters import CELL_CANARY, Profile, cell_filter
from aaos.sandbox.rows import MAP_HUGETLB, TCGETS
from tests.unit.sandbox.bpf import ALLOW, ERRNO, Call, answer

REFUSED = (ERRNO | errno.EPERM, ERRNO | errno.ENOSYS)
NEW_NAMESPACES = {"NEWNS": 0x20000, "NEWCGROUP": 0x2000000, "NEWUTS": 0x4000000, "NEWIPC": 0x8000000} | {
    "NEWUSER": 0x10000000, "NEWPID": 0x20000000, "NEWNET": 0x40000000
}  # fmt: skip


def _answer(name: str, *args: int, profile: Profile = Profile.CELL) -> int:
    number = int(pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name))
    return answer(cell_filter(profile), Call(number, (*args, *[0] * (6 - len(args)))))


@pytest.mark.parametrize(
    "name",
    "unshare setns mount umount2 pivot_root chroot fsopen fsmount open_tree move_mount mount_setattr ptrace "
    "process_vm_readv process_vm_writev pidfd_getfd kcmp bpf perf_event_open userfaultfd keyctl add_key request_key "
    "fanotify_init init_module finit_module delete_module kexec_load reboot swapon acct iopl ioperm adjtimex syslog "
    "io_uring_setup io_uring_enter io_uring_register quotactl modify_ldt open_by_handle_at name_to_handle_at "
    "setuid setgid setreuid setregid setfsuid setfsgid setgroups capset seccomp "
    "shmget shmat msgget semget mq_open sched_setscheduler sched_setattr ioprio_set "
    "sethostname vhangup".split(),
)
def test_what_a_hostile_program_asks_for_is_refused(name: str) -> None:
    """H-SBX-01, H-SBX-02, H-SBX-03, H-SBX-05, H-SBX-07, H-SBX-11, H-SBX-13"""
    assert _answer(name) == ERRNO | errno.EPERM


@pytest.mark.parametrize("name", ["clone3", "openat2", CELL_CANARY, "sync", "landlock_create_ruleset", "setxattr"])
def test_what_programs_do_without_is_not_there(name: str) -> None:
    """H-SBX-01: a C library falls back on clone, whose flags a filter sees."""
    assert _answer(name) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("flag", NEW_NAMESPACES.values(), ids=list(NEW_NAMESPACES))
def test_clone_makes_no_namespace(flag: int) -> None:
    """H-SBX-01: also among the flags of a thread, and with bits that the kernel does not read."""
    for others in (0, 17, 0x3D0F00, 1 << 32):
        assert _answer("clone", flag | others) in REFUSED
    assert _answer("clone", 17) == _answer("clone", 0x3D0F00) == ALLOW


@pytest.mark.parametrize("name", ["setresuid", "setresgid"])
def test_real_and_saved_ids_stay(name: str) -> None:
    """H-SBX-13: make(1) sets its effective id to the real one, which is the only one that a cell has."""
    keep = 0xFFFFFFFF
    assert _answer(name, keep, 1234, keep) == _answer(name, keep | keep << 32, 1234, keep) == ALLOW
    for args in ((0, keep, keep), (keep, keep, 0), (0, 0, 0), (1234, 1234, 1234)):
        assert _answer(name, *args) in REFUSED


@pytest.mark.parametrize("high", [0, 1 << 32, 0xFFFFFFFF << 32])
def test_nobody_types_into_a_terminal(high: int) -> None:
    """H-SBX-12, CVE-2017-5226, CVE-2019-10063"""
    assert _answer("ioctl", 0, high | 0x5412) in REFUSED  # TIOCSTI
    assert _answer("ioctl", 0, high | 0x541C) in REFUSED  # TIOCLINUX
    assert _answer("ioctl", 0, high | TCGETS) == ALLOW


@pytest.mark.parametrize("bit", [stat.S_ISUID, stat.S_ISGID, stat.S_ISUID | stat.S_ISGID])
def test_no_file_is_made_that_runs_as_somebody_else(bit: int) -> None:
    """H-FS-14: its owner on the disk would be a user of the machine."""
    mode = 0o755 | bit
    assert _answer("chmod", 0, mode) in REFUSED
    assert _answer("fchmod", 0, mode) in REFUSED
    assert _answer("fchmodat", 0, 0, mode) in REFUSED
    assert _answer("creat", 0, mode) in REFUSED
    assert _answer("open", 0, os.O_CREAT, mode) in REFUSED
    for flags in (os.O_CREAT, os.O_TMPFILE | os.O_RDWR):
        assert _answer("openat", 0, 0, flags, mode) in REFUSED
        assert _answer("openat", 0, 0, flags, 0o755) == ALLOW
    for kind in (stat.S_IFREG, stat.S_IFIFO):
        assert _answer("mknodat", 0, 0, kind | mode) in REFUSED
    assert _answer("chmod", 0, 0o1755) == ALLOW


def test_a_mode_that_is_not_read_does_not_matter() -> None:
    """ISO-12: what is in the register when no file is made."""
    assert _answer("openat", 0, 0, os.O_RDONLY, 0o7777) == ALLOW


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_no_device_is_made(kind: int) -> None:
    """H-SBX-06"""
    assert _answer("mknod", 0, kind | 0o644) in REFUSED
    assert _answer("mknodat", 0, 0, kind | 0o644) in REFUSED
    assert _answer("mknodat", 0, 0, stat.S_IFIFO | 0o644) == ALLOW


def test_a_file_in_memory_is_never_a_program() -> None:
    """ISO-12: Landlock and noexec do not see who executes a memfd."""
    assert _answer("memfd_create", 0, os.MFD_CLOEXEC) in REFUSED
    assert _answer("memfd_create", 0, os.MFD_CLOEXEC | 8) == ALLOW  # MFD_NOEXEC_SEAL
    assert _answer("mmap", 0, 0, 0, MAP_HUGETLB) in REFUSED


def test_limits_are_its_own() -> None:
    """H-SBX-07: of no other process, PID 1 included."""
    assert _answer("prlimit64", 1) in REFUSED
    assert _answer("prlimit64", 0) == ALLOW


@pytest.mark.parametrize("option", [22, 24, 8, 27, 47, 0x59616D61, 65, 9, 35])
def test_what_would_change_the_wall_is_refused(option: int) -> None:
    """ISO-6: PR_SET_SECCOMP, CAPBSET_DROP, KEEPCAPS, SECUREBITS, CAP_AMBIENT, PTRACER, MDWE, FPEMU, MM."""
    assert _answer("prctl", option) in REFUSED


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_sockets_of_the_network_are_for_cells_with_a_door(family: int) -> None:
    """ISO-12: TCP only."""
    assert _answer("socket", family, socket.SOCK_STREAM) in REFUSED
    for protocol in (0, socket.IPPROTO_TCP):
        kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC
        assert _answer("socket", family, kind, protocol, profile=Profile.CELL_WITH_DOOR) == ALLOW
    for kind, protocol in ((socket.SOCK_DGRAM, 0), (socket.SOCK_RAW, 1), (socket.SOCK_STREAM, 262)):
        assert _answer("socket", family, kind, protocol, profile=Profile.CELL_WITH_DOOR) in REFUSED


@pytest.mark.parametrize("family", [socket.AF_NETLINK, socket.AF_PACKET, socket.AF_VSOCK, socket.AF_ALG, 45])
def test_no_other_family_is_there(family: int) -> None:
    """ISO-12: nor with a door."""
    for profile in (Profile.CELL, Profile.CELL_WITH_DOOR):
        assert _answer("socket", family, socket.SOCK_STREAM, profile=profile) in REFUSED


def test_local_sockets_come_in_pairs_that_nothing_can_be_addressed_with() -> None:
    """H-NET-02: a datagram could be sent to whoever listens in a granted tree."""
    for profile in (Profile.CELL, Profile.CELL_WITH_DOOR):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            assert _answer("socket", socket.AF_UNIX, kind, profile=profile) in REFUSED
            kept = _answer("socketpair", socket.AF_UNIX, kind | socket.SOCK_CLOEXEC, profile=profile)
            assert (kept == ALLOW) is (kind != socket.SOCK_DGRAM)


def test_every_row_is_there_once() -> None:
    """ISO-5"""
    rows = (*CELL_ROWS, *DOOR_ROWS)
    assert len(set(rows)) == len(rows)
    with_checks = {row.call for row in rows if row.checks}
    assert {row.call for row in rows if not row.checks} & with_checks == set()
