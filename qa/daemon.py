"""A private agentd for demos, benchmarks and checks: its own state, socket and settings in a temporary directory."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")
START_S = 30.0
STOP_S = 15.0
_AGENTD = (sys.executable, "-I", "-m", "aaos.cli")


@dataclass(frozen=True, slots=True)
class Finished:
    """An `agentd` command that has ended."""

    status: int
    output: str


@dataclass(frozen=True, slots=True)
class PrivateDaemon:
    """A daemon that runs, and the operator's way to it."""

    directory: Path
    process: "subprocess.Popen[bytes]"
    arguments: tuple[str, ...]

    @property
    def socket(self) -> str:
        """Its operator socket."""
        return self.path("agentd.sock")

    def path(self, name: str) -> str:
        """A path in its directory."""
        return str(self.directory / name)

    def write(self, name: str, text: str) -> None:
        """Write a file into its directory."""
        (self.directory / name).write_text(text)

    def run(self, *arguments: str, each_line: Callable[[str], None] = lambda _: None) -> Finished:
        """Run an `agentd` command as an operator would; `each_line` sees its output as it comes."""
        command = [*_AGENTD, "--socket", self.socket, *arguments]
        with subprocess.Popen(
            command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                each_line(line)
        return Finished(process.returncode, "".join(lines))


def left_out() -> tuple[str, ...]:
    """The layers that this machine cannot have: `cgroup` where cgroup v2 has no controllers, else none."""
    has = CONTROLLERS.exists() and {"memory", "pids", "cpu"} <= set(CONTROLLERS.read_text().split())
    return () if has else ("cgroup",)


@contextmanager
def private_daemon(settings: str = "", *, roles: Sequence[Path] = ()) -> Iterator[PrivateDaemon]:
    """A daemon for the length of a block, with further settings and directories of roles. Raises RuntimeError when it
    does not start."""
    with tempfile.TemporaryDirectory(prefix="aaos-private-") as name:
        directory = Path(name)
        dirs = json.dumps([str(path) for path in (REPOSITORY / "etc" / "aaos" / "roles", *roles)])
        wrappers = json.dumps([str(REPOSITORY / "etc" / "aaos" / "wrappers")])
        tables = f"[roles]\ndirs = {dirs}\n[wrappers]\ndirs = {wrappers}\n"
        (directory / "agentd.toml").write_text(f"{tables}{settings}")
        without = tuple(item for layer in left_out() for item in ("--without", layer))
        arguments = ("run", "--state-dir", f"{name}/state", "--config", f"{name}/agentd.toml", *without)
        command = [*_AGENTD, "--socket", f"{name}/agentd.sock", *arguments]
        process = subprocess.Popen(command, cwd=REPOSITORY)
        try:
            _await_socket(process, directory / "agentd.sock")
            yield PrivateDaemon(directory, process, arguments)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=STOP_S)


def _await_socket(process: "subprocess.Popen[bytes]", socket: Path) -> None:
    deadline = time.monotonic() + START_S
    while not os.path.exists(socket):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"agentd did not start: exit status {process.poll()}")
        time.sleep(0.02)
