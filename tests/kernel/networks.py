"""A network of a test's own, with a name server that answers as the test says.

Invariant: nothing of it is seen outside, and nothing outside is reached from it: it has a loopback and no more. The
thread of the test is in it, and so is every process that it starts.
"""

import asyncio
import ctypes
import os
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from worker.wall import syscalls

PUBLIC, OTHER, PUBLIC_6 = "93.184.216.34", "93.184.216.35", "2606:2800:220::1"
A, CNAME, AAAA = 1, 5, 28
NXDOMAIN, SERVFAIL = 3, 2
_LIBC = ctypes.CDLL(None, use_errno=True)

Answer = Sequence[str] | int | None  # addresses and names, an error code, or silence


@contextmanager
def own_network(*addresses: str) -> Iterator[None]:
    """This thread in a network namespace where the loopback has `addresses`, too."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.unshare(syscalls.CLONE_NEWNET)
    try:
        _ip("link", "set", "lo", "up")
        for address in addresses:
            bits = 128 if ":" in address else 32
            _ip("addr", "add", f"{address}/{bits}", "dev", "lo", *(["nodad"] if bits == 128 else []))
        yield
    finally:
        assert _LIBC.setns(before, syscalls.CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(before)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers by name: each question takes the next answer, the last one stays. `is_short` sends clients to TCP."""

    answers: Mapping[str, Sequence[Answer]]
    is_short: bool = False
    asked: list[tuple[str, int]] = field(default_factory=list)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # Any: asyncio's own kind of it is no DatagramTransport by type

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self.reply(data)
        if reply is not None and self.is_short:
            reply = reply[:2] + struct.pack("!HHHHH", 0x8380, 1, 0, 0, 0) + _question(data)
        if reply is not None:
            self._transport.sendto(reply, addr)

    def reply(self, data: bytes) -> bytes | None:
        """The message that answers this one; None is silence."""
        question = _question(data)
        name, kind = _name(question), struct.unpack("!H", question[-4:-2])[0]
        past = sum(1 for each in self.asked if each == (name, kind))
        self.asked.append((name, kind))
        answers = self.answers.get(name, [NXDOMAIN])
        answer = answers[min(past, len(answers) - 1)]
        if answer is None:
            return None
        code = answer if isinstance(answer, int) else 0
        records = [] if isinstance(answer, int) else [_record(each) for each in answer if _fits(each, kind)]
        return data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0) + question + b"".join(records)


@asynccontextmanager
async def naming(server: NameServer, host: str = "127.0.0.1") -> AsyncIterator[NameServer]:
    """The server at port 53, over UDP and TCP."""

    async def over_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                if reply := server.reply(await reader.readexactly(length)):
                    writer.write(struct.pack("!H", len(reply)) + reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, (host, 53), family=family)
    listener = await asyncio.start_server(over_tcp, host, 53)
    try:
        yield server
    finally:
        listener.close()
        transport.close()


def _question(data: bytes) -> bytes:
    """The question as it stands in a message: name, type, class."""
    end = data.index(b"\0", 12) + 5
    return data[12:end]


def _name(question: bytes) -> str:
    labels, at = [], 0
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    return ".".join(labels).lower()


def _fits(answer: str, kind: int) -> bool:
    return _kind(answer) in (kind, CNAME)


def _kind(answer: str) -> int:
    try:
        return A if ip_address(answer).version == 4 else AAAA
    except ValueError:
        return CNAME


def _record(answer: str) -> bytes:
    """One record for the name of the question, or with `NAME=ADDRESS` for the name that a CNAME before it gave."""
    kind = _kind(answer)
    if kind == CNAME and "=" in answer:
        name, _, address = answer.partition("=")
        return _encoded(name) + _tail(_kind(address), ip_address(address).packed)
    return b"\xc0\x0c" + _tail(kind, _encoded(answer) if kind == CNAME else ip_address(answer).packed)


def _tail(kind: int, data: bytes) -> bytes:
    return struct.pack("!HHIH", kind, 1, 0, len(data)) + data  # TTL 0


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
