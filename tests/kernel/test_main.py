"""The daemon as a process of its own, with real workers behind the wall (without cgroup v2, as the option says)."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aaos.core.errors import ExitCode

TREE = Path(__file__).parent.parent.parent
OPERATOR = 54321
START_S = 20.0


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory that everybody can reach, with settings that name this tree's roles."""
    with tempfile.TemporaryDirectory(prefix="aaos-") as name:
        path = Path(name)
        path.chmod(0o755)
        roles = f'[roles]\ndirs = ["{TREE}/etc/aaos/roles"]\n'
        (path / "agentd.toml").write_text(f'[daemon]\nsocket_group = "daemon"\n{roles}[audit]\njournal = false\n')
        yield path


def command(place: Path, *options: str) -> list[str]:
    state, sock = str(place / "state"), str(place / "run" / "s")
    config = str(place / "agentd.toml")
    return [sys.executable, "-m", "aaos.daemon", "--config", config, "--state", state, "--socket", sock, *options]


def wait_for(what: str, is_there: object) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        if callable(is_there) and is_there():
            return
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {START_S:g} s")


def is_listening(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(place / "run" / "s")) == 0


@contextmanager
def daemon(place: Path) -> Iterator[subprocess.Popen[str]]:
    """A daemon that listens; it is killed when the test did not stop it."""
    process = subprocess.Popen(command(place, "--without-layer", "cgroup"), cwd=TREE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for("the socket", lambda: is_listening(place) or process.poll() is not None)
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


class Client:
    """A blocking client of one request or stream at a time."""

    def __init__(self, place: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(30)
        self._sock.connect(str(place / "run" / "s"))
        self._lines = self._sock.makefile("rb")
        self.kinds: list[str] = []

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._sock.close()

    def ask(self, method: str, **params: object) -> dict[str, object]:
        """The response's result; the kinds of events before it are in `kinds`."""
        self.kinds = []
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self._sock.sendall(json.dumps(request).encode() + b"\n")
        while True:
            message = json.loads(self._lines.readline())
            if "method" not in message:
                assert "result" in message, message
                result: dict[str, object] = message["result"]
                return result
            self.kinds.append(message["params"]["kind"])


def as_operator(place: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Runs a client script as an ordinary member of the socket's group."""
    ids = f"os.setgroups([{os.lstat(place / 'run' / 's').st_gid}]); os.setgid({OPERATOR}); os.setuid({OPERATOR})"
    script = f"import os\nfrom tests.kernel.test_main import *\n{ids}\nplace = Path({str(place)!r})\n{code}"
    return subprocess.run(
        [sys.executable, "-c", script], cwd=TREE, capture_output=True, text=True, timeout=60, check=False
    )


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> str:
    begin_s = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - begin_s < 10
    assert process.returncode == ExitCode.OK, errors
    return errors


def test_an_ordinary_operator_gets_a_file_of_their_own(place: Path) -> None:
    """CAP-0, H-PKG-01: private input and output of the submitter, workers confined, the result at the named path."""
    home = place / "home"
    home.mkdir(mode=0o700)
    (home / "notes.txt").write_text("One.\nTwo.\nThree.\n")
    for path in (home, home / "notes.txt"):
        os.chown(path, OPERATOR, OPERATOR)
    (home / "notes.txt").chmod(0o600)
    with daemon(place) as process:
        done = as_operator(
            place,
            "with Client(place) as client:\n"
            "    goal = 'count the lines in notes.txt and write the result to count.md'\n"
            "    accepted = client.ask('submit', goal=goal, cwd=str(place / 'home'))\n"
            "    result = client.ask('watch', run=accepted['run'])\n"
            "    assert result['state'] == 'completed', result\n"
            "    assert 'agent.confined' in client.kinds\n",
        )
        assert done.returncode == 0, done.stderr
        stop(process)
    written = home / "count.md"
    assert "3" in written.read_text()
    assert (written.stat().st_uid, written.stat().st_gid) == (OPERATOR, OPERATOR)


def test_what_the_operator_may_not_read_is_refused_to_their_agents(place: Path) -> None:
    """CAP-0: neither by name nor through a directory of their own."""
    secret = place / "secret.txt"
    secret.write_text("canary\n")
    secret.chmod(0o600)
    with daemon(place) as process:
        done = as_operator(
            place,
            "with Client(place) as client:\n"
            "    accepted = client.ask('submit', goal=f'summarise {place}/secret.txt', cwd='/')\n"
            "    result = client.ask('watch', run=accepted['run'])\n"
            "    assert result['state'] == 'failed', result\n"
            "    print(result)\n",
        )
        assert done.returncode == 0, done.stderr
        assert "canary" not in done.stdout
        stop(process)


def test_layers_left_out_are_said_loudly_and_recorded(place: Path) -> None:
    """ISO-8"""
    with daemon(place) as process, Client(place) as client:
        assert client.ask("version")["missing_layers"] == ["cgroup"]
        errors = stop(process)
    assert "CONFINEMENT IS REDUCED" in errors
    assert "confinement.reduced" in (place / "state" / "audit.jsonl").read_text()


def test_the_daemon_keeps_no_core_and_is_not_dumpable(place: Path) -> None:
    """H-SEC-05"""
    with daemon(place) as process:
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
        as_other = subprocess.run(
            [sys.executable, "-c", f"import os; os.setuid({OPERATOR}); os.listdir('/proc/{process.pid}/fd')"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert "PermissionError" in as_other.stderr
        stop(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_runs_and_leaves_nothing(place: Path, number: int) -> None:
    """H-DUR-13, ISO-11, BRK-8: of its workers nothing is left, and the run goes on under the next daemon."""
    program = "import socket\ns = socket.socket(fileno=3)\nwhile True: s.recv(65536)\n"
    with daemon(place) as process:
        with Client(place) as client:
            run = client.ask("submit", goal="wait", cwd="/", program=program)["run"]
            wait_for("an agent", lambda: attested(client, run))
            stop(process, number)
        assert not (place / "run" / "s").exists()
    with daemon(place) as process, Client(place) as client:
        wait_for("an agent", lambda: attested(client, run))
        assert client.ask("stop", run=run)["state"] == "cancelled"
        stop(process)


def attested(client: Client, run: object) -> bool:
    agents = client.ask("status", run=run)["agents"]
    assert isinstance(agents, list)
    return any(agent["state"] == "running" for agent in agents)


def test_a_killed_daemon_leaves_a_run_that_its_successor_goes_on_with(place: Path) -> None:
    """H-DUR-01, H-DUR-11: what was acknowledged is there, and its workers are gone."""
    program = "import socket\ns = socket.socket(fileno=3)\nwhile True: s.recv(65536)\n"
    with daemon(place) as process:
        with Client(place) as client:
            run = client.ask("submit", goal="wait", cwd="/", program=program)["run"]
            wait_for("an agent", lambda: attested(client, run))
            attestations = client.ask("attest", run=run)["attestations"]
            assert isinstance(attestations, list)
        process.kill()
        process.wait(20)
        wait_for("the worker's end", lambda: not Path(f"/proc/{attestations[0]['pid']}").exists())
    with daemon(place) as process, Client(place) as client:
        wait_for("an agent", lambda: attested(client, run))
        again = client.ask("attest", run=run)["attestations"]
        assert isinstance(again, list)
        assert [one["agent"] for one in again] == [one["agent"] for one in attestations]
        assert client.ask("stop", run=run)["state"] == "cancelled"
        client.ask("watch", run=run)
        assert "run.resumed" in client.kinds
        stop(process)


def test_a_worker_that_has_drifted_is_ended_by_who_sees_it(place: Path) -> None:
    """ISO-9: one limit of a live worker is changed from outside, and the first look at it is its end."""
    program = "import socket\ns = socket.socket(fileno=3)\nwhile True: s.recv(65536)\n"
    with daemon(place) as process, Client(place) as client:
        run = client.ask("submit", goal="wait", cwd="/", program=program)["run"]
        wait_for("an agent", lambda: attested(client, run))
        attestations = client.ask("attest", run=run)["attestations"]
        assert isinstance(attestations, list)
        pid = attestations[0]["pid"]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (100, 100))
        with pytest.raises(AssertionError, match="Max open files is 100/100"):
            client.ask("attest", run=run)
        ended = client.ask("watch", run=run)
        assert ended["state"] == "failed"
        assert isinstance(ended["error"], dict)
        assert ended["error"]["code"] == "unconfined"
        assert client.kinds.count("agent.drifted") == 1
        assert "abi.broken" not in client.kinds
        assert not Path(f"/proc/{pid}").exists()
        stop(process)


SLEEPS = """
import socket
from worker.user.client import Abi
session = Abi(socket.socket(fileno=3))
session.start()
session.call("python_run", {"directory": PLACE, "code": "import time; time.sleep(600)"})
session.finish("done")
"""


def test_a_cell_that_has_drifted_ends_its_agent(place: Path) -> None:
    """ISO-9: one limit of a live cell is changed from outside; worker and cell are gone, and why is on record."""
    workspace = place / "workspace"
    workspace.mkdir()
    os.chown(workspace, OPERATOR, OPERATOR)
    wrappers = f'[wrappers]\ndirs = ["{TREE}/etc/aaos/wrappers"]\n'
    (place / "agentd.toml").write_text((place / "agentd.toml").read_text() + wrappers)
    options = {"cwd": "/", "read": [str(workspace)], "write": [str(workspace)], "tool": ["python_run"]}
    with daemon(place) as process, Client(place) as client:
        program = SLEEPS.replace("PLACE", repr(str(workspace)))
        run = client.ask("submit", goal="wait", program=program, **options)["run"]
        wait_for("an agent", lambda: attested(client, run))
        wait_for("a cell", lambda: len(attestations_of(client, run)) == 2)
        worker, cell = attestations_of(client, run)
        assert (worker["call"], bool(cell["call"])) == ("", True)
        resource.prlimit(int(str(cell["pid"])), resource.RLIMIT_NOFILE, (10, 10))
        with pytest.raises(AssertionError, match="Max open files is 10/10"):
            client.ask("attest", run=run)
        ended = client.ask("watch", run=run)
        assert ended["state"] == "failed"
        assert isinstance(ended["error"], dict)
        assert ended["error"]["code"] == "unconfined"
        assert (client.kinds.count("agent.drifted"), client.kinds.count("cell.ended")) == (1, 1)
        assert [pid for pid in (worker["pid"], cell["pid"]) if Path(f"/proc/{pid}").exists()] == []
        stop(process)


def attestations_of(client: Client, run: object) -> list[dict[str, object]]:
    found = client.ask("attest", run=run)["attestations"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("text", "options", "status", "said"),
    [
        ("[limits]\nmax_rums = 3\n", [], ExitCode.USAGE, "max_runs"),
        ("[daemon\n", [], ExitCode.USAGE, "not TOML"),
        ("", ["--without-layer", "cgruop"], ExitCode.USAGE, "cgroup"),
        ("", ["--frobnicate"], ExitCode.USAGE, "--frobnicate"),
    ],
)
def test_a_bad_start_is_one_message_and_its_exit_status(
    place: Path, text: str, options: list[str], status: ExitCode, said: str
) -> None:
    """OPS-5, H-API-14"""
    (place / "agentd.toml").write_text(text)
    done = subprocess.run(command(place, *options), cwd=TREE, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_layer_that_is_missing_is_refused_without_the_option(place: Path) -> None:
    """ISO-8, H-SBX-00: where this machine has all layers, the daemon starts instead."""
    process = subprocess.Popen(command(place), cwd=TREE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for("an end or a socket", lambda: process.poll() is not None or (place / "run" / "s").exists())
        if process.poll() is None:
            stop(process)
        else:
            _, errors = process.communicate(timeout=20)
            assert process.returncode == ExitCode.UNCONFINED
            assert "cgroup" in errors
            assert "try:" in errors
    finally:
        process.kill()
        process.communicate(timeout=20)


def test_the_doctor_looks_without_a_daemon(place: Path) -> None:
    """OPS-4"""
    done = subprocess.run(
        [sys.executable, "-m", "aaos.daemon", "doctor", "--json", "--config", str(place / "agentd.toml")],
        cwd=TREE, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"kernel", "roles", "disk"} <= {finding["name"] for finding in findings}
    assert all(finding["remedy"] for finding in findings if not finding["ok"])
    assert done.returncode == (ExitCode.OK if all(f["ok"] for f in findings) else ExitCode.UNCONFINED)
