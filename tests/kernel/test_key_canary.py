"""A planted key, runs that use it and a provider that echoes it; then everything is searched for it.

The daemon is a process of its own with real workers behind the wall, in a mount namespace in which the journal's socket
is the test's. That the search finds what is there is shown on the daemon's own memory, the one place where the key is.
"""

import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.kernel.test_main import TREE, Client, command, daemon, is_listening, wait_for

KEY = 'sk-canary/7f3+e9"b1=d5c8a2&f6'
SCRIPT = """
steps:
  - {{when: {{goal: echo.txt}}, echo_key: true}}
  - {{when: {{goal: hang.txt}}, hang: first-token, text: never}}
  - {{when: {{goal: good.txt, turn: 1}}, calls: [{{tool: file_read, args: {{path: "{place}/good.txt"}}}}]}}
  - {{when: {{goal: good.txt}}, text: a summary}}
"""
TABLE = """
providers: {{cloud: {{kind: {kind}, url: "{url}/v1", key: canary}}}}
models: {{big: {{provider: cloud, model: scripted, tier: T1}}}}
"""
AS_THE_JOURNAL = """
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal
mount --bind "$1" /run/systemd/journal
shift
exec "$@"
"""


def forms() -> dict[str, bytes]:
    """The key as it could be written down somewhere."""
    raw = KEY.encode()
    found = {"raw": raw, "json": json.dumps(KEY)[1:-1].encode(), "percent": quote(KEY, safe="").encode()}
    found |= {"hex": raw.hex().encode(), "slashes": KEY.replace("/", "\\/").encode()}
    found |= {"utf-16": KEY.encode("utf-16-le"), "repr": repr(KEY)[1:-1].encode(), "part": raw[8:20]}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw).rstrip(b"=")
        found[f"base64 at {shift}"] = coded[4:-2]
    return found


def leaks(data: bytes) -> list[str]:
    """Which forms of the key are in it."""
    return [name for name, form in forms().items() if form in data]


@dataclass
class Journal:
    """A socket in the place of journald's, and what came."""

    directory: Path
    heard: bytearray = field(default_factory=bytearray)

    @contextmanager
    def listening(self) -> Iterator[None]:
        self.directory.mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(str(self.directory / "socket"))
            receiver.settimeout(0.2)
            is_over = threading.Event()
            thread = threading.Thread(target=self._listen, args=(receiver, is_over))
            thread.start()
            try:
                yield
            finally:
                is_over.set()
                thread.join()

    def _listen(self, receiver: socket.socket, is_over: threading.Event) -> None:
        while not is_over.is_set():
            with contextlib.suppress(TimeoutError):
                data, fds, *_ = socket.recv_fds(receiver, 2**20, 4)
                self.heard += data
                for fd in fds:  # a large entry travels as a memfd
                    self.heard += os.pread(fd, 2**24, 0)
                    os.close(fd)


@pytest.fixture
def place() -> Iterator[Path]:
    """Files, settings, the key, roles whose analyzer asks a model."""
    with tempfile.TemporaryDirectory(prefix="aaos-") as name:
        here = Path(name)
        here.chmod(0o755)
        for file in ("good.txt", "echo.txt", "hang.txt"):
            (here / file).write_text(f"The contents of {file}.\n")
        (here / "keys").mkdir(mode=0o700)
        (here / "keys" / "canary").write_text(f"{KEY}\n")
        (here / "keys" / "canary").chmod(0o600)
        (here / "roles").mkdir()
        analyzer = (TREE / "etc" / "aaos" / "roles" / "analyzer.yaml").read_text()
        asking, count = re.subn(r"^tiers: .*$", "tiers: [T1]", analyzer, flags=re.MULTILINE)
        assert count == 1
        (here / "roles" / "analyzer.yaml").write_text(asking)
        (here / "agentd.toml").write_text(
            f'[roles]\ndirs = ["{here}/roles"]\n[models]\ntable = "{here}/models.yaml"\n'
            f'keys_dir = "{here}/keys"\nT1 = "big"\n'
        )
        yield here


@contextmanager
def scripted(place: Path, kind: str) -> Iterator[None]:
    """The model, as a process of its own; the table names it."""
    (place / "script.yaml").write_text(SCRIPT.format(place=place))
    argv = [sys.executable, "-m", "aaos.cli", "dev-provider", "--script", str(place / "script.yaml"), "--json"]
    with subprocess.Popen(argv, cwd=TREE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        (place / "models.yaml").write_text(TABLE.format(kind=kind, url=url))
        try:
            yield
        finally:
            process.kill()


@contextmanager
def keyed_daemon(place: Path, journal: Journal) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon whose journal is ours."""
    inner = command(place, "--without-layer", "cgroup")
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", AS_THE_JOURNAL, "sh", str(journal.directory)]
    with (place / "stderr").open("wb") as errors:
        process = subprocess.Popen([*argv, *inner], cwd=TREE, stderr=errors)
    try:
        wait_for("the socket", lambda: is_listening(place) or process.poll() is not None)
        assert process.poll() is None, (place / "stderr").read_text()
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def descendants(pid: int) -> list[int]:
    """All processes below it: zygote, egress, workers and what they have."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            found += [child, *descendants(child)]
    return found


def memory(pid: int) -> bytes:
    """All of a process's memory that it could read."""
    data = bytearray()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as mem:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            begin, end = (int(number, 16) for number in line.split()[0].split("-"))
            if "r" in line.split()[1] and not line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                with contextlib.suppress(OSError):  # a mapping that has no pages behind it
                    data += os.pread(mem.fileno(), end - begin, begin)
    return bytes(data)


def told(place: Path, *arguments: str) -> bytes:
    """What the command line shows."""
    argv = [sys.executable, "-m", "aaos.cli", "--socket", str(place / "run" / "s"), *arguments]
    done = subprocess.run(argv, cwd=TREE, capture_output=True, timeout=60, check=False)
    return done.stdout + done.stderr


def examined(place: Path) -> bytes:
    """What the doctor shows without a daemon."""
    argv = [sys.executable, "-m", "aaos.daemon", "doctor", "--config", str(place / "agentd.toml")]
    return subprocess.run(argv, cwd=TREE, capture_output=True, timeout=60, check=False).stdout


def run(client: Client, place: Path, name: str, *, is_awaited: bool = True) -> tuple[str, dict[str, object]]:
    accepted = client.ask("submit", goal=f"summarise {place}/{name}", cwd="/")
    identity = str(accepted["run"])
    return identity, client.ask("watch", run=identity) if is_awaited else accepted


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_planted_key_is_in_the_memory_of_the_daemon_and_nowhere_else(place: Path, kind: str) -> None:
    """LLM-6, H-SEC-01, H-SEC-03, H-SEC-04: environment, command lines, state, database, WAL, audit, journal, output,
    and the memory of zygote, egress and worker."""
    journal = Journal(place / "journal")
    with scripted(place, kind), journal.listening(), keyed_daemon(place, journal) as process, Client(place) as client:
        good, result = run(client, place, "good.txt")
        assert result["state"] == "completed", result
        echo, result = run(client, place, "echo.txt")
        assert result["state"] == "failed"
        assert "answered 401" in json.dumps(result)
        assert "[key]" in json.dumps(result)
        hang, _ = run(client, place, "hang.txt", is_awaited=False)
        wait_for("a worker", lambda: "RUNNING" in json.dumps(client.ask("status", run=hang)).upper())
        wait_for("its question", lambda: b"model.requested" in told(place, "logs", "-a", hang))

        others = descendants(process.pid)
        assert len(others) >= 2
        seen = {f"memory of {pid}": memory(pid) for pid in others}
        everyone = (process.pid, *others)
        seen |= {f"environ of {pid}": Path(f"/proc/{pid}/environ").read_bytes() for pid in everyone}
        seen |= {f"cmdline of {pid}": Path(f"/proc/{pid}/cmdline").read_bytes() for pid in everyone}
        seen |= {str(file): file.read_bytes() for file in (place / "state").rglob("*") if file.is_file()}
        for name in (
            "list",
            "roles",
            "version",
            "doctor",
            f"status {good}",
            f"logs {good}",
            f"logs -a {good}",
            f"logs -a {echo}",
        ):
            seen[f"agentd {name}"] = told(place, *name.split())
            seen[f"agentd {name} --json"] = told(place, *name.split(), "--json")
        assert leaks(memory(process.pid)), "the search finds nothing, even where the key is"
    seen |= {"stderr": (place / "stderr").read_bytes(), "journal": bytes(journal.heard), "doctor": examined(place)}
    assert b"MESSAGE_ID" in seen["journal"]
    assert b"answered 401" in seen["journal"]
    assert b"key canary in" in seen["doctor"]
    assert any(name.endswith("-wal") for name in seen)
    assert {name: found for name, data in seen.items() if (found := leaks(data))} == {}


def test_a_key_that_others_could_read_is_told_at_the_start_and_by_every_turn(place: Path) -> None:
    """H-SEC-01, H-API-14: an error with the command that mends it, and the daemon serves."""
    (place / "keys" / "canary").chmod(0o644)
    (place / "models.yaml").write_text(TABLE.format(kind="openai", url="http://127.0.0.1:9"))
    (place / "agentd.toml").write_text(f"{(place / 'agentd.toml').read_text()}[audit]\njournal = false\n")
    with daemon(place) as process, Client(place) as client:
        _, result = run(client, place, "good.txt")
        assert result["state"] == "failed"
        assert f"chmod 600 {place}/keys/canary" in json.dumps(result)
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert f"chmod 600 {place}/keys/canary" in errors
