"""browser_render in a real cell with a real egress: scripts run, files are made, and nothing else is reached."""

import base64
import hashlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from aaos.core.capability import Capability
from aaos.core.errors import AaosError, DeniedError
from aaos.core.events import EventKind
from aaos.core.ports import Label
from aaos.daemon.grants import connect_capability
from aaos.tools.wrapper import Argument, Limits
from aaos.tools.wrapperparameter import cell_tool
from tests.kernel.certificates import Authority
from tests.kernel.harness import Audit
from tests.kernel.networks import OTHER
from tests.kernel.outward import HOST, network, reaching, served, vouching
from tests.kernel.wrapped import OFFERED, SHIPPED, Workbench

__all__ = ["network", "vouching"]  # the fixtures
pytestmark = pytest.mark.skipif(
    "browser_render" not in OFFERED.tools, reason="chromium-headless-shell is not on this machine"
)
PAGE = """<!doctype html><title>t</title><h1>plain words</h1><script>
document.body.append(' scripted ' + 6 * 7);
const tell = (name, value) => { document.body.append(` [${name}: ${value}]`); };
const tried = (name, url) =>
  fetch(url).then(answer => tell(name, answer.status), () => tell(name, 'refused'));
tried('same', '/data'); tried('other', 'https://other.example:PORT/'); tried('local', 'http://127.0.0.1:9/');
tried('metadata', 'http://169.254.169.254/'); tried('file', 'file:///etc/passwd');
const frame = document.createElement('iframe'); frame.src = 'file:///etc/passwd'; document.body.append(frame);
const peer = new RTCPeerConnection({iceServers: [{urls: 'stun:STUN:3478'}]});
peer.createDataChannel('x'); peer.createOffer().then(offer => peer.setLocalDescription(offer));
tell('wasm', typeof WebAssembly);
</script>"""


@contextmanager
def pages(trust: ssl.SSLContext, page: str = PAGE) -> Iterator[tuple[int, list[str]]]:
    """The port of a server of these pages, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.headers['Host'].partition(':')[0]}{self.path}")
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            port = str(self.server.server_port)  # type: ignore[attr-defined]  # it is one of http.server's
            self.wfile.write(page.replace("PORT", port).replace("STUN", OTHER).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with served(Handler, trust) as port:
        yield port, asked


@contextmanager
def browsing(
    tmp_path: Path, vouching: Authority, *grants: Capability, limits: Limits | None = None
) -> Iterator[tuple[Workbench, Audit]]:
    """A workbench whose browser trusts the key of the test's servers, and is otherwise the one that is shipped."""
    shipped = SHIPPED.wrappers["browser_render"]
    flag = Argument((f"--ignore-certificate-errors-spki-list={_key_of(vouching)}",))
    trusting = replace(shipped, arguments=(flag, *shipped.arguments), limits=limits or shipped.limits)
    with reaching(tmp_path, {"browser_render": cell_tool(trusting)}, *grants) as made:
        yield made


def _key_of(vouching: Authority) -> str:
    """The digest of the key of the one server, as Chromium wants it."""
    (key,) = vouching.directory.glob("server-*.key")
    public = subprocess.run(
        ["openssl", "pkey", "-in", str(key), "-pubout", "-outform", "DER"], check=True, capture_output=True
    ).stdout
    return base64.b64encode(hashlib.sha256(public).digest()).decode()


def test_a_page_is_rendered_with_its_scripts_and_reaches_its_host_alone(tmp_path: Path, vouching: Authority) -> None:
    """TOL-4, ISO-12: no other host, no address of this machine, no metadata, no file, no UDP; every layer is there."""
    with pages(vouching.server(HOST)) as (port, asked), socket.socket(type=socket.SOCK_DGRAM) as stun:
        stun.bind((OTHER, 3478))
        stun.setblocking(False)
        with browsing(tmp_path, vouching, connect_capability(f"{HOST}:{port}")) as (bench, audit):
            files = {"pdf": f"{bench.workspace}/page.pdf", "png": f"{bench.workspace}/page.png"}
            result = bench.call("browser_render", url=f"https://{HOST}:{port}/", **files)
            assert result.ok, result.text
            made = {name: Path(path).read_bytes() for name, path in files.items()}
            assert [outcome.label for outcome in bench.ledger.settled.values()] == [Label.OUTSIDE]
        with pytest.raises(BlockingIOError):
            stun.recv(1)
    words = result.text
    assert "plain words" in words
    assert "scripted 42" in words
    assert "[same: 200]" in words
    for name in ("other", "local", "metadata", "file"):
        assert f"[{name}: refused]" in words, words
    assert "root:" not in words
    assert "ERROR" not in words, words
    assert "[wasm: undefined]" in words
    assert set(asked) <= {f"{HOST}/", f"{HOST}/data", f"{HOST}/favicon.ico"}
    assert made["pdf"].startswith(b"%PDF-")
    assert made["png"].startswith(b"\x89PNG")
    connected = {event.fields["host"] for event in audit.events if event.kind is EventKind.NETWORK_CONNECTED}
    assert connected == {HOST}


def test_a_host_that_is_not_granted_is_refused_before_a_cell_is_made(tmp_path: Path, vouching: Authority) -> None:
    """CAP-1"""
    vouching.server(HOST)
    with browsing(tmp_path, vouching) as (bench, audit):
        with pytest.raises(DeniedError, match="are not granted"):
            bench.call("browser_render", url=f"https://{HOST}/")
        assert audit.count(EventKind.CELL_CONFINED) == 0


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "chrome://version", "data:text/html,x", "--renderer-cmd-prefix=/bin/sh"]
)
def test_nothing_but_an_address_of_the_web_is_rendered(tmp_path: Path, vouching: Authority, url: str) -> None:
    """H-SUB-01's like for a browser"""
    vouching.server(HOST)
    with browsing(tmp_path, vouching) as (bench, audit):
        with pytest.raises(AaosError):
            bench.call("browser_render", url=url)
        assert audit.count(EventKind.CELL_CONFINED) == 0


def test_a_page_that_takes_all_memory_does_not_get_it(tmp_path: Path, vouching: Authority) -> None:
    """ISO-12, R12: it reserves much and uses what its limit says, also without cgroups."""
    hungry = "<script>const all = []; for (let i = 0; i < 2000; i++) all.push(new Uint8Array(1e6).fill(1));" \
        "document.title = 'all';</script>"  # fmt: skip
    limits = replace(SHIPPED.wrappers["browser_render"].limits, memory_bytes=2**28, wall_s=30)
    with pages(vouching.server(HOST), page=hungry) as (port, _):
        grant = connect_capability(f"{HOST}:{port}")
        with browsing(tmp_path, vouching, grant, limits=limits) as (bench, audit):
            result = bench.call("browser_render", url=f"https://{HOST}:{port}/")
    assert "<title>all" not in result.text
    (ended,) = (event for event in audit.events if event.kind is EventKind.CELL_ENDED)
    assert int(str(ended.fields["peak_bytes"])) < 2**30
