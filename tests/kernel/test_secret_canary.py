"""A planted secret, an agent that fetches with it from a server that echoes it; then everything is searched for it."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.kernel.certificates import authority
from tests.kernel.outward import served
from tests.kernel.test_key_canary import KEY, Journal, descendants, keyed_daemon, leaks, memory, told
from tests.kernel.test_main import TREE, Client

PROGRAM = """
import json, os, socket
session = socket.socket(fileno=3)
def receive():
    data, fds, _, _ = socket.recv_fds(session, 65_536, 65)
    frame = json.loads(data) if data else {"t": "stop"}
    if frame["t"] == "large":
        frame = json.loads(os.pread(fds[0], frame["size"], 0))
    if frame["t"] == "stop":
        raise SystemExit
    return frame
def send(**frame):
    session.send(json.dumps(frame).encode())
receive()
said = []
for number, args in enumerate(CALLS):
    send(t="tool.call", id=number + 1, tool="web_fetch", args=args)
    answer = receive()
    said.append(answer["message"] if answer["t"] == "failure" else answer["value"]["text"])
send(t="finish", ok=True, text="\\n".join(said))
"""


@contextmanager
def echoing(trust: ssl.SSLContext) -> Iterator[tuple[int, list[str | None]]]:
    """A server that says what it was sent; its port, and the logins that it was sent."""
    logins: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            logins.append(self.headers["Authorization"])
            self.send_response(302 if self.path == "/moved" else 200)
            if self.path == "/moved":
                self.send_header("Location", f"https://127.0.0.1:{self.server.server_port}/elsewhere")  # type: ignore[attr-defined]  # it is one of http.server's
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(f"you sent {self.headers['Authorization']} {json.dumps(self.headers.items())}".encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with served(Handler, trust, "127.0.0.1") as port:
        yield port, logins


def test_a_planted_secret_reaches_its_host_and_nothing_else(tmp_path: Path) -> None:
    """TOL-9, H-SEC-01, H-SEC-03: environment, command lines, state, database, audit, journal, output, results, and the
    memory of zygote and workers."""
    tmp_path.chmod(0o755)
    vouching, journal = authority(tmp_path), Journal(tmp_path / "journal")
    secrets = tmp_path / "secrets.d"
    secrets.mkdir(mode=0o700)
    with echoing(vouching.server("localhost")) as (port, logins):
        (secrets / "canary").write_text(KEY)
        (secrets / "canary").chmod(0o600)
        (secrets / "canary.toml").write_text(f'host = "localhost:{port}"\n')
        (tmp_path / "agentd.toml").write_text(
            f'[roles]\ndirs = ["{TREE}/etc/aaos/roles"]\n'
            f'[egress]\nauthorities = "{vouching.certificate}"\nsecrets_dir = "{secrets}"\n'
        )
        base = f"https://localhost:{port}"
        calls = [
            {"url": f"{base}/echo", "secret": "canary"},
            *({"url": f"{base}/echo", "secret": "canary", "offset": at, "max_bytes": 64} for at in range(0, 60, 9)),
            {"url": f"{base}/moved", "secret": "canary"},
            {"url": f"{base}/echo"},
            {"url": f"https://127.0.0.1:{port}/", "secret": "canary"},
            {"url": f"{base}/echo", "secret": "other"},
        ]
        program = PROGRAM.replace("CALLS", repr(calls))
        with journal.listening(), keyed_daemon(tmp_path, journal) as process, Client(tmp_path) as client:
            grants = {"net": [f"localhost:{port}", f"127.0.0.1:{port}"], "secret": ["canary"]}
            run = str(client.ask("submit", goal="use it", cwd="/", program=program, **grants)["run"])
            result = client.ask("watch", run=run)
            assert result["state"] == "completed", result
            everyone = (process.pid, *descendants(process.pid))
            seen = {f"environ of {pid}": Path(f"/proc/{pid}/environ").read_bytes() for pid in everyone}
            seen |= {f"cmdline of {pid}": Path(f"/proc/{pid}/cmdline").read_bytes() for pid in everyone}
            seen |= {f"memory of {pid}": memory(pid) for pid in everyone[1:] if "egress" not in name_of(pid)}
            seen |= {str(file): file.read_bytes() for file in (tmp_path / "state").rglob("*") if file.is_file()}
            for words in ("list", f"status {run}", f"logs -a {run}", "doctor", f"status --json {run}"):
                seen[f"agentd {words}"] = told(tmp_path, *words.split())
    seen |= {"stderr": (tmp_path / "stderr").read_bytes(), "journal": bytes(journal.heard)}
    seen["result"] = json.dumps(result).encode()
    assert logins[: len(calls) - 4] == [f"Bearer {KEY}"] * (len(calls) - 4)
    assert f"Bearer {KEY}" not in logins[len(calls) - 3 :], "not where the redirect leads, not where it is not named"
    assert b"[key]" in seen["result"]
    assert b"is for https://localhost" in seen["result"]
    assert b"secret: other is not granted" in seen["result"]
    assert b"secret=canary" in seen[f"agentd logs -a {run}"]
    assert {name: found for name, data in seen.items() if (found := leaks(data))} == {}


def name_of(pid: int) -> str:
    """The first words of its command line."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
