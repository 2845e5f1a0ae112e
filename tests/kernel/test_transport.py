"""Frames over a real socket: each arrives whole or not at all, and no fd is ever lost (BRK-1, BRK-10)."""

import array
import fcntl
import os
import random
import socket
from collections.abc import Iterator

import pytest

from tests.unit.worker.test_abi import FRAMES, sample
from worker import abi, transport

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        before = open_fds()
        yield left, right
        assert open_fds() == before, "an fd was left open"


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def raw(sock: socket.socket, data: bytes, fds: list[int]) -> None:
    """What a hostile peer sends."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([data], ancillary)
    for fd in fds:
        os.close(fd)


def memfd(data: bytes, *, seals: int | None = None) -> int:
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    if seals is not None:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


@pytest.mark.parametrize("kind", FRAMES)
def test_every_frame_arrives(pair: Pair, kind: type) -> None:
    transport.send(pair[0], sample(kind))
    assert transport.receive(pair[1], FRAMES) == (sample(kind), [])


@pytest.mark.parametrize("length", [0, 1, 65_480, 65_500, 65_536, 300_000, 4_000_000])
def test_text_of_any_length_arrives(pair: Pair, length: int) -> None:
    frame = abi.Finish(ok=True, text="x" * length)
    transport.send(pair[0], frame)
    assert transport.receive(pair[1], abi.FROM_WORKER) == (frame, [])


@pytest.mark.parametrize("length", [10, 300_000])
def test_fds_arrive_in_their_order_and_close_on_exec(pair: Pair, length: int) -> None:
    files = [memfd(b"a"), memfd(b"b"), memfd(b"c")]
    transport.send(pair[0], abi.Finish(ok=True, text="x" * length), files)
    _, fds = transport.receive(pair[1], abi.FROM_WORKER)
    assert [os.pread(fd, 9, 0) for fd in fds] == [b"a", b"b", b"c"]
    assert not any(os.get_inheritable(fd) for fd in fds)
    for fd in (*files, *fds):
        os.close(fd)


def test_as_many_fds_as_a_frame_may_have(pair: Pair) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    transport.send(pair[0], abi.Finish(ok=True, text="x" * 100_000), [null] * abi.FRAME_FDS)
    _, fds = transport.receive(pair[1], abi.FROM_WORKER)
    assert len(fds) == abi.FRAME_FDS
    for fd in (null, *fds):
        os.close(fd)


def test_the_end_is_told(pair: Pair) -> None:
    pair[0].shutdown(socket.SHUT_WR)
    with pytest.raises(transport.ClosedError):
        transport.receive(pair[1], abi.FROM_WORKER)


def send_many(sock: socket.socket, frame: abi.Frame) -> None:
    for _ in range(10_000):
        transport.send(sock, frame)


LOG = b'{"t":"log","text":"large"}'
SEALED = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def large(data: bytes, *, size: int | None = None, seals: int | None = SEALED) -> tuple[bytes, list[int]]:
    announced = len(data) if size is None else size
    return b'{"t":"large","size":%d}' % announced, [memfd(data, seals=seals)]


def pipe() -> list[int]:
    read, write = os.pipe()
    os.close(write)
    return [read]


def fifty_gib() -> list[int]:
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.truncate(fd, 50 * 2**30)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALED)
    return [fd]


@pytest.mark.parametrize(
    "make",
    [
        lambda: (b"", [memfd(b"")]),
        lambda: (b"x" * (abi.INLINE_BYTES + 1), []),
        lambda: (b"x" * 200_000, [memfd(b"")]),
        lambda: (LOG, [memfd(b"") for _ in range(abi.FRAME_FDS + 2)]),
        lambda: (b"{}", [memfd(b"")]),
        lambda: (b'{"t":"large","size":3}', []),
        lambda: (b'{"t":"large"}', [memfd(LOG)]),
        lambda: (b'{"t":"large","size":-1}', [memfd(LOG)]),
        lambda: large(LOG, seals=None),
        lambda: large(LOG, seals=fcntl.F_SEAL_WRITE),
        lambda: large(LOG, seals=SEALED & ~fcntl.F_SEAL_GROW),
        lambda: large(LOG, seals=SEALED & ~fcntl.F_SEAL_SHRINK),
        lambda: large(LOG, seals=SEALED & ~fcntl.F_SEAL_SEAL),
        lambda: large(LOG, size=3),
        lambda: large(LOG, size=2**53),
        lambda: large(b'{"t":"large","size":3}'),
        lambda: large(b"not json"),
        lambda: large(b"x" * (abi.LARGE_BYTES + 1)),
        lambda: (b'{"t":"large","size":53687091200}', fifty_gib()),
        lambda: (b'{"t":"large","size":3}', pipe()),
        lambda: (b'{"t":"large","size":3}', [os.open("/dev/zero", os.O_RDONLY)]),
        lambda: (b'{"t":"large","size":3}', [os.open("/", os.O_PATH)]),
    ],
)
def test_a_hostile_message_is_refused_and_its_fds_are_closed(pair: Pair, make: object) -> None:
    """H-BRK-01: no allocation before the check, no wait on what the peer holds."""
    assert callable(make)
    raw(pair[0], *make())
    with pytest.raises((abi.FrameError, transport.ClosedError)):
        transport.receive(pair[1], abi.FROM_WORKER)


def test_a_frame_that_has_the_word_large_is_no_large_frame(pair: Pair) -> None:
    raw(pair[0], LOG, [])
    assert transport.receive(pair[1], abi.FROM_WORKER) == (abi.Log("large"), [])


def test_key_order_and_spaces_are_the_peers_own(pair: Pair) -> None:
    raw(pair[0], b' { "size" : %d , "t" : "large" } ' % len(LOG), [memfd(LOG, seals=SEALED)])
    assert transport.receive(pair[1], abi.FROM_WORKER) == (abi.Log("large"), [])


def test_a_full_socket_is_told_to_who_may_not_block(pair: Pair) -> None:
    """H-BRK-09"""
    pair[0].setblocking(False)
    frame = abi.Finish(ok=True, text="x" * 70_000)
    with pytest.raises(BlockingIOError):
        send_many(pair[0], frame)


def test_ten_thousand_mutated_messages_leave_nothing(pair: Pair) -> None:
    """H-BRK-14"""
    chance = random.Random(20_252)  # noqa: S311  # a seed, not a secret
    originals = [abi.encode(sample(kind)) for kind in abi.FROM_WORKER] + [b'{"t":"large","size":26}']
    for _ in range(10_000):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randint(0, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        raw(pair[0], bytes(data), [memfd(LOG, seals=SEALED) for _ in range(chance.randint(0, 2))])
        try:
            _, fds = transport.receive(pair[1], abi.FROM_WORKER)
        except abi.FrameError:
            continue
        for fd in fds:
            os.close(fd)
