"""Real programs that use the network from a cell, by its door: git clones, pip downloads, from servers of the test."""

import asyncio
import shutil
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aaos.core.cell import CellRequest, CellResult, HostPort
from aaos.core.config import Settings
from aaos.core.events import EventKind
from tests.kernel.cells import PYTHON, SHELL, cell, silent
from tests.kernel.certificates import Authority, authority
from tests.kernel.harness import Audit, launcher
from tests.kernel.networks import PUBLIC, own_network
from tests.kernel.webserver import egress

GIT_CORE = "/usr/lib/git-core"
HOST = "files.example"
PROXY = {"https_proxy": "http://127.0.0.1:3128", "PATH": "/usr/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with own_network(PUBLIC):
        yield


@pytest.fixture
def vouching(tmp_path: Path) -> Authority:
    """An authority whose certificate is where a cell may read it."""
    directory = tmp_path / "authority"
    directory.mkdir()
    return authority(directory)


class Quiet(SimpleHTTPRequestHandler):
    """Files, and no lines on the terminal."""

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


@contextmanager
def files_over_tls(directory: Path, trust: ssl.SSLContext) -> Iterator[int]:
    """The port of an https server of these files, at an address that looks like the open internet's."""
    server = ThreadingHTTPServer((PUBLIC, 0), partial(Quiet, directory=str(directory)))
    server.socket = trust.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ran(tmp_path: Path, request: CellRequest) -> tuple[CellResult, Audit]:
    """What became of it, in a real cell with the product's egress behind its door."""
    (tmp_path / "resolv.conf").write_text("")
    (tmp_path / "hosts").write_text(f"{PUBLIC} {HOST} other.example\n")
    resolver = {name: tmp_path / name for name in ("resolv.conf", "hosts")}
    audit = Audit()

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
