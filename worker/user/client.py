"""The calls of the ABI as functions: what an agent's code uses in place of system calls.

Invariant: at most `credits` calls are open, and each answer goes to the request that asked for it. Single-threaded and
blocking: agentd never blocks on a send, so a blocking client cannot lock with it.
"""

import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker import abi, transport
from worker.abi import Json
from worker.linger import Linger
from worker.user import toolbox

LOOK_S = 0.000_5  # agentd takes half of it for a permit: a row that is committed, a file that is opened


class StoppedError(Exception):
    """agentd said `stop`; the process is killed shortly after."""


class RefusedError(Exception):
    """A request was refused: `code` is stable, `remedy` says what would allow it."""

    def __init__(self, failure: abi.Failure) -> None:
        super().__init__(failure.message)
        self.code = failure.code
        self.message = failure.message
        self.remedy = failure.remedy


@dataclass(frozen=True, slots=True)
class Asked:
    """A tool call to make; `call` is the model's call id, None for a call of the worker's own."""

    tool: str
    args: Mapping[str, Json]
    call: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A call's recorded result; `code` is empty, or that of the refusal."""

    ok: bool
    text: str
    truncated: bool = False
    code: str = ""


@dataclass(slots=True)
class _Batch:
    """Calls under way: request id -> position in the results."""

    results: list[Result]
    waiting: dict[int, int] = field(default_factory=dict)


class Abi:
    """One session, from `start` to `finish`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._linger = Linger(LOOK_S)
        self._quiet: deque[int] = deque(maxlen=abi.MAX_OUTSTANDING)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._next_id = 0
        self._credits = 1

    def start(self) -> abi.Start:
        """Wait for what this agent is for; once, before everything else."""
        frame, _ = transport.receive(self._sock, abi.TO_WORKER)
        if not isinstance(frame, abi.Start):
            raise StoppedError(frame.reason if isinstance(frame, abi.Stop) else f"{frame.t} before start")
        self._credits = max(1, frame.credits)
        return frame

    def complete(self) -> Mapping[str, Json]:
        """The model's next answer: `text`, `calls`, `done`. Raises RefusedError."""
        return self._ask(abi.ModelComplete(self._new_id()))

    def call(self, tool: str, args: Mapping[str, Json], *, call: str | None = None) -> Result:
        """Make one tool call and wait for its recorded result; a refusal is a result that is not ok."""
        return self.call_many((Asked(tool, args, call),))[0]

    def call_many(self, asked: Iterable[Asked]) -> list[Result]:
        """Make calls, as many at a time as the credits allow; results in the order of `asked`."""
        todo = list(asked)
        batch = _Batch([Result(ok=False, text="")] * len(todo))
        position = 0
        while position < len(todo) or batch.waiting:
            if position < len(todo) and len(batch.waiting) < self._credits:
                self._send_call(todo[position], position, batch)
                position += 1
            else:
                self._take_answer(batch)
        return batch.results

    def checkpoint(self, data: str) -> None:
        """Keep up to CHECKPOINT_BYTES; they come back in `start` after a restart. Raises RefusedError."""
        self._ask(abi.Checkpoint(self._new_id(), data))

    def log(self, text: str) -> None:
        """A line for the record, cut to LOG_BYTES."""
        cut = _sendable(text).encode()[: abi.LOG_BYTES].decode("utf-8", "ignore")
        transport.send(self._sock, abi.Log(cut))

    def finish(self, text: str, *, ok: bool = True) -> None:
        """The agent is done."""
        transport.send(self._sock, abi.Finish(ok, _sendable(text)))

    def _send_call(self, asked: Asked, position: int, batch: _Batch) -> None:
        request = self._new_id()
        transport.send(self._sock, abi.ToolCall(request, asked.tool, asked.args, asked.call))
        batch.waiting[request] = position

    def _take_answer(self, batch: _Batch) -> None:
        frame, fds = self._receive()
        try:
            position = batch.waiting.pop(frame.id)
            if isinstance(frame, abi.Failure):
                remedy = f"\n{frame.remedy}" if frame.remedy else ""
                batch.results[position] = Result(ok=False, text=frame.message + remedy, code=frame.code)
            elif "permit" in frame.value:
                self._carry_out(frame.value, fds, position, batch)
            else:
                value = frame.value
                batch.results[position] = Result(value["ok"], value["text"], value["truncated"])
        finally:
            for fd in fds:
                os.close(fd)

    def _carry_out(self, permit: Mapping[str, Json], fds: list[int], position: int, batch: _Batch) -> None:
        """Do it and tell agentd. What only this side has seen is told without waiting for an answer."""
        done, request = toolbox.carry_out(permit, fds), self._new_id()
        is_quiet = all(file["use"] != "write" for file in permit["files"])
        frame = abi.ToolDone(request, permit["permit"], done.ok, _sendable(done.text), done.truncated, is_quiet)
        try:
            transport.send(self._sock, frame)
        except abi.FrameError as error:
            frame = abi.ToolDone(request, permit["permit"], ok=False, text=str(error), quiet=is_quiet)
            transport.send(self._sock, frame)
        if is_quiet:
            self._quiet.append(request)
            batch.results[position] = Result(frame.ok, frame.text, frame.truncated)
        else:
            batch.waiting[request] = position

    def _ask(self, frame: abi.ModelComplete | abi.Checkpoint) -> Mapping[str, Json]:
        transport.send(self._sock, frame)
        answer, fds = self._receive()
        for fd in fds:
            os.close(fd)
        if isinstance(answer, abi.Failure):
            raise RefusedError(answer)
        return answer.value

    def _receive(self) -> tuple[abi.Reply | abi.Failure, list[int]]:
        self._await()
        frame, fds = transport.receive(self._sock, abi.TO_WORKER)
        if isinstance(frame, abi.Failure) and frame.id in self._quiet:  # it came too fast: nobody waits for it
            return self._receive()
        if isinstance(frame, abi.Reply | abi.Failure):
            return frame, fds
        raise StoppedError(frame.reason if isinstance(frame, abi.Stop) else "a second start")

    def _await(self) -> None:
        """Wait for a frame, awake at first when answers were quick."""
        begun_s = time.monotonic()
        if not self._linger.is_worth:
            self._poll.poll()
            self._linger.slept(time.monotonic() - begun_s)
            return
        while time.monotonic() - begun_s < LOOK_S:
            if self._poll.poll(0):
                self._linger.found()
                return
        self._linger.missed()

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id


def _sendable(text: str) -> str:
    """Text that the wire format takes: no NUL, no lone surrogate."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
