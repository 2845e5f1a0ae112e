"""Real programs that use the network from a cell, by its door: git clones, pip downloads, from servers of the test."""

import asyncio
import os
import shutil
import ssl
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from aaos.core.cell import CellRequest, CellResult, HostPort
from aaos.core.config import Settings
from aaos.core.events import EventKind
from tests.kernel.cells import PYTHON, SHELL, cell, silent
from tests.kernel.certificates import Authority
from tests.kernel.harness import Audit, launcher
from tests.kernel.networks import PUBLIC
from tests.kernel.outward import HOST, names, network, served, vouching
from tests.kernel.test_main import TREE, Client, command, is_listening, wait_for
from tests.kernel.webserver import egress

__all__ = ["network", "vouching"]  # the fixtures
GIT_CORE = "/usr/lib/git-core"
PROXY = {"https_proxy": "http://127.0.0.1:3128", "PATH": "/usr/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}


class Quiet(SimpleHTTPRequestHandler):
    """Files, and no lines on the terminal."""

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


@contextmanager
def files_over_tls(directory: Path, trust: ssl.SSLContext) -> Iterator[int]:
    """The port of an https server of these files, at an address that looks like the open internet's."""
    with served(partial(Quiet, directory=str(directory)), trust) as port:
        yield port


def ran(tmp_path: Path, request: CellRequest) -> tuple[CellResult, Audit]:
    """What became of it, in a real cell with the product's egress behind its door."""
    audit, resolver = Audit(), names(tmp_path)

    async def run() -> CellResult:
        async with launcher(audit=audit) as made, egress(settings=Settings(), audit=audit, resolver=resolver) as door:
            made.cells.network = door
            return await made.cells.run_cell(request, silent)

    return asyncio.run(run()), audit


def repository(directory: Path) -> Path:
    """A bare repository that a plain web server can serve, made by git itself."""
    work, bare = directory / "work", directory / "repo.git"
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-C"]
    work.mkdir(parents=True)
    (work / "README").write_text("words of the repository\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "the first"]):
        subprocess.run([*git, str(work), *words], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True, capture_output=True)
    subprocess.run(["git", "-C", str(bare), "update-server-info"], check=True)
    shutil.rmtree(work)
    return bare


def cloning(port: int, vouching: Authority, *, host: str = HOST, to: str = HOST) -> CellRequest:
    """A cell that clones from `host`, and may connect to `to`."""
    script = f"git clone -q https://{host}:{port}/repo.git /tmp/r && cat /tmp/r/README && git -C /tmp/r log --format=%s"
    env = PROXY | {"GIT_SSL_CAINFO": str(vouching.certificate), "GIT_TERMINAL_PROMPT": "0"}
    return cell(
        SHELL, "-c", script, env=env, readable=[str(vouching.certificate)],
        exec_paths=["/usr/bin/git", "/usr/bin/cat", GIT_CORE], egress=[HostPort(to, port)],
    )  # fmt: skip


def test_git_clones_over_https_from_a_host_that_is_granted(tmp_path: Path, vouching: Authority) -> None:
    """ISO-12: TLS is between git and the server; the door carries it."""
    repository(tmp_path / "served")
    with files_over_tls(tmp_path / "served", vouching.server(HOST)) as port:
        result, audit = ran(tmp_path, cloning(port, vouching))
    assert (result.exit_code, result.stdout) == (0, b"words of the repository\nthe first\n"), result
    connected = [event.fields for event in audit.events if event.kind is EventKind.NETWORK_CONNECTED]
    assert {(fields["host"], fields["port"], fields["address"]) for fields in connected} == {(HOST, port, PUBLIC)}
    assert all(int(str(fields["received_bytes"])) > 0 for fields in connected)
    assert audit.count(EventKind.NETWORK_REFUSED) == 0


def test_git_clones_from_no_other_host_on_the_same_server(tmp_path: Path, vouching: Authority) -> None:
    """H-NET-08, H-NET-09"""
    repository(tmp_path / "served")
    with files_over_tls(tmp_path / "served", vouching.server("other.example")) as port:
        result, audit = ran(tmp_path, cloning(port, vouching, host="other.example"))
        unproxied = cloning(port, vouching)
        direct, _ = ran(tmp_path, replace(unproxied, env={**unproxied.env, "https_proxy": ""}))
    assert result.exit_code not in (0, None)
    assert b"403" in result.stderr
    (refused,) = (event.fields for event in audit.events if event.kind is EventKind.NETWORK_REFUSED)
    assert (refused["host"], refused["status"]) == ("other.example", 403)
    assert audit.count(EventKind.NETWORK_CONNECTED) == 0
    assert direct.exit_code not in (0, None), "without the door there is no way, not even a name"


def test_pip_downloads_from_an_index_that_is_granted(tmp_path: Path, vouching: Authority) -> None:
    """ISO-12: a package manager's own client, its own TLS."""
    served = tmp_path / "served" / "simple" / "a-package"
    served.mkdir(parents=True)
    name = "a_package-1.0-py3-none-any.whl"
    wheel(served / name)
    (served / "index.html").write_text(f'<a href="{name}">{name}</a>')
    with files_over_tls(tmp_path / "served", vouching.server(HOST)) as port:
        words = f"download -q --no-deps --disable-pip-version-check --index-url https://{HOST}:{port}/simple/ a-package"
        script = f"cd /tmp && {PYTHON} -m pip {words} && ls"
        env = PROXY | {"PIP_CERT": str(vouching.certificate), "PIP_NO_CACHE_DIR": "1", "PIP_NO_INPUT": "1"}
        request = cell(
            SHELL, "-c", script, env=env, readable=[str(vouching.certificate)],
            exec_paths=[PYTHON, "/usr/bin/ls"], egress=[HostPort(HOST, port)], memory_bytes=2**29,
        )  # fmt: skip
        result, audit = ran(tmp_path, request)
    assert (result.exit_code, name.encode() in result.stdout) == (0, True), result
    assert audit.count(EventKind.NETWORK_CONNECTED) >= 1


def wheel(path: Path) -> None:
    """The smallest package that pip accepts."""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a_package-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: a-package\nVersion: 1.0\n")
        made.writestr("a_package-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr("a_package-1.0.dist-info/RECORD", "")


AS_THE_MACHINE = """
mount -t tmpfs tmpfs /etc/ssl/certs
cp "$1" /etc/ssl/certs/ca-certificates.crt
mount --bind "$2" /etc/hosts
shift 2
exec "$@"
"""
CLONES = """
import json, os, socket
session = socket.socket(fileno=3)
def receive():
    data, fds, _, _ = socket.recv_fds(session, 65_536, 65)
    frame = json.loads(data) if data else {"t": "stop"}
    if frame["t"] == "stop":
        raise SystemExit
    return frame
receive()
said = []
for number, url in enumerate(URLS):
    args = {"url": url, "into": f"INTO/{number}"}
    session.send(json.dumps({"t": "tool.call", "id": number + 1, "tool": "git_clone", "args": args}).encode())
    answer = receive()
    said.append(answer["message"] if answer["t"] == "failure" else answer["value"]["text"])
session.send(json.dumps({"t": "finish", "ok": True, "text": "\\n".join(said)}).encode())
"""


@contextmanager
def whole_daemon(place: Path, certificate: Path, hosts: Path) -> Iterator[Client]:
    """agentd with the wrappers as shipped, on a machine that trusts this authority and knows these hosts."""
    (place / "agentd.toml").write_text(
        f'[roles]\ndirs = ["{TREE}/etc/aaos/roles"]\n[wrappers]\ndirs = ["{TREE}/etc/aaos/wrappers"]\n'
    )
    daemon = command(place, "--without-layer", "cgroup")
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", AS_THE_MACHINE, "sh"]
    with (place / "stderr").open("wb") as errors:
        process = subprocess.Popen([*argv, str(certificate), str(hosts), *daemon], cwd=TREE, stderr=errors)
    try:
        wait_for("the socket", lambda: is_listening(place) or process.poll() is not None)
        assert process.poll() is None, (place / "stderr").read_text()
        with Client(place) as client:
            yield client
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_an_agent_clones_what_was_granted_to_it_through_all_of_aaos(tmp_path: Path, vouching: Authority) -> None:
    """ISO-12, H-NET-08: goal, gate, wrapper, cell, door, egress, and the audit of it."""
    tmp_path.chmod(0o755)
    out = tmp_path / "out"
    out.mkdir()
    os.chown(out, 1234, 1234)
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{PUBLIC} {HOST} other.example\n127.0.0.1 localhost\n")
    repository(tmp_path / "served")
    with (
        files_over_tls(tmp_path / "served", vouching.server(HOST)) as port,
        whole_daemon(tmp_path, vouching.certificate, hosts) as client,
    ):
        urls = [f"https://{HOST}:{port}/repo.git", f"https://other.example:{port}/repo.git"]
        program = CLONES.replace("URLS", repr(urls)).replace("INTO", str(out))
        grants = {"connect": [f"{HOST}:{port}"], "tool": ["git_clone"], "write": [str(out)]}
        run = str(client.ask("submit", goal="clone it", cwd="/", program=program, **grants)["run"])
        ended = client.ask("watch", run=run)
        events = client.ask("logs", run=run)["events"]
    assert ended["state"] == "completed", ended
    assert (out / "0" / "README").read_text() == "words of the repository\n", ended
    assert not (out / "1").exists()
    assert f"connections of programs to other.example:{port} are not granted" in str(ended["result"])
    assert isinstance(events, list)
    connected = [event["fields"] for event in events if event["kind"] == EventKind.NETWORK_CONNECTED]
    assert {fields["host"] for fields in connected} == {HOST}
    assert ended["trust"] == "outside", ended
