"""The worker's own client and the example agent, against the real gate over a real socket."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from aaos.core.errors import AaosError
from aaos.core.ids import CallId
from aaos.core.ports import CallState, Origin
from aaos.tools.caller import CallRequest
from aaos.tools.gate import Permit
from tests.unit.tools.scene import AGENT, Scene
from worker import abi, transport
from worker.user.client import Abi, Asked, RefusedError, StoppedError

ROOT = Path(__file__).parents[2]
Handle = Callable[[abi.FromWorker], tuple[abi.ToWorker, Sequence[int]] | None]


class Daemon:
    """The other end: a thread that answers each frame by `handle`; what it got is in `frames`."""

    def __init__(self, handle: Handle, *, at_once: int = 4) -> None:
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.frames: list[abi.FromWorker] = []
        self._handle = handle
        self._theirs = theirs
        params = {"reads": ["/data/f"]}
        start = abi.Start(abi.VERSION, AGENT, "goal", params, ("echo",), (), at_once)
        transport.send(theirs, start)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                frame, _ = transport.receive(self._theirs, abi.FROM_WORKER)
            except (transport.ClosedError, ConnectionResetError):
                return
            self.frames.append(frame)
            answer = self._handle(frame)
            if answer is not None:
                transport.send(self._theirs, *answer)

    def close(self) -> None:
        self.sock.close()
        self._thread.join()
        self._theirs.close()


@pytest.fixture
def made() -> Iterator[list[Daemon]]:
    daemons: list[Daemon] = []
    yield daemons
    for daemon in daemons:
        daemon.close()


def through_the_gate(scene: Scene) -> Handle:
    """A daemon that has only a gate."""

    def handle(frame: abi.FromWorker) -> tuple[abi.ToWorker, Sequence[int]] | None:
        match frame:
            case abi.ToolCall():
                call = CallRequest(CallId(f"{AGENT}-0-{frame.id}"), frame.tool, frame.args, Origin.CODE, 0)
                try:
                    granted = scene.gate.request(scene.caller, call)
                except AaosError as error:
                    return abi.Failure(frame.id, error.code, error.message, error.remedy), ()
                assert isinstance(granted, Permit)
                return abi.Reply(frame.id, granted.value), granted.fds
            case abi.ToolDone():
                result = scene.settled(scene.gate.done(scene.caller, frame))
                if frame.quiet:
                    return None
                value = {"text": result.text, "ok": result.ok, "truncated": result.truncated}
                return abi.Reply(frame.id, value), ()
            case _:
                return None

    return handle


def test_calls_run_on_what_the_permits_bring(tmp_path: Path, made: list[Daemon]) -> None:
    (tmp_path / "f").write_text("one\ntwo\n" * 50_000)
    scene = Scene(tmp_path)
    made.append(Daemon(through_the_gate(scene)))
    before = len(os.listdir("/proc/self/fd"))
    session = Abi(made[0].sock)
    assert session.start().goal == "goal"
    assert session.call("echo", {"text": "hä\n"}).text == "hä\n"
    assert session.call("file_write", {"path": f"{tmp_path}/out", "content": "x\n"}).ok
    assert session.call("file_edit", {"path": f"{tmp_path}/out", "old": "x", "new": "y"}).ok
    assert session.call("file_read", {"path": f"{tmp_path}/out"}).text == "y\n"
    assert (
        len(session.call("file_read", {"path": f"{tmp_path}/f", "limit": 1_000_000, "max_bytes": 300_000}).text)
        > 299_000
    )
    refused = session.call("file_read", {"path": "/etc/shadow"})
    assert (refused.ok, refused.code) == (False, "denied")
    assert "--read /etc/shadow" in refused.text
    assert len(os.listdir("/proc/self/fd")) == before, "an fd was left open"
    quiet = [frame.quiet for frame in made[0].frames if isinstance(frame, abi.ToolDone)]
    assert quiet == [True, False, False, True, True], "only for what agentd does itself one waits"
    assert all(row.state in (CallState.PERMITTED, CallState.DENIED) for row in scene.ledger.opened.values())
    assert scene.ledger.opened.keys() == scene.ledger.settled.keys()


def test_many_calls_keep_to_the_credits_and_to_their_order(made: list[Daemon]) -> None:
    """BRK-9"""
    waiting: list[int] = []
    most = [0]

    def handle(frame: abi.FromWorker) -> tuple[abi.ToWorker, Sequence[int]] | None:
        assert isinstance(frame, abi.ToolCall)
        waiting.append(frame.id)
        most[0] = max(most[0], len(waiting))
        if len(waiting) < 3 and frame.args["n"] < 20:
            return None
        while len(waiting) > 1:  # the last one first
            request = waiting.pop()
            transport.send(made[0]._theirs, abi.Reply(request, {"text": str(request), "ok": True, "truncated": False}))
        request = waiting.pop()
        return abi.Reply(request, {"text": str(request), "ok": True, "truncated": False}), ()

    made.append(Daemon(handle, at_once=3))
    session = Abi(made[0].sock)
    session.start()
    results = session.call_many([Asked("echo", {"n": n}) for n in range(21)])
    assert [result.text for result in results] == [str(n) for n in range(1, 22)]
    assert most[0] == 3


def test_a_result_that_no_frame_can_carry_is_an_error_of_the_call(made: list[Daemon]) -> None:
    fd = os.memfd_create("test")
    os.write(fd, b"\x01" * 900_000)
    args = {"offset": None, "limit": 1, "byte_offset": 0, "numbered": False, "encoding": "utf-8", "max_bytes": 900_000}
    files = [{"path": "/f", "use": "read", "fd": 0}]
    permit = {"permit": "p", "tool": "file_read", "args": args, "files": files, "limit_bytes": 900_000}

    def handle(frame: abi.FromWorker) -> tuple[abi.ToWorker, Sequence[int]] | None:
        if isinstance(frame, abi.ToolCall):
            return abi.Reply(frame.id, permit), (fd,)
        assert isinstance(frame, abi.ToolDone)
        assert frame.quiet
        return None

    made.append(Daemon(handle))
    session = Abi(made[0].sock)
    session.start()
    result = session.call("file_read", {"path": "/f"})
    assert not result.ok
    assert "over the limit" in result.text
    os.close(fd)


def test_a_report_that_came_too_fast_disturbs_no_later_answer(made: list[Daemon]) -> None:
    permit = {"permit": "p", "tool": "echo", "args": {"text": "x"}, "files": [], "limit_bytes": 100}

    def handle(frame: abi.FromWorker) -> tuple[abi.ToWorker, Sequence[int]] | None:
        match frame:
            case abi.ToolCall():
                return abi.Reply(frame.id, permit), ()
            case abi.ToolDone():
                return abi.Failure(frame.id, "busy", "too many requests"), ()
            case abi.ModelComplete():
                return abi.Reply(frame.id, {"done": True}), ()
            case _:
                return None

    made.append(Daemon(handle))
    session = Abi(made[0].sock)
    session.start()
    assert [session.call("echo", {"text": "x"}).text for _ in range(3)] == ["x"] * 3
    assert session.complete() == {"done": True}


def test_refusals_stops_and_words(made: list[Daemon]) -> None:
    def handle(frame: abi.FromWorker) -> tuple[abi.ToWorker, Sequence[int]] | None:
        match frame:
            case abi.Checkpoint():
                return abi.Reply(frame.id, {}), ()
            case abi.ModelComplete():
                return abi.Failure(frame.id, "limit", "no more turns", "submit again"), ()
            case abi.ToolCall():
                return abi.Stop("enough"), ()
            case _:
                return None

    made.append(Daemon(handle))
    session = Abi(made[0].sock)
    session.start()
    session.checkpoint("state")
    session.log("w\0rds \ud800 " + "ü" * 5_000)
    with pytest.raises(RefusedError) as refused:
        session.complete()
    assert (refused.value.code, refused.value.remedy) == ("limit", "submit again")
    with pytest.raises(StoppedError):
        session.call("echo", {})
    session.finish("bye\0")
    made[0].close()
    log = made[0].frames[1]
    assert isinstance(log, abi.Log)
    assert len(log.text.encode()) <= abi.LOG_BYTES
    assert made[0].frames[-1] == abi.Finish(ok=True, text="bye\ufffd")


def run_example(scene: Scene, *paths: str) -> abi.Finish:
    """examples/agent.py as a process of its own, with its session as fd 3."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    become = (
        "import os,sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.executable, [sys.executable, '-I', sys.argv[2]])"
    )
    command = [sys.executable, "-c", become, str(theirs.fileno()), str(ROOT / "examples" / "agent.py")]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        ours.settimeout(20)
        transport.send(
            ours, abi.Start(abi.VERSION, AGENT, "g", {"reads": list(paths)} if paths else {}, ("file_read",), (), 1)
        )
        handle = through_the_gate(scene)
        while True:
            frame, _ = transport.receive(ours, abi.FROM_WORKER)
            if isinstance(frame, abi.Finish):
                break
            answer = handle(frame)
            assert answer is not None
            transport.send(ours, *answer)
        assert process.wait(20) == 0
    return frame


def test_the_example_agent_speaks_the_abi(tmp_path: Path) -> None:
    """BRK-1: forty lines of plain sockets are an agent."""
    (tmp_path / "f").write_text("line\n" * 321)
    scene = Scene(tmp_path)
    assert run_example(scene, f"{tmp_path}/f") == abi.Finish(ok=True, text=f"321 lines in {tmp_path}/f")
    refused = run_example(Scene(tmp_path), "/etc/shadow")
    assert not refused.ok
    assert "--read /etc/shadow" in refused.text
    assert run_example(scene) == abi.Finish(ok=False, text="no file was granted: add --read FILE")


def test_the_example_agent_uses_none_of_our_modules() -> None:
    text = (ROOT / "examples" / "agent.py").read_text()
    assert [line for line in text.splitlines() if line.startswith(("import", "from"))] == [
        "import json",
        "import os",
        "import socket",
    ]
    assert len(text.splitlines()) <= 45
