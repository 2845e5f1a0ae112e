"""Secrets of programs in cells: the egress places them, a real git clones with one, and then everything is searched."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kernel.certificates import authority
from tests.kernel.gitserver import BACKEND, GitServer, git_server
from tests.kernel.harness import OWNER
from tests.kernel.test_cell_programs import repository
from tests.kernel.test_key_canary import KEY, Journal, descendants, keyed_daemon, leaks, memory, told
from tests.kernel.test_main import TREE, Client
from tests.kernel.test_secret_canary import PROGRAM, name_of
from tests.kernel.wrapped import OFFERED

pytestmark = pytest.mark.skipif(
    "git_clone" not in OFFERED.tools or not os.path.exists(BACKEND), reason="git, or its http-backend, is not there"
)


@dataclass
class Place:
    """A daemon's files, a workspace of OWNER's, a git server that wants the secret."""

    path: Path
    server: GitServer
    seen: dict[str, bytes] = field(default_factory=dict)
    cells: int = 0
    is_found: bool = False

    @property
    def work(self) -> Path:
        return self.path / "work"

    def run(self, client: Client, calls: list[dict[str, object]], **grants: object) -> tuple[str, dict[str, object]]:
        """A run whose agent makes these calls of git_clone; its id, and how it ended."""
        program = PROGRAM.replace('"web_fetch"', '"git_clone"').replace("CALLS", repr(calls))
        given = {"tool": ["git_clone"], "write": [str(self.work)], "read": [str(self.work)], **grants}
        run = str(client.ask("submit", goal="clone it", cwd="/", program=program, **given)["run"])
        return run, client.ask("watch", run=run)

    def look(self, daemon: int) -> None:
        """What can be seen of every process but the daemon and its egress, while a cell is at work."""
        for pid in descendants(daemon):
            with suppress(OSError):  # it has just ended
                name = name_of(pid)
                if "egress" in name:
                    self.is_found = self.is_found or bool(leaks(memory(pid)))
                    continue
                self.cells += "git" in name
                self.seen[f"environ of {name}"] = Path(f"/proc/{pid}/environ").read_bytes()
                self.seen[f"cmdline of {name}"] = name.encode()
                self.seen[f"memory of {name} {pid}"] = memory(pid)

    def url(self, repository: str, host: str = "localhost") -> str:
        return f"https://{host}:{self.server.port}/{repository}"


@contextmanager
def _place(users: str = "") -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="aaos-") as name:
        path = Path(name)
        path.chmod(0o755)
        for directory in ("work", "authority", "secrets.d"):
            (path / directory).mkdir(mode=0o700)
        (path / "work").chmod(0o755)
        os.chown(path / "work", OWNER, OWNER)
        vouching = authority(path / "authority")
        repository(path / "served")
        server = GitServer(path / "served", f"Bearer {KEY}")
        with git_server(server, vouching.server("localhost")):
            (path / "secrets.d" / "canary").write_text(KEY)
            (path / "secrets.d" / "canary").chmod(0o600)
            (path / "secrets.d" / "canary.toml").write_text(f'host = "localhost:{server.port}"\n{users}')
            (path / "agentd.toml").write_text(
                f'[roles]\ndirs = ["{TREE}/etc/aaos/roles"]\n[wrappers]\ndirs = ["{TREE}/etc/aaos/wrappers"]\n'
                f'[egress]\nauthorities = "{vouching.certificate}"\nsecrets_dir = "{path}/secrets.d"\n'
            )
            yield Place(path, server)


def test_git_clones_with_a_planted_secret_which_is_nowhere_else() -> None:
    """TOL-9, H-SEC-01, H-SEC-03: not in the cell that uses it, its memory, its files, its words, nor on any record."""
    with _place() as place:
        journal = Journal(place.path / "journal")
        with journal.listening(), keyed_daemon(place.path, journal) as process, Client(place.path) as client:
            place.server.look = lambda: place.look(process.pid)
            host = f"localhost:{place.server.port}"
            calls: list[dict[str, object]] = [
                {"url": place.url("repo.git"), "into": f"{place.work}/cloned", "secret": "canary"},
                {"url": place.url("moved.git"), "into": f"{place.work}/moved", "secret": "canary"},
                {"url": place.url("telling.git"), "into": f"{place.work}/told", "secret": "canary"},
                {"url": place.url("repo.git"), "into": f"{place.work}/without"},
                {"url": place.url("repo.git", "127.0.0.1"), "into": f"{place.work}/other", "secret": "canary"},
                {"url": place.url("repo.git"), "into": f"{place.work}/missing", "secret": "missing"},
                {"url": place.url("repo.git"), "into": f"{place.work}/denied", "secret": "other"},
            ]
            grants = {"connect": [host, f"127.0.0.1:{place.server.port}"], "secret": ["canary", "missing"]}
            run, result = place.run(client, calls, **grants)
            assert result["state"] == "completed", result
            seen = place.seen | {str(file): file.read_bytes() for file in (place.path / "state").rglob("*") if
                                 file.is_file()}  # fmt: skip
            seen |= {str(file): file.read_bytes() for file in place.work.rglob("*") if file.is_file()}
            for words in ("list", f"status {run}", f"logs -a {run}", f"status --json {run}", f"logs -a --json {run}"):
                seen[f"agentd {words}"] = told(place.path, *words.split())
            assert place.is_found, "the search finds nothing, even where the secret is"
        seen |= {"stderr": (place.path / "stderr").read_bytes(), "journal": bytes(journal.heard)}
        seen["result"] = json.dumps(result).encode()
        assert (place.work / "cloned/README").read_text() == "words of the repository\n"
        assert place.url("repo.git") in (place.work / "cloned/.git/config").read_text()
        assert set(os.listdir(place.work)) == {"cloned", "moved"}
        assert place.cells, "no cell was looked into"
        logs = seen[f"agentd logs -a {run}"]
        assert b"secret=canary" in logs
        assert b"you sent ****" in seen["result"], seen["result"]
        assert b"is for https://localhost" in seen["result"]
        assert b"there is no secret missing" in seen["result"]
        assert b"secret: other is not granted" in seen["result"]
        assert {name: found for name, data in seen.items() if (found := leaks(data))} == {}
        methods = {(method, path) for method, path, _ in place.server.asked}
        assert ("POST", "/repo.git/git-upload-pack") in methods
        assert all(path.endswith(("/info/refs", "/git-upload-pack")) for _, path in methods)
