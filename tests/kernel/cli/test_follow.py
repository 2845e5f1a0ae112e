"""Submitting and watching: what is asked, what is shown, what Ctrl-C does."""

import json
import signal
import subprocess
import time
from pathlib import Path

from aaos.core import rpc
from aaos.core.errors import ExitCode
from tests.kernel.cli.scripted import AGENTD, CLOSE, DEADLINE_S, RUN, Lines, ScriptedDaemon, agentd, daemon, event

ACCEPTED: dict[str, rpc.Json] = {
    "run": "r-abc",
    "envelope": ["file_read: /etc/motd"],
    "plan": {"shape": "summarise", "subtasks": [{"id": "s1", "role": "analyzer", "inputs": []}]},
}


def watched(request: rpc.Request) -> Lines:
    if request.method == "submit":
        yield rpc.encode_result(request.id, ACCEPTED)
        return
    fields: dict[str, rpc.Json] = {"tool": "file_read", "path": "/etc/motd", "duration_ms": 0.4}
    yield event(request, "tool.done", fields)
    yield event(request, "file.written", {"path": "/out/x.md", "size_bytes": 12})
    yield rpc.encode_result(request.id, RUN)


def endless(request: rpc.Request) -> Lines:
    if request.method == "submit":
        yield rpc.encode_result(request.id, ACCEPTED)
    elif request.method == "stop":
        yield rpc.encode_result(request.id, {"run": "r-abc", "state": "cancelled"})
    else:
        yield event(request, "subtask.started", {})


def test_submit_echoes_streams_and_ends_with_the_answer(tmp_path: Path) -> None:
    with daemon(tmp_path, watched) as scripted:
        result = agentd(scripted, "submit", "summarise /etc/motd", "--read", "/etc/motd")
    assert result.stdout.splitlines() == [
        "run r-abc",
        "  file_read: /etc/motd",
        "plan: summarise, 1 subtask",
        "  s1  analyzer",
        "[worker] s1 file_read /etc/motd  0.4 ms",
        "[broker] s1 wrote /out/x.md  12 bytes",
        "r-abc completed in 1.0 s",
        "| the answer",
        "wrote /out/x.md  12 bytes",
    ]
    assert (result.returncode, result.stderr) == (0, "")
    submit, watch = scripted.requests
    assert (submit.method, submit.params["read"]) == ("submit", ["/etc/motd"])
    assert (watch.method, watch.params) == ("watch", {"run": "r-abc", "after_seq": 0})


def test_submit_with_json_is_documents_only(tmp_path: Path) -> None:
    with daemon(tmp_path, watched) as scripted:
        result = agentd(scripted, "submit", "g", "--json")
    accepted, *events, run = map(json.loads, result.stdout.splitlines())
    assert (accepted, run) == (ACCEPTED, RUN)
    assert [item["kind"] for item in events] == ["tool.done", "file.written"]
    assert result.stderr == ""


def test_submit_detached_prints_the_id_alone(tmp_path: Path) -> None:
    with daemon(tmp_path, watched) as scripted:
        result = agentd(scripted, "submit", "g", "--detach")
    assert result.stdout == "r-abc\n"
    assert f"agentd --socket {scripted.path} logs -f r-abc" in result.stderr
    assert [request.method for request in scripted.requests] == ["submit"]


def test_a_lost_daemon_is_told_with_the_way_back_to_the_run(tmp_path: Path) -> None:
    """OPS-5, BRK-8: the run goes on under the next daemon, at the same socket."""

    def script(request: rpc.Request) -> Lines:
        yield rpc.encode_result(request.id, ACCEPTED) if request.method == "submit" else CLOSE

    with daemon(tmp_path, script) as scripted:
        result = agentd(scripted, "submit", "g")
    assert result.returncode == ExitCode.UNREACHABLE
    assert "closed the connection" in result.stderr
    assert f"agentd --socket {scripted.path} logs -f r-abc" in result.stderr


def test_ctrl_c_once_detaches(tmp_path: Path) -> None:
    with daemon(tmp_path, endless) as scripted:
        process = _started(scripted)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == ExitCode.OK
    assert f"agentd --socket {scripted.path} logs -f r-abc" in err
    assert "stop" not in [request.method for request in scripted.requests]
    assert "Traceback" not in out + err


def test_ctrl_c_twice_stops_the_run(tmp_path: Path) -> None:
    with daemon(tmp_path, endless) as scripted:
        process = _started(scripted)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        for line in process.stderr:
            if "Ctrl-C again" in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == ExitCode.CANCELLED
    assert "stopped r-abc" in err
    assert [request.method for request in scripted.requests] == ["submit", "watch", "stop"]


def _started(scripted: ScriptedDaemon) -> subprocess.Popen[str]:
    """As at a terminal: what a shell starts in the background ignores SIGINT, and so do its children (signal(7))."""
    command = ["env", "--default-signal=INT", *AGENTD, "--socket", scripted.path, "submit", "goal"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + DEADLINE_S
    while len(scripted.requests) < 2 and time.monotonic() < deadline_s:
        scripted.got_request.wait(0.05)
    return process
