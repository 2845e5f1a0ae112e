"""Runs with a workspace, submitted by an ordinary user to a daemon with its wall; their agents are programs.

Invariant: a program that is asked for does what its lines say with `space`, the path of its run's workspace, and
`call`, which makes a tool call and gives its result; its last value of `said` is what the run answers.
"""

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aaos.core.ids import Gid, Uid
from aaos.core.ports import Held, Root
from tests.kernel.test_main import TREE, as_operator

Json = dict[str, Any]  # Any: a JSON value
MIB = 2**20
_PROGRAM = """
import socket
from worker.user.client import Abi
session = Abi(socket.socket(fileno=3))
start = session.start()
space = next(g for g in start.grants if g.startswith("file_write: ")).partition(": ")[2].removesuffix("/**")
said = []
def call(tool, **args):
    return session.call(tool, args)
def python(code):
    return call("python_run", directory=space, code=code)
def waits():
    while True:
        session.call("file_list", {"path": space})
        import time; time.sleep(0.2)
"""


@dataclass(frozen=True)
class Ended:
    """A run at its end, and its events."""

    run: Json
    events: list[Json]

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.run["run"])

    @property
    def said(self) -> list[str]:
        """What its program said."""
        said: list[str] = json.loads(self.run["result"] or "[]")
        return said

    def fields(self, kind: str) -> list[Json]:
        """The fields of all events of a kind."""
        return [event["fields"] for event in self.events if event["kind"] == kind]


def with_wrappers(place: Path, more: str = "") -> None:
    """Let the daemon at `place` have the shipped programs, and these settings."""
    with (place / "agentd.toml").open("a") as settings:
        settings.write(f'[wrappers]\ndirs = ["{TREE}/etc/aaos/wrappers"]\n{more}')


def program(lines: str) -> str:
    """The source of an agent."""
    return f"{_PROGRAM}{textwrap.dedent(lines)}\nimport json\nsession.finish(json.dumps(said))\n"


def submission(lines: str, *, mib: int = 16, tools: tuple[str, ...] = ()) -> Json:
    """The parameters of a goal."""
    named = ["python_run", "file_write", "file_read", "file_list", *tools]
    return {"goal": "work", "cwd": "/", "workspace": mib * MIB, "program": program(lines), "tool": named}


def begun(place: Path, params: Json) -> str:
    """The id of a run that an ordinary user has submitted."""
    done = as_operator(place, f"with Client(place) as client:\n    print(client.ask('submit', **{params!r})['run'])\n")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ended(place: Path, run: str) -> Ended:
    """The run when it is over."""
    code = (
        "with Client(place) as client:\n"
        f"    run = client.ask('watch', run={run!r})\n"
        f"    events = client.ask('logs', run={run!r}, limit=10000)['events']\n"
        "    print(json.dumps([run, events]))\n"
    )
    done = as_operator(place, code)
    assert done.returncode == 0, done.stderr
    return Ended(*json.loads(done.stdout))


def worked(place: Path, lines: str, *, mib: int = 16) -> Ended:
    """Submit, and wait for the end."""
    return ended(place, begun(place, submission(lines, mib=mib)))


def root_at(path: Path, fd: int) -> Root:
    """A directory as the archive takes it."""
    return Root(str(path), fd, True, False, False, Uid(0), Gid(0), Held.GATE)
