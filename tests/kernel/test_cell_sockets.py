"""Sockets that other programs hold in a granted tree: what listens there is no file, and is not reached through it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.core.ports import Root
from tests.kernel.cells import PYTHON, cell, said
from tests.kernel.harness import OWNER, Stand, granted

WAYS = {
    "a stream": "s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.connect(PATH); s.send(b'x')",
    "packets": "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(PATH); s.send(b'x')",
    "a datagram": "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b'x', PATH)",
    "half of a pair": "s, t = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b'x', PATH)",
    "half of a pair, as a message": "s, t = socket.socketpair(); s.sendmsg([b'x'], [], 0, PATH)",
    "half of packets": "s, t = socket.socketpair(type=socket.SOCK_SEQPACKET); s.sendmsg([b'x'], [], 0, PATH)",
}
KINDS = {"stream": socket.SOCK_STREAM, "packets": socket.SOCK_SEQPACKET, "datagrams": socket.SOCK_DGRAM}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    directory = tmp_path / "tree"
    directory.mkdir()
    directory.chmod(0o755)
    os.chown(directory, OWNER, OWNER)
    tmp_path.chmod(0o755)
    with granted(directory, writable=True) as root:
        yield root


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_listens_in_a_granted_tree_is_not_reached(stand: Stand, root: Root, way: str, kind: str) -> None:
    """H-NET-02"""
    path = f"{root.path}/{kind}.sock"
    with socket.socket(socket.AF_UNIX, KINDS[kind]) as theirs:
        theirs.bind(path)
        os.chown(path, OWNER, OWNER)
        os.chmod(path, 0o777)  # noqa: S103  # the worst that there could be
        theirs.settimeout(0.5)
        if kind != "datagrams":
            theirs.listen()
        source = f"import socket\nPATH = {path!r}\ntry:\n    {WAYS[way]}\nexcept OSError:\n    pass\nprint('tried')"
        assert said(stand, cell(PYTHON, "-I", "-c", source, roots=[root])) == ["tried"]
        assert not _is_reached(theirs, is_listening=kind != "datagrams")


def _is_reached(theirs: socket.socket, *, is_listening: bool) -> bool:
    try:
        if is_listening:
            theirs.accept()[0].close()
        else:
            theirs.recv(1)
    except TimeoutError:
        return False
    return True


FIRST_DATA = """
import errno, socket
FASTOPEN = 0x20000000
one, other = socket.socketpair()
def told(act):
    try:
        return act()
    except OSError as error:
        return errno.errorcode[error.errno]
print([told(act) for flags in (0, FASTOPEN) for act in (
    lambda: one.send(b"x", flags), lambda: one.sendmsg([b"x"], [], flags),
)])
"""


def test_no_data_goes_with_the_opening_of_a_connection(stand: Stand) -> None:
    """H-NET-02: a way to connect that Landlock does not hear of (MSG_FASTOPEN); plain data goes."""
    assert said(stand, cell(PYTHON, "-I", "-c", FIRST_DATA)) == ["[1, 1, 'ENOSYS', 'ENOSYS']"]


LEASES = """
import errno, fcntl, signal
file = open(PATH)
def told(*asked):
    try:
        return fcntl.fcntl(file, *asked)
    except OSError as error:
        return errno.errorcode[error.errno]
print([told(*asked) for asked in ((1024, 0), (1024, 1), (1026, 2), (8, 1), (10, signal.SIGUSR1), (fcntl.F_GETFD,))])
fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
"""


def test_nobody_waits_for_a_file_that_a_cell_holds(stand: Stand, root: Root) -> None:
    """H-RES-13: a lease would keep who opens the file waiting for 45 seconds; a lock keeps who asks for one only."""
    path = f"{root.path}/file"
    with open(path, "w", encoding="ascii"):
        os.chown(path, OWNER, OWNER)
    source = LEASES.replace("PATH", repr(path))
    (told,) = said(stand, cell(PYTHON, "-I", "-c", source, roots=[root]))
    assert told == "['ENOSYS', 'ENOSYS', 'ENOSYS', 'ENOSYS', 'ENOSYS', 1]"
