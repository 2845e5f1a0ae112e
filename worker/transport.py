"""Frames over a SOCK_SEQPACKET socket, with fds: the only place where frames meet the kernel.

Invariant: at most one message is read per call into a fixed buffer, so a peer cannot make the reader allocate; every fd
that arrives is close-on-exec and is handed to the caller or closed. A frame longer than INLINE_BYTES travels in a
sealed memfd. Works on blocking and non-blocking sockets alike (BlockingIOError passes through).
"""

import array
import fcntl
import os
import socket
from collections.abc import Callable, Sequence
from typing import TypeVar

from worker import abi

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_CUT_SHORT = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)  # plain numbers: operations on enum members cost microseconds
_ANCILLARY_BYTES = socket.CMSG_SPACE((abi.FRAME_FDS + 1) * array.array("i").itemsize)

_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)

F = TypeVar("F")


class ClosedError(Exception):
    """The peer closed its end."""


def send(sock: socket.socket, frame: abi.Framed, fds: Sequence[int] = ()) -> None:
    """Send one frame; the fds are duplicated by the kernel, the caller keeps its own. Raises OSError, FrameError."""
    data = abi.encode(frame)
    if len(data) <= abi.INLINE_BYTES:
        send_message(sock, data, fds)
        return
    memfd = sealed_memfd(data)
    try:
        send_message(sock, abi.encode(abi.Large(size=len(data))), [memfd, *fds])
    finally:
        os.close(memfd)


def receive(
    sock: socket.socket, allowed: tuple[type[F], ...], *, weigh: Callable[[int], None] = lambda _: None
) -> tuple[F, list[int]]:
    """The next frame and the fds that came with it, which the caller closes. `weigh` is told how many bytes a large
    one has before they are decoded.

    Raises ClosedError at the end, FrameError for whatever breaks the wire format (its fds are closed), OSError.
    """
    data, fds = _message(sock)
    try:
        frame = _decode_large(data, fds, allowed, weigh) if _is_large(data) else abi.decode(data, allowed)
        if len(fds) > abi.FRAME_FDS:
            raise abi.FrameError(f"{len(fds)} fds are more than {abi.FRAME_FDS}")
        return frame, fds
    except BaseException:  # whatever ends this, nobody else knows of the fds
        close_all(fds)
        raise


def receive_message(sock: socket.socket) -> tuple[bytes, list[int]]:
    """The next message of another channel than the ABI, undecoded, under the same bounds. Raises as `receive`."""
    data, fds = _message(sock)
    if len(fds) > abi.FRAME_FDS:
        close_all(fds)
        raise abi.FrameError(f"{len(fds)} fds are more than {abi.FRAME_FDS}")
    return data, fds


def close_all(fds: Sequence[int]) -> None:
    """Close fds that nobody wants."""
    for fd in fds:
        os.close(fd)


def _message(sock: socket.socket) -> tuple[bytes, list[int]]:
    data, ancillary, flags, _ = sock.recvmsg(abi.INLINE_BYTES + 1, _ANCILLARY_BYTES, _CLOEXEC)
    fds = _fds(ancillary) if ancillary else []
    if data and not flags & _CUT_SHORT and len(data) <= abi.INLINE_BYTES:
        return data, fds
    close_all(fds)
    if not data:
        raise ClosedError
    raise abi.FrameError(f"a message of more than {abi.INLINE_BYTES} bytes or {abi.FRAME_FDS} fds")


def sealed_memfd(data: bytes) -> int:
    """A memfd that holds `data` and can never change; the caller closes it. Source: memfd_create(2)."""
    memfd = os.memfd_create("aaos", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(memfd, view) :]
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(memfd)
        raise
    return memfd


def read_sealed(fd: int, limit: int = abi.LARGE_BYTES) -> bytes:
    """All of a memfd whose seals keep it from changing. Raises FrameError when it is unsealed, too long or no memfd."""
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        size = os.fstat(fd).st_size
    except OSError as error:
        raise abi.FrameError("the fd is not a memfd") from error
    if seals & _SEALS != _SEALS:
        raise abi.FrameError("the memfd is not sealed against writing, growing and shrinking")
    if size > limit:
        raise abi.FrameError(f"a memfd of {size} bytes is over the limit of {limit}")
    return os.pread(fd, size, 0)


def _decode_large(data: bytes, fds: list[int], allowed: tuple[type[F], ...], weigh: Callable[[int], None]) -> F:
    try:
        large = abi.decode(data, (abi.Large,))
    except abi.FrameError:
        return abi.decode(
            data, allowed
        )  # another frame that has the word; or it is refused as the frame that it is not
    if not fds:
        raise abi.FrameError("a large frame came without its memfd")
    document = read_sealed(fds[0])
    if len(document) != large.size:
        raise abi.FrameError(f"size: {large.size} announced, {len(document)} bytes came")
    weigh(len(document))
    frame = abi.decode(document, allowed)
    os.close(fds.pop(0))
    return frame


def _is_large(data: bytes) -> bool:
    return b'"large"' in data[:64]  # the outer message of a large frame is not longer


def send_message(sock: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
    """Send one message of at most INLINE_BYTES; the caller keeps its fds. Raises OSError."""
    if fds:
        sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    else:
        sock.send(data)


def _fds(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return list(fds)
