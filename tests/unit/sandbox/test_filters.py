"""The compiled filters, run as the kernel runs them, against the table that they were compiled from."""

import errno
import fcntl
import os
from collections import Counter

import pyseccomp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.sandbox.filters import (
    CANARY,
    EGRESS_ROWS,
    PROFILES,
    WORKER_ROWS,
    ZYGOTE_ROWS,
    Profile,
    Refusal,
    cell_filter,
    compile_filter,
    egress_filter,
    worker_filter,
    zygote_filter,
)
from aaos.sandbox.rows import MAP_HUGETLB, PROT_EXEC, TCGETS, Row
from tests.unit.sandbox.bpf import AARCH64, ALLOW, ERRNO, I386, KILL_PROCESS, TRAP, Call, answer

EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
LAST_NUMBER = 480
WORDS = st.integers(0, 2**64 - 1)
ARGS = st.tuples(
    *[st.one_of(WORDS, st.sampled_from([0, 1, 2, 4, 7, TCGETS, os.O_CREAT, 1 << 32, (1 << 32) | TCGETS]))] * 6
)


def _number(name: str) -> int:
    return int(pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name))


NUMBERS = {_number(row.call): row.call for row in (*WORKER_ROWS, *ZYGOTE_ROWS, *EGRESS_ROWS)}


def _may(rows: tuple[Row, ...], call: Call) -> bool:
    """What the table says, read without a compiler."""
    named = [row for row in rows if row.call == NUMBERS.get(call.number)]
    return any(all(call.args[check.argument] & check.mask == check.value for check in row.checks) for row in named)


@settings(max_examples=400, deadline=None)
@given(number=st.one_of(st.integers(0, LAST_NUMBER), st.sampled_from(sorted(NUMBERS))), args=ARGS)
@pytest.mark.parametrize("profile", Profile)
def test_a_filter_allows_what_its_table_names_and_nothing_else(
    profile: Profile, number: int, args: tuple[int, ...]
) -> None:
    """ISO-5: for any number and any arguments, high halves included."""
    program = compiled(profile)
    call = Call(number, args)
    given_answer = answer(program, call)
    if _may(PROFILES[profile], call):
        assert given_answer == ALLOW
    else:
        assert given_answer in (EPERM, ENOSYS)


@settings(max_examples=100, deadline=None)
@given(number=st.integers(0, 2**32 - 1), args=ARGS, arch=st.sampled_from([I386, AARCH64, 0, 0xFFFFFFFF]))
@pytest.mark.parametrize("profile", Profile)
def test_foreign_architectures_are_killed(profile: Profile, number: int, args: tuple[int, ...], arch: int) -> None:
    """H-SBX-10: whatever the number."""
    assert answer(compiled(profile), Call(number, args, arch)) == KILL_PROCESS


@settings(max_examples=100, deadline=None)
@given(number=st.integers(0, LAST_NUMBER), args=ARGS)
@pytest.mark.parametrize("profile", Profile)
def test_numbers_of_x32_are_killed(profile: Profile, number: int, args: tuple[int, ...]) -> None:
    """H-SBX-10: bit 30 in the number, with the architecture of x86_64."""
    assert answer(compiled(profile), Call(number | 0x40000000, args)) == KILL_PROCESS


def compiled(profile: Profile) -> bytes:
    """The filter that is shipped."""
    if profile in (Profile.CELL, Profile.CELL_WITH_DOOR):
        return cell_filter(profile)
    return {Profile.WORKER: worker_filter, Profile.ZYGOTE: zygote_filter, Profile.EGRESS: egress_filter}[profile]()


@pytest.mark.parametrize("name", ["clone3", "openat2", "close_range", "epoll_wait", "pkey_alloc", "rseq"])
def test_what_a_c_library_can_do_without_is_not_there(name: str) -> None:
    """H-SBX-01, ISO-5: ENOSYS, so that it falls back."""
    assert answer(worker_filter(), Call(_number(name))) == ENOSYS


@pytest.mark.parametrize(
    "name",
    "clone fork vfork execve execveat socket socketpair connect bind listen kill tgkill ptrace mount umount2 "
    "pivot_root unshare setns chroot mknod prctl seccomp bpf io_uring_setup chmod fchmod fchmodat chown setxattr "
    "mkdir unlinkat renameat2 linkat symlinkat utimensat mprotect shmat personality keyctl userfaultfd".split(),
)
def test_what_a_program_may_try_meets_a_plain_refusal(name: str) -> None:
    """H-SBX-01, H-SBX-11: EPERM."""
    assert answer(worker_filter(), Call(_number(name))) == EPERM


@pytest.mark.parametrize("high", [0, 1 << 32, 0xFFFFFFFF << 32])
@pytest.mark.parametrize(
    ("name", "argument", "value", "expected"),
    [
        ("mmap", 2, 3, ALLOW),
        ("mmap", 2, PROT_EXEC, EPERM),
        ("mmap", 2, 7, EPERM),
        ("mmap", 3, 0x22, ALLOW),
        ("mmap", 3, 0x22 | MAP_HUGETLB, ENOSYS),
        ("openat", 2, os.O_RDWR | os.O_TRUNC | os.O_CLOEXEC, ALLOW),
        ("openat", 2, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, ALLOW),
        ("openat", 2, os.O_WRONLY | os.O_CREAT, EPERM),
        ("openat", 2, os.O_RDWR | os.O_TMPFILE, ENOSYS),
        ("ioctl", 1, TCGETS, ALLOW),
        ("ioctl", 1, 0x5412, ENOSYS),  # TIOCSTI
        ("ioctl", 1, 0x541C, ENOSYS),  # TIOCLINUX
        ("fcntl", 1, fcntl.F_GET_SEALS, ALLOW),
        ("fcntl", 1, fcntl.F_SETFL, ENOSYS),
        ("fcntl", 1, fcntl.F_SETLK, ENOSYS),
        ("fcntl", 1, fcntl.F_SETOWN, ENOSYS),
        ("memfd_create", 1, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING, ALLOW),
        ("memfd_create", 1, os.MFD_HUGETLB, ENOSYS),
    ],
)
def test_arguments_are_judged_by_the_half_that_the_kernel_reads(
    high: int, name: str, argument: int, value: int, expected: int
) -> None:
    """H-SBX-12, CVE-2019-10063: bits above 31 change nothing."""
    args = [0] * 6
    args[argument] = high | value
    assert answer(worker_filter(), Call(_number(name), args)) == expected


def test_every_row_has_a_reason_and_its_place() -> None:
    """ISO-5"""
    for rows in PROFILES.values():
        assert all(len(row.reason) > 5 for row in rows)
    assert [row for row, times in Counter(WORKER_ROWS).items() if times > 1] == []
    with_checks = {row.call for row in WORKER_ROWS if row.checks}
    assert {row.call for row in WORKER_ROWS if not row.checks} & with_checks == set()


def test_the_zygote_may_do_what_its_workers_may() -> None:
    """ISO-13: its filter is below theirs, and below those of cells."""
    for profile in (Profile.WORKER, Profile.CELL, Profile.CELL_WITH_DOOR):
        assert {row.call for row in PROFILES[profile]} < {row.call for row in ZYGOTE_ROWS}
    assert not any(row.checks for row in ZYGOTE_ROWS)


@settings(max_examples=100, deadline=None)
@given(number=st.integers(0, LAST_NUMBER), args=ARGS)
def test_a_trap_filter_traps_what_the_other_refuses(number: int, args: tuple[int, ...]) -> None:
    """H-SBX-22: and the canary alone sees its refusal and lives."""
    call = Call(number, args)
    shipped = answer(worker_filter(), call)
    trapping = answer(_TRAPPING, call)
    expected = shipped if shipped == ALLOW or number == _number(CANARY) else TRAP
    assert trapping & 0x7FFF0000 == expected & 0x7FFF0000


_TRAPPING = compile_filter(Profile.WORKER, refusal=Refusal.TRAP)


@pytest.mark.parametrize("row", WORKER_ROWS, ids=lambda row: f"{row.call}-{row.reason}")
def test_a_filter_without_a_row_refuses_its_call(row: Row) -> None:
    """H-SBX-23: the row alone, not the others of the same call."""
    program = compile_filter(Profile.WORKER, without=(row,))
    args = [0] * 6
    for check in row.checks:
        args[check.argument] = check.value
    assert answer(worker_filter(), Call(_number(row.call), args)) == ALLOW
    assert answer(program, Call(_number(row.call), args)) in (EPERM, ENOSYS)


def test_compiling_is_repeatable() -> None:
    """ISO-9: the digest of the filter means something."""
    assert compile_filter(Profile.WORKER) == compile_filter(Profile.WORKER) == worker_filter()
    assert compile_filter(Profile.ZYGOTE) == zygote_filter()
