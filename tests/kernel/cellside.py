"""The network side of a cell, played by a thread: a namespace with a loopback, a listening socket, and connections."""

import asyncio
import os
import socket
import threading
from dataclasses import dataclass

from tests.kernel.networks import own_network


class Inside:
    """A thread in a network namespace of its own, as the program of a cell is."""

    def __init__(self) -> None:
        self.listener: socket.socket | None = None
        self._made = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live)

    def _live(self) -> None:
        with own_network():
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            self._address = self.listener.getsockname()
            self._netns = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self._made_here = [socket.socket() for _ in range(48)]  # of this namespace, wherever they are used
            self.clients = list(self._made_here)
            self._made.set()
            self._over.wait(60)

    def __enter__(self) -> "Inside":
        self._thread.start()
        assert self._made.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for sock in self._made_here:
            sock.close()
        os.close(self._netns)
        if self.listener is not None:
            self.listener.close()

    @property
    def fd(self) -> int:
        """Of the listening socket."""
        assert self.listener is not None
        return self.listener.fileno()

    def let_go(self) -> None:
        """From now on the egress alone has the listening socket."""
        assert self.listener is not None
        self.listener.close()

    async def connect(self) -> "Client":
        """A new connection to the door."""
        sock = self.clients.pop()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self._address)
        return Client(sock)


@dataclass
class Client:
    """A program's connection."""

    sock: socket.socket

    async def ask(self, request: bytes) -> bytes:
        """Send a request, and the head of its answer."""
        await self.send(request)
        return await self.read(until=b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def read(self, *, until: bytes = b"\0\0\0\0") -> bytes:
        """All that comes, to the end or to this mark."""
        data = b""
        async with asyncio.timeout(20):
            while until not in data:
                try:
                    piece = await asyncio.get_running_loop().sock_recv(self.sock, 1 if until == b"\r\n\r\n" else 65_536)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                data += piece
        return data
