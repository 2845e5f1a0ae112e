"""The demo's own news pages, served on loopback; and what is true of them, found in another way than by the product.

Invariant: the first request for a page is answered only when the other page was asked for as well, or after HELD_S: so
pages that are fetched one after the other take longer, and `were_together` is false.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGES = Path(__file__).resolve().parent / "pages"
NAMES = ("harbour-observer.html", "valley-dispatch.html")
HELD_S = 3.0


@dataclass(frozen=True, slots=True)
class Told:
    """A story as its page marks it: `story` is the same where two pages tell the same."""

    story: str
    headline: str


@dataclass
class Fronts:
    """Two servers, one for each page."""

    urls: tuple[str, ...] = ()
    together: threading.Barrier = field(default_factory=lambda: threading.Barrier(len(NAMES), timeout=HELD_S))

    @property
    def were_together(self) -> bool:
        """Whether both pages were asked for at the same time."""
        return not self.together.broken


def true_stories(name: str) -> list[Told]:
    """The marked stories of one of our pages, in its order."""
    reader = _Reader()
    reader.feed((PAGES / name).read_text(encoding="utf-8"))
    return reader.told


@contextmanager
def served() -> Iterator[Fronts]:
    """Both pages, each on a port of its own; `/moved` leads from the first to the second."""
    fronts = Fronts()
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(fronts, name)) for name in NAMES]
    fronts.urls = tuple(f"http://127.0.0.1:{server.server_address[1]}/" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield fronts
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def _handler(fronts: Fronts, name: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self._answer(302, b"", Location=fronts.urls[1])
            elif self.path == "/":
                _await(fronts.together)
                self._answer(200, (PAGES / name).read_bytes())
            else:
                self._answer(404, b"not found")

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            headers |= {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body))}
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base's
            """Quiet."""

    return Handler


def _await(together: threading.Barrier) -> None:
    if together.broken:
        return
    try:
        together.wait()
    except threading.BrokenBarrierError:
        return


class _Reader(HTMLParser):
    """The headline of each element that is marked as a story."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Told] = []
        self._story = ""
        self._is_heading = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._story = dict(attrs).get("data-story") or self._story
        self._is_heading = tag in ("h2", "h3") or (self._is_heading and tag == "a")

    def handle_endtag(self, tag: str) -> None:
        self._is_heading = self._is_heading and tag not in ("h2", "h3")

    def handle_data(self, data: str) -> None:
        if self._story and self._is_heading and data.strip():
            self.told.append(Told(self._story, " ".join(data.split())))
            self._story = ""
