"""Everything that workers do in good faith, played against a scripted agentd, under a filter that the test chooses.

Invariant: the worker is forked by the product's zygote from the product's policy; only the filter and the daemon's end
of the session are the test's. What came of it is a value, so that two filters can be compared.
"""

import asyncio
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from aaos.core.config import Settings
from aaos.core.layers import ALL_LAYERS
from aaos.core.ports import Root
from aaos.sandbox.control import control_paths
from aaos.sandbox.policy import Covered, parked_policy, plan_mounts
from aaos.sandbox.session import reap
from aaos.sandbox.trees import detach_tree
from aaos.sandbox.zygote import Zygote
from aaos.tools.catalog import CATALOG
from tests.kernel.harness import HERE, REDUCED, loaded_filters, start_frame
from worker import abi, transport
from worker.abi import Json

DEADLINE_S = 20.0
HOST_ID = 1_900_000_000
ORDINARY = (HERE / "programs" / "ordinary.py").read_bytes()
POLL = "7"  # asm/unistd_64.h
BIG = 200_000


Change = Callable[[abi.Policy], abi.Policy]


@dataclass(frozen=True, slots=True)
class Asked:
    """A tool call of the scripted model, and the files that its permit hands over: use and path, mounted or opened."""

    tool: str
    args: Mapping[str, Json]
    files: tuple[tuple[str, str, bool], ...] = ()


async def conform(zygote: Zygote, program: bytes, root: Root) -> list[str]:
    """What the loop with every tool, and the ordinary program, came to under the filter `program`."""
    return [await play(zygote, program, root, entry=entry) for entry in ("loop", "program")]


async def play(
    zygote: Zygote, program: bytes, root: Root, *, entry: str, change: Change = lambda policy: policy
) -> str:
    """What one worker came to, and the status with which it ended. Raises AaosError when there was none."""
    policy = change(_policy(root, entry))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours), closing(theirs), ExitStack() as opened:
        fds = [transport.sealed_memfd(program)]
        if "cgroup" in policy.layers:
            fds.append(os.memfd_create("cgroup.procs"))
        for fd in fds:
            opened.callback(os.close, fd)
        forked = await zygote.fork(replace(policy, agent="", entry="", mounts=()), [theirs.fileno(), *fds])
        theirs.close()
        try:
            _assign(ours, forked.pid, policy, root)
            ours.settimeout(DEADLINE_S)
            said = await asyncio.to_thread(_converse, ours, forked.pid, Path(root.path), entry)
            ended = await asyncio.to_thread(os.waitid, os.P_PIDFD, forked.pidfd, os.WEXITED | os.WNOWAIT)
            return f"{said}, status {ended.si_status if ended else None}"
        finally:
            await reap(forked.pidfd)


def _assign(sock: socket.socket, pid: int, policy: abi.Policy, root: Root) -> None:
    userns = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    fds = [detach_tree(root.fd, policy.mounts[0], userns_fd=userns), transport.sealed_memfd(ORDINARY)]
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it died of its filter
            transport.send(sock, abi.Assign(policy.entry, abi.mounts_to_json(policy.mounts), program=True), fds)
    finally:
        for fd in (userns, *fds):
            os.close(fd)


def _policy(root: Root, entry: str) -> abi.Policy:
    owner, mounts = plan_mounts([Covered(root, control_paths(root))])
    parked = parked_policy(owner, host_id=HOST_ID, layers=ALL_LAYERS - REDUCED, settings=Settings())
    return replace(parked, agent="a-1", entry=entry, mounts=mounts)


def _converse(sock: socket.socket, pid: int, directory: Path, entry: str) -> str:
    try:
        frame, _ = transport.receive(sock, (abi.Ready, abi.Log))
        if isinstance(frame, abi.Log):
            return frame.text
        converse = _play_model if entry == "loop" else _play_program
        return converse(sock, pid, directory)
    except (transport.ClosedError, ConnectionError, ProcessLookupError):
        return "the worker died"


# --- the loop and its tools ----------------------------------------------------------------------------------------


def _turn(directory: Path) -> list[Asked]:
    path, text, new = str(directory), str(directory / "text"), str(directory / "buffer")
    return [
        Asked("echo", {"text": "x"}),
        Asked("file_read", {"path": text, "offset": 2, "numbered": True}, (("read", text, False),)),
        Asked("file_read", {"path": text, "encoding": "base64", "max_bytes": BIG}, (("read", text, False),)),
        Asked("file_read_many", {"paths": [text, text]}, (("read", text, False), ("read", text, False))),
        Asked("file_write", {"path": new, "content": "y" * BIG}, (("write", new, False),)),
        Asked("file_edit", {"path": new, "old": "word 7,", "new": "z"}, (("read", text, False), ("write", new, False))),
        Asked("file_list", {"path": path}, (("root", path, True),)),
        Asked("glob", {"path": path, "pattern": "**/t*"}, (("root", path, True),)),
        Asked("grep", {"path": path, "pattern": "wor[dx] 7.?,"}, (("root", path, True),)),
        Asked("grep", {"path": text, "pattern": "word 1", "fixed": True}, (("read", text, False),)),
        Asked("file_read", {"path": text}),  # a permit without its file: the tool's fault is its result
    ]


def _play_model(sock: socket.socket, pid: int, directory: Path) -> str:
    """Two turns: every tool, then an answer that is longer than a frame; its text comes back in `finish`."""
    turn = _turn(directory)
    calls = [{"call": str(n), "tool": asked.tool, "args": asked.args} for n, asked in enumerate(turn)]
    answers = [{"text": "", "calls": calls, "done": False}, {"text": "a" * BIG, "calls": [], "done": True}]
    heard: list[str] = []
    transport.send(sock, start_frame())
    while True:
        frame, _ = transport.receive(sock, abi.FROM_WORKER)
        match frame:
            case abi.ModelComplete():
                transport.send(sock, abi.Reply(frame.id, answers.pop(0)))
            case abi.ToolCall():
                _permit(sock, frame, turn[int(frame.call or 0)])
            case abi.ToolDone():
                heard.append(f"{frame.permit} {frame.ok} {len(frame.text)}")
                value = {"text": frame.text, "ok": frame.ok, "truncated": frame.truncated}
                if not frame.quiet:
                    transport.send(sock, abi.Reply(frame.id, value))
            case abi.Finish():
                return f"{heard} {len(frame.text)} {_end(sock)}"
            case _:
                return f"unexpected: {frame}"


def _permit(sock: socket.socket, frame: abi.ToolCall, asked: Asked) -> None:
    normal = CATALOG[asked.tool].input.model_validate(dict(asked.args)).model_dump()
    files: list[dict[str, Json]] = []
    fds: list[int] = []
    for use, path, is_mounted in asked.files:
        files.append({"path": path, "use": use, "fd": -1 if is_mounted else len(fds)})
        if not is_mounted:
            fds.append(os.memfd_create("buffer") if use == "write" else os.open(path, os.O_RDONLY))
    value = {"permit": frame.tool, "tool": frame.tool, "args": normal, "files": files, "limit_bytes": 4 * BIG}
    try:
        transport.send(sock, abi.Reply(frame.id, value), fds)
    finally:
        for fd in fds:
            os.close(fd)


# --- the program ---------------------------------------------------------------------------------------------------


def _play_program(sock: socket.socket, pid: int, directory: Path) -> str:
    """Interrupts the program's two waits: by looking at it as attestation does, and by a signal."""
    transport.send(sock, start_frame(str(directory)))
    _hear_waiting(sock, pid)
    looked = len(loaded_filters(pid))
    transport.send(sock, abi.Stop("wake up"))
    _hear_waiting(sock, pid)
    os.kill(pid, signal.SIGINT)
    frame, _ = transport.receive(sock, (abi.Finish,))
    return f"{looked} {json.loads(frame.text)} {_end(sock)}"


def _hear_waiting(sock: socket.socket, pid: int) -> None:
    """Hear that the program waits, and see that it does. Raises ClosedError when it died instead."""
    transport.receive(sock, (abi.Log,))
    until_s = time.monotonic() + DEADLINE_S
    while not _is_polling(pid):
        if time.monotonic() > until_s or _is_closed(sock):
            raise transport.ClosedError
        time.sleep(0.001)


def _is_polling(pid: int) -> bool:
    """Whether a process sleeps in poll(2); one that died on its way there shows the number, too."""
    is_in_poll = Path(f"/proc/{pid}/syscall").read_text().startswith(f"{POLL} ")
    return is_in_poll and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def _is_closed(sock: socket.socket) -> bool:
    readable, _, _ = select.select([sock], [], [], 0)
    return bool(readable) and not sock.recv(1, socket.MSG_PEEK)


def _end(sock: socket.socket) -> str:
    try:
        transport.receive(sock, abi.FROM_WORKER)
    except transport.ClosedError:
        return "closed"
    return "more"
