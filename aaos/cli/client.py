"""A blocking client of the operator's socket: requests, and streams of events until their answer.

Invariant: every failure is an AaosError, every wait has a deadline or a tick. It must import only the standard library
and `core`'s wire format, and must not print.
"""

import errno
import grp
import os
import shlex
import socket
import time
from collections.abc import Iterator, Mapping
from types import TracebackType

from aaos.core import rpc
from aaos.core.errors import AaosError, InputError, UnreachableError

DEFAULT_SOCKET = "/run/agentd/agentd.sock"
ANSWER_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0
_RECEIVE_BYTES = 65_536


class Client:
    """One connection to the daemon. One request or stream at a time."""

    def __init__(self, path: str, *, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._lines = rpc.LineBuffer()
        self._waiting: list[bytes] = []
        self._last_id = 0
        self._sock = _connected(path)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    def call(self, method: str, params: Mapping[str, rpc.Json]) -> rpc.Json:
        """The result of one request. Raises what the daemon raised, or UnreachableError."""
        for message in self._messages(self._send(method, params), tick_s=None):
            if isinstance(message, rpc.Response):
                return message.result
        raise AssertionError("a stream of messages ends with a response or an error")

    def stream(
        self, method: str, params: Mapping[str, rpc.Json], *, tick_s: float
    ) -> Iterator[rpc.Notification | rpc.Response | None]:
        """Notifications as they come, None after each `tick_s` of silence, and the response as the last item."""
        return self._messages(self._send(method, params), tick_s=tick_s)

    def _send(self, method: str, params: Mapping[str, rpc.Json]) -> int:
        self._last_id += 1
        line = rpc.encode_request(rpc.Request(self._last_id, method, params))
        if len(line) > rpc.MAX_LINE_BYTES:
            raise InputError(
                f"the request has {len(line)} bytes, {rpc.MAX_LINE_BYTES} are allowed", "ask for less at once"
            )
        try:
            self._sock.settimeout(self._timeout_s)
            self._sock.sendall(line)
        except BrokenPipeError:
            pass  # the daemon closed first: its reason, if it gave one, is still to be read
        except OSError as error:
            raise _gone(self._path, str(error)) from error
        return self._last_id

    def _messages(self, request: int, *, tick_s: float | None) -> Iterator[rpc.Notification | rpc.Response | None]:
        deadline_s = time.monotonic() + self._timeout_s
        while True:
            line = self._line(tick_s or max(deadline_s - time.monotonic(), 0.001))
            if line is None and tick_s is None:
                raise UnreachableError(
                    f"agentd at {self._path} did not answer within {self._timeout_s:g} s", "journalctl -t agentd -n 50"
                )
            message = None if line is None else self._decoded(line)
            if isinstance(message, rpc.Response):
                if message.failure is not None:
                    raise _raised(message.failure)
                if message.id == request:
                    yield message
                    return
            elif message is None or message.params.get("request") == request:
                yield message

    def _line(self, timeout_s: float) -> bytes | None:
        """The next line, or None when none came in time."""
        end_s = time.monotonic() + timeout_s
        while not self._waiting:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return None
            try:
                self._sock.settimeout(left_s)
                data = self._sock.recv(_RECEIVE_BYTES)
            except TimeoutError:
                return None
            except OSError as error:
                raise _gone(self._path, str(error)) from error
            if not data:
                raise _gone(self._path, "it may have been stopped")
            self._waiting += self._fed(data)
        return self._waiting.pop(0)

    def _fed(self, data: bytes) -> list[bytes]:
        try:
            return self._lines.feed(data)
        except rpc.RpcError as error:
            raise _foreign(self._path, error) from error

    def _decoded(self, line: bytes) -> rpc.Response | rpc.Notification:
        try:
            return rpc.decode_reply(line)
        except rpc.RpcError as error:
            raise _foreign(self._path, error) from error


def command(path: str, *words: str) -> str:
    """A command line for the daemon at `path`, to be typed as it stands."""
    socket_option = [] if path == DEFAULT_SOCKET else ["--socket", path]
    return shlex.join(["agentd", *socket_option, *words])


def _connected(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(CONNECT_TIMEOUT_S)
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise _unreachable(path, error) from error
    return sock


def _unreachable(path: str, error: OSError) -> AaosError:
    if isinstance(error, PermissionError):
        return UnreachableError(f"you may not speak to agentd at {path}", _way_in(path))
    if isinstance(error, FileNotFoundError | ConnectionRefusedError) or error.errno in (errno.ENOTDIR, errno.ENOTSOCK):
        return UnreachableError(f"no agentd answers at {path}", f"sudo {command(path, 'run')}")
    if error.errno is None:  # the address itself: longer than sockaddr_un takes
        return InputError(f"--socket {path[:80]}: {error}", "name a socket path of at most 107 bytes")
    return UnreachableError(f"agentd at {path}: {error.strerror or error}", "journalctl -t agentd -n 50")


def _way_in(path: str) -> str:
    """Root's way, and the group that may speak: the socket's, or its directory's where that hides the socket."""
    for place in (path, os.path.dirname(path)):
        try:
            group = os.stat(place).st_gid
            if group != 0:
                name = grp.getgrgid(group).gr_name
                return f"run the command with sudo, or: sudo usermod -aG {name} $USER  (then log in again)"
        except (OSError, KeyError):
            continue
    return "run the command with sudo"


def _raised(failure: rpc.Failure) -> AaosError:
    if failure.code == rpc.AAOS_ERROR:
        return failure.to_error()
    return AaosError(
        f"agentd did not take the request: {failure.message}", "agentd version  (client and daemon may differ)"
    )


def _gone(path: str, reason: str) -> UnreachableError:
    return UnreachableError(f"agentd at {path} closed the connection: {reason}", command(path, "doctor"))


def _foreign(path: str, error: rpc.RpcError) -> UnreachableError:
    return UnreachableError(
        f"what answers at {path} is not agentd: {error.message}", "name agentd's socket with --socket PATH"
    )
