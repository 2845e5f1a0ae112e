"""What a row of a seccomp filter is, and the numbers that its checks compare with.

Invariant: values only; a row without a reason cannot be written.
"""

import os
from dataclasses import dataclass

PROT_EXEC = 4
MAP_HUGETLB = 0x40000  # asm-generic/mman.h: the host's huge pages are in no cgroup of ours
TCGETS = 0x5401
FIONREAD = 0x541B
FIONBIO = 0x5421
THREAD = 0x3D0F00  # what pthread_create(3) of glibc asks clone for
SOCKET_KIND = 0xF  # a socket's type without SOCK_CLOEXEC and SOCK_NONBLOCK
LOW_32_BITS = 0xFFFFFFFF
NEW_FILE_FLAGS = os.O_CREAT | (os.O_TMPFILE & ~os.O_DIRECTORY)


@dataclass(frozen=True, slots=True)
class Check:
    """An argument that must hold: `value == argument & mask`, or its negation."""

    argument: int
    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Row:
    """One allowed system call, why it is there, and what its arguments must be."""

    call: str
    reason: str
    checks: tuple[Check, ...] = ()
