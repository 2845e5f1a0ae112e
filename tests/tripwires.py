"""What a unit test must not do, caught in the act: network, processes, waiting; and databases that it leaves open.

Invariant: a tripwire is a BaseException, so no `except Exception` of the code under test swallows it. It watches the
interpreter's own audit events, so it doesn't matter under which name a function was imported.
"""

import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import SupportsIndex

# Source: the audit events table of the Python documentation (3.11).
_PROCESSES = {
    "subprocess.Popen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
}
_NETWORK = {
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyaddr",
    "socket.gethostbyname",
    "socket.getnameinfo",
    "socket.sendmsg_to",
    "socket.sendto",
    "urllib.Request",
}
_WAITING = {"time.sleep"}  # an audit event since 3.13; before, the function itself is replaced
_TRIPPED = _PROCESSES | _NETWORK | _WAITING

_is_armed = False
_databases: list[sqlite3.Connection] = []


class TripwireError(BaseException):
    """A unit test touched the world; it belongs in tests/kernel, or the code under test needs a port."""


@contextmanager
def armed() -> Iterator[None]:
    """Within it, what a unit test must not do raises TripwireError."""
    global _is_armed  # noqa: PLW0603  # an audit hook can't be removed, only told to look away
    sleep = time.sleep
    time.sleep = _no_sleep
    _is_armed = True
    try:
        yield
    finally:
        _is_armed = False
        time.sleep = sleep


@contextmanager
def databases_closed() -> Iterator[None]:
    """Raises TripwireError at its end when a database that was opened within it is still open.

    A Python from 3.13 on warns of one that is collected, in whichever test that happens.
    """
    _databases.clear()
    yield
    left = [connection for connection in _databases if _is_open(connection)]
    _databases.clear()
    if left:
        raise TripwireError(f"{len(left)} databases are left open")


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        _ = connection.in_transaction
    except sqlite3.ProgrammingError:
        return False
    return True


def _no_sleep(seconds: SupportsIndex | float, /) -> None:
    raise TripwireError(f"time.sleep({seconds})")


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if not _is_armed:
        return
    if event in _TRIPPED:
        raise TripwireError(f"{event}{arguments!r:.200}")
    if event == "sqlite3.connect/handle" and isinstance(arguments[0], sqlite3.Connection):
        _databases.append(arguments[0])
    if event == "socket.__new__" and arguments[1] != socket.AF_UNIX:
        raise TripwireError(f"a socket of family {arguments[1]}")


sys.addaudithook(_watch)
