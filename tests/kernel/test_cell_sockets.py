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
