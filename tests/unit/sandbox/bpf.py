"""Classic BPF as seccomp runs it: what a compiled filter answers to one system call.

Source: Documentation/networking/filter.rst, linux/seccomp.h (struct seccomp_data), linux/filter.h.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

X86_64 = 0xC000003E  # AUDIT_ARCH_X86_64, linux/audit.h
I386 = 0x40000003
AARCH64 = 0xC00000B7
ALLOW, KILL_PROCESS, TRAP, ERRNO = 0x7FFF0000, 0x80000000, 0x00030000, 0x00050000


@dataclass(frozen=True, slots=True)
class Call:
    """What the kernel shows to a filter."""

    number: int
    args: Sequence[int] = (0, 0, 0, 0, 0, 0)
    arch: int = X86_64

    def packed(self) -> bytes:
        """struct seccomp_data."""
        return struct.pack("<IIQ6Q", self.number, self.arch, 0, *self.args)


def answer(program: bytes, call: Call) -> int:
    """The filter's return value."""
    instructions = [struct.unpack("<HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    data, accumulator, at = call.packed(), 0, 0
    while True:
        code, if_true, if_false, k = instructions[at]
        at += 1
        match code:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                accumulator = struct.unpack_from("<I", data, k)[0]
            case 0x54:  # BPF_ALU | BPF_AND | BPF_K
                accumulator &= k
            case 0x05:  # BPF_JMP | BPF_JA
                at += k
            case 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
                at += if_true if accumulator == k else if_false
            case 0x25:  # BPF_JGT
                at += if_true if accumulator > k else if_false
            case 0x35:  # BPF_JGE
                at += if_true if accumulator >= k else if_false
            case 0x06:  # BPF_RET | BPF_K
                return int(k)
            case _:
                raise AssertionError(f"instruction {code:#x} is not known here")
