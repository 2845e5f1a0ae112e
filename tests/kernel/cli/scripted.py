"""A daemon that says what a test tells it to, over a real socket and in the real protocol."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from aaos.core import rpc

Lines = Iterator[bytes]
Script = Callable[[rpc.Request], Lines]


class ScriptedDaemon:
    """`requests` are those it got; `script` gives the lines that answer each."""

    def __init__(self, path: Path, script: Script) -> None:
        self.path = str(path)
        self.requests: list[rpc.Request] = []
        self.got_request = threading.Event()
        self._script = script
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(8)
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []

    def start(self) -> None:
        """Answer from now on."""
        self._threads[0].start()

    def close(self) -> None:
        """Every connection ends, every thread is joined."""
        _hang_up(self._listener)
        self._threads[0].join(timeout=10)
        for sock in self._open:
            _hang_up(sock)
        for thread in self._threads:
            thread.join(timeout=10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        buffer = rpc.LineBuffer()
        try:
            while data := client.recv(65_536):
                for line in buffer.feed(data):
                    self._answer(client, line)
        except OSError:  # the client left
            pass

    def _answer(self, client: socket.socket, line: bytes) -> None:
        request = rpc.decode_request(line)
        assert isinstance(request, rpc.Request)
        self.requests.append(request)
        self.got_request.set()
        for answer in self._script(request):
            client.sendall(answer)
            if not answer:
                client.shutdown(socket.SHUT_RDWR)


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):  # the other end was faster
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


CLOSE = b""  # as an answer: hang up


@contextmanager
def daemon(directory: Path, script: Script) -> Iterator[ScriptedDaemon]:
    """A scripted daemon for the length of a test."""
    scripted = ScriptedDaemon(directory / "s", script)
    scripted.start()
    try:
        yield scripted
    finally:
        scripted.close()


def event(request: rpc.Request, kind: str, fields: Mapping[str, rpc.Json], *, seq: int = 1) -> bytes:
    """An event line as the daemon streams it."""
    body: dict[str, rpc.Json] = {
        "request": request.id,
        "seq": seq,
        "time_s": 1.0,
        "kind": kind,
        "run": "r-abc",
        "subtask": "s1",
        "agent": "a-xyz",
        "fields": dict(fields),
    }
    return rpc.encode_notification(rpc.Notification("event", body))


def results(by_method: Mapping[str, rpc.Json]) -> Script:
    """A script that answers each method with its result."""

    def script(request: rpc.Request) -> Lines:
        yield rpc.encode_result(request.id, by_method[request.method])

    return script


AGENTD = (sys.executable, "-I", "-m", "aaos.cli")
DEADLINE_S = 30
RUN: dict[str, rpc.Json] = {
    "run": "r-abc",
    "state": "completed",
    "created_s": 1.0,
    "finished_s": 2.0,
    "result": "the answer",
}


def agentd(scripted: ScriptedDaemon, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as it is installed, run to its end against `scripted`."""
    command = [*AGENTD, "--socket", scripted.path, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
