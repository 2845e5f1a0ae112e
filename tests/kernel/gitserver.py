"""A git server over https that wants a token, by git's own http-backend, and that tells it to whoever asks for that."""

import base64
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

BACKEND = "/usr/lib/git-core/git-http-backend"


@dataclass
class GitServer:
    """Repositories below `directory`, for who sends `login`. `asked` is what came; `look` is called before a pack is
    sent."""

    directory: Path
    login: str
    look: Callable[[], None] = lambda: None
    asked: list[tuple[str, str, bool]] = field(default_factory=list)
    port: int = 0

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Of one request."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def do_POST(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        return Handler

    def answer(self, asked: BaseHTTPRequestHandler) -> None:
        """What git's own backend says, or what tells the token."""
        path, _, query = asked.path.partition("?")
        login = asked.headers["Authorization"] or ""
        self.asked.append((asked.command, path, login == self.login))
        if asked.command == "POST":
            self.look()
        body = asked.rfile.read(int(asked.headers["Content-Length"] or 0))
        if login != self.login:
            _say(asked, 401, b"who are you?\n", "text/plain")
        elif path.startswith("/telling.git/"):
            _say(asked, 200, _telling(login), "application/x-git-upload-pack-advertisement")
        elif path.startswith("/moved.git/"):
            asked.send_response(301)
            where = f"https://{asked.headers['Host']}/repo.git/{path.removeprefix('/moved.git/')}?{query}"
            asked.send_header("Location", where)
            asked.end_headers()
        else:
            self._backend(asked, path, query, body)

    def _backend(self, asked: BaseHTTPRequestHandler, path: str, query: str, body: bytes) -> None:
        env = {
            "GIT_PROJECT_ROOT": str(self.directory), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": asked.command, "REMOTE_USER": "u", "PATH": os.defpath,
            "CONTENT_TYPE": asked.headers["Content-Type"] or "", "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": asked.headers["Content-Encoding"] or "",
            "GIT_PROTOCOL": asked.headers["Git-Protocol"] or "",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }  # fmt: skip
        done = subprocess.run([BACKEND], env=env, input=body, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        _say(asked, int(headers.pop("Status", "200").split()[0]), content, headers["Content-Type"])


@contextmanager
def git_server(server: GitServer, trust: ssl.SSLContext) -> Iterator[GitServer]:
    """The server at work on loopback."""
    listening = ThreadingHTTPServer(("127.0.0.1", 0), server.handler())
    listening.socket = trust.wrap_socket(listening.socket, server_side=True)
    server.port = listening.server_address[1]
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def _say(asked: BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
    asked.send_response(status)
    asked.send_header("Content-Type", kind)
    asked.send_header("Content-Length", str(len(body)))
    asked.end_headers()
    asked.wfile.write(body)


def _telling(login: str) -> bytes:
    """git prints the words of a remote error."""
    token = login.partition(" ")[2]
    forms = [login, json.dumps(token), quote(token, safe=""), token.encode().hex(), token.replace("/", "\\/")]
    forms += [base64.b64encode(b"\0" * shift + token.encode()).decode() for shift in range(3)]
    words = f"ERR you sent {' | '.join(forms)}\n".encode()
    return b"001e# service=git-upload-pack\n0000" + f"{len(words) + 4:04x}".encode() + words + b"0000"
