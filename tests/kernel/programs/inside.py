"""What an attack finds behind the wall: its session, the kernel by number, and a way to say what it met.

It is the beginning of a program's source, not a module. ctypes is in the template (the wall itself uses it), so a
hostile program has every system call at hand; the filter is what stands in its way.
"""

import ctypes
import errno
import socket
from collections.abc import Callable

from worker import abi
from worker.user.client import Abi

CALLS: dict[str, int] = {}
session = Abi(socket.socket(fileno=3))
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def begin() -> abi.Start:
    """Take `start`, as every agent does first."""
    return session.start()


def say(value: object) -> None:
    """One line for the test."""
    session.log(str(value))


def call(name: str, *args: object) -> int:
    """A raw system call. Raises OSError."""
    values = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result: int = libc.syscall(ctypes.c_long(CALLS[name]), *values)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


def outcome(act: Callable[[], object]) -> str:
    """The name of the errno with which `act` is refused, or what it gave."""
    try:
        value = act()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return f"allowed: {value!r}"


def attempt(act: Callable[[], object]) -> None:
    """Say how `act` ends."""
    say(outcome(act))


begin()
