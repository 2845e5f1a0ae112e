"""What runs in a worker once the wall stands: the model's turn loop, a scaffold, or a program given as source.

Everything that a program may import is imported here, in the template: behind the wall there is no file to import.
"""

import errno
import importlib
import socket
import traceback

from worker import transport
from worker.abi import LOG_BYTES
from worker.user import loop, scaffold
from worker.user.client import Abi, StoppedError

_NAMES = (
    "array", "base64", "bisect", "collections", "contextlib", "csv", "dataclasses", "datetime", "encodings.idna",
    "enum", "errno", "functools", "hashlib", "heapq", "io", "itertools", "json", "math", "operator", "os",
    "random", "re", "select", "socket", "stat", "string", "struct", "textwrap", "time", "traceback", "typing",
    "unicodedata",
)  # fmt: skip
_GONE = (errno.EPIPE, errno.ECONNRESET)
PROGRAM_MODULES = tuple(map(importlib.import_module, _NAMES))


def run(sock: socket.socket, entry: str, program: bytes) -> None:
    """Run `entry` on the session's socket until it ends; agentd going away or saying `stop` is an ordinary end."""
    try:
        if entry == "program":
            _run_program(sock, program)
            return
        abi = Abi(sock)
        start = abi.start()
        if entry == "loop":
            loop.run(abi)
        else:
            scaffold.SCAFFOLDS[entry.removeprefix("scaffold:")](abi, start)
    except (StoppedError, transport.ClosedError, BrokenPipeError, ConnectionResetError):
        return


def _run_program(sock: socket.socket, program: bytes) -> None:
    """Its own fault is told to agentd as a `finish` that is not ok, with the end of its traceback."""
    try:
        exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})  # noqa: S102  # the program is the agent
    except Exception as error:  # noqa: BLE001  # the boundary of the agent's own code
        if isinstance(error, OSError) and error.errno in _GONE:
            return
        own = error.__traceback__.tb_next if error.__traceback__ else None  # without the frame above
        text = "".join(traceback.format_exception(type(error), error, own))
        Abi(sock).finish(text[-LOG_BYTES:], ok=False)
