"""The client's socket: every failure is an error with a remedy, every wait ends."""

import os
import shutil
import socket
import threading
from pathlib import Path

import pytest

from aaos.cli.client import DEFAULT_SOCKET, Client
from aaos.core import rpc
from aaos.core.errors import AaosError, BusyError, DeniedError, InputError, UnreachableError
from tests.kernel.cli.scripted import CLOSE, Lines, daemon, event, results


def test_a_result_comes_back(tmp_path: Path) -> None:
    with daemon(tmp_path, results({"version": {"version": "1"}})) as scripted, Client(scripted.path) as client:
        assert client.call("version", {"a": 1}) == {"version": "1"}
        assert client.call("version", {}) == {"version": "1"}
    assert [(request.id, request.params) for request in scripted.requests] == [(1, {"a": 1}), (2, {})]


def test_an_error_comes_back_as_its_own_class(tmp_path: Path) -> None:
    def script(request: rpc.Request) -> Lines:
        yield rpc.encode_error(request.id, DeniedError("no", "--read /x"))

    with daemon(tmp_path, script) as scripted, Client(scripted.path) as client:
        with pytest.raises(DeniedError) as caught:
            client.call("submit", {})
    assert (caught.value.message, caught.value.remedy) == ("no", "--read /x")


def test_a_refusal_before_any_request_is_read(tmp_path: Path) -> None:
    def script(request: rpc.Request) -> Lines:
        yield rpc.encode_error(None, BusyError("too many", "wait"))
        yield CLOSE

    with daemon(tmp_path, script) as scripted, Client(scripted.path) as client:
        with pytest.raises(BusyError):
            client.call("list", {})


def test_an_error_of_the_protocol_points_at_versions(tmp_path: Path) -> None:
    def script(request: rpc.Request) -> Lines:
        yield rpc.encode_error(request.id, rpc.RpcError(rpc.METHOD_NOT_FOUND, "no method 'x'"))

    with daemon(tmp_path, script) as scripted, Client(scripted.path) as client:
        with pytest.raises(AaosError, match="no method 'x'") as caught:
            client.call("x", {})
    assert "agentd version" in caught.value.remedy


def test_a_stream_gives_events_ticks_and_the_response(tmp_path: Path) -> None:
    def script(request: rpc.Request) -> Lines:
        yield event(request, "tool.done", {}, seq=1)
        yield event(rpc.Request(99, "watch", {}), "tool.done", {}, seq=2)  # of a stream that nobody opened
        yield b'{"jsonrpc":"2.0","method":"event","params":'
        ticked.acquire()
        yield b'{"request":1,"seq":3}}\n'
        yield rpc.encode_result(request.id, {"state": "completed"})

    ticked = threading.Semaphore(0)
    seen: list[object] = []
    with daemon(tmp_path, script) as scripted, Client(scripted.path) as client:
        for message in client.stream("watch", {}, tick_s=0.05):
            if message is None:
                ticked.release()
            seen.append(message.params["seq"] if isinstance(message, rpc.Notification) else type(message).__name__)
    assert [item for item in seen if item != "NoneType"] == [1, 3, "Response"]
    assert "NoneType" in seen


def test_a_silent_daemon_is_given_up(tmp_path: Path) -> None:
    with daemon(tmp_path, lambda _request: iter(())) as scripted, Client(scripted.path, timeout_s=0.1) as client:
        with pytest.raises(UnreachableError, match=r"did not answer within 0\.1 s"):
            client.call("list", {})


@pytest.mark.parametrize(
    "line",
    [b"HTTP/1.1 400 Bad Request\n", b"\xff\n", b"[]\n", b'{"jsonrpc":"2.0","id":1}\n', b"x" * (rpc.MAX_LINE_BYTES + 2)],
)
def test_what_is_no_agentd_is_named_so(tmp_path: Path, line: bytes) -> None:
    with daemon(tmp_path, lambda _request: iter((line,))) as scripted, Client(scripted.path) as client:
        with pytest.raises(UnreachableError, match="is not agentd"):
            client.call("list", {})


def test_a_daemon_that_hangs_up_is_an_error(tmp_path: Path) -> None:
    with daemon(tmp_path, lambda _request: iter((CLOSE,))) as scripted, Client(scripted.path) as client:
        with pytest.raises(UnreachableError, match="closed the connection") as caught:
            client.call("list", {})
    assert caught.value.remedy == f"agentd --socket {scripted.path} doctor"


def test_no_socket_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError) as caught:
        Client(f"{tmp_path}/none")
    assert caught.value.remedy == f"sudo agentd --socket {tmp_path}/none run"


def test_a_stale_socket_says_how_to_start(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{tmp_path}/s")
    with pytest.raises(UnreachableError, match="no agentd answers"):
        Client(f"{tmp_path}/s")


@pytest.mark.parametrize("path", ["file", "directory", "file/below", "x" * 200, "nul\0"])
def test_what_is_no_socket_is_an_error(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    with pytest.raises((UnreachableError, InputError)) as caught:
        Client(f"{tmp_path}/{path}")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("group", "hidden", "way"),
    [("daemon", False, "usermod -aG daemon"), ("daemon", True, "usermod -aG daemon"), ("root", False, "with sudo")],
)
def test_a_socket_of_others_names_its_group(tmp_path: Path, group: str, hidden: bool, way: str) -> None:
    """H-API-01: the mode of the socket, or of its directory, is the first door; nobody is sent into the group root."""
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    with daemon(tmp_path, results({})) as scripted:
        for place, mode in ((Path(scripted.path), 0o660), (tmp_path, 0o750 if hidden else 0o755)):
            shutil.chown(place, group=group)
            place.chmod(mode)
        child = os.fork()
        if child == 0:
            _as_nobody(scripted.path, way)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def _as_nobody(path: str, way: str) -> None:
    os.setgroups([])
    os.setresgid(65_534, 65_534, 65_534)
    os.setresuid(65_534, 65_534, 65_534)
    try:
        Client(path)
    except UnreachableError as error:
        is_right = error.message.startswith("you may not speak") and way in error.remedy and "root" not in error.remedy
        os._exit(0 if is_right else 1)
    os._exit(2)


def test_a_request_over_the_limit_is_not_sent(tmp_path: Path) -> None:
    with daemon(tmp_path, results({})) as scripted, Client(scripted.path) as client:
        with pytest.raises(InputError, match="1048576 are allowed"):
            client.call("submit", {"goal": "x" * rpc.MAX_LINE_BYTES})
    assert scripted.requests == []


def test_the_default_socket_is_the_documented_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operator-protocol.md").read_text()
    assert f"`{DEFAULT_SOCKET}`" in page
