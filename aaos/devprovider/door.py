"""The listening socket, which can be shut so that a client hangs in connect().

Invariant: shut, it completes no handshake: its queue is kept full by connections of its own (listen(2): with a backlog
of 0 one connection waits, and the kernel drops the SYN of every further one).
"""

import asyncio
import errno
import socket

from aaos.core.errors import InputError

HOST = "127.0.0.1"
BACKLOG = 1024
FILLERS = 4
RETRY_S = 0.1


class Door:
    """Listens on loopback; `port` 0 takes a free one."""

    def __init__(self, port: int) -> None:
        try:
            self._listener = socket.create_server((HOST, port), backlog=BACKLOG)
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise InputError(f"port {port} {reason}", "choose another with --port") from error
        self._listener.setblocking(False)
        self._fillers: list[socket.socket] = []
        self._is_open = asyncio.Event()
        self._is_open.set()

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    async def accept(self) -> socket.socket:
        """The next connection; waits while the door is shut."""
        while True:
            await self._is_open.wait()
            try:
                return self._listener.accept()[0]
            except BlockingIOError:
                await self._somebody()
            except OSError:  # the client is gone again, or this process has no descriptor left
                await asyncio.sleep(RETRY_S)

    def shut(self) -> None:
        """From now on connect() hangs; connections that are there stay."""
        self._is_open.clear()
        self._listener.listen(0)
        for _ in range(FILLERS):
            filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            filler.setblocking(False)
            filler.connect_ex((HOST, self.port))
            self._fillers.append(filler)

    def open(self) -> None:
        """Connections are taken again; a client whose SYN was dropped sends it again after a second."""
        self._close_fillers()
        self._listener.listen(BACKLOG)
        self._is_open.set()

    def close(self) -> None:
        """Nobody listens any more."""
        self._close_fillers()
        self._listener.close()

    async def _somebody(self) -> None:
        loop = asyncio.get_running_loop()
        knocked = asyncio.Event()
        loop.add_reader(self._listener, knocked.set)
        try:
            await knocked.wait()
        finally:
            loop.remove_reader(self._listener)

    def _close_fillers(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
