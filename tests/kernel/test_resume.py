"""agentd is killed at the points of a run, and its successor brings the run to the end that it would have had.

In most of these tests the daemon is a fork of this process with the product's own wiring and workers that are threads,
so that there can be many; in the last one it is the daemon as it is, with its wall.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from aaos.core.ports import LaunchRequest
from aaos.daemon.wiring import Daemon, assembled
from aaos.store.database import Database
from tests.fakes import Agent, ThreadLauncher
from tests.kernel import test_main
from tests.kernel.dying import POINTS, Death, install
from tests.kernel.operators import Client, options, place
from worker import abi
from worker.user import entry
from worker.user.client import Abi, StoppedError

__all__ = ["place"]  # the fixture

NEVER = ("before", 10_000)


def step(session: Abi, tool: str, **args: object) -> str:
    """A call that must succeed; nothing lives on when its daemon is gone."""
    result = session.call(tool, args)
    if not result.ok:
        raise StoppedError(result.text)
    return result.text


def raising(session: Abi, start: abi.Start) -> None:
    """A program that raises a number by one, five times, and keeps its place after the third."""
    path = start.grants[0].partition(" ")[2].removesuffix("/**")
    at = int(start.checkpoint or "0")
    while at < 5:
        assert f"n={at}" in step(session, "file_read", path=f"{path}/n")
        step(session, "file_edit", path=f"{path}/n", old=f"n={at}", new=f"n={at + 1}")
        at += 1
        if at == 3:
            session.checkpoint("3")
    step(session, "file_write", path=f"{path}/out", content="five")
    session.finish("five")


def worker(request: LaunchRequest) -> Agent:
    def run(sock: socket.socket) -> None:
        if request.entry != "program":
            entry.run(sock, request.entry, b"")
            return
        with contextlib.suppress(StoppedError):
            session = Abi(sock)
            raising(session, session.start())

    return run


@dataclass(frozen=True)
class Job:
    """What a run is for; `files` is what is there when it is done."""

    params: Callable[[Path], Mapping[str, object]]
    files: Mapping[str, str]
    published: int


JOBS = {
    "goal": Job(
        lambda work: {"goal": "count the lines in a.txt and write the result to count.md", "cwd": str(work)},
        {"count.md": "3 lines"},
        published=1,
    ),
    "program": Job(
        lambda work: {
            "goal": "raise", "cwd": str(work), "program": "#", "read": [f"{work}/**"], "write": [f"{work}/**"],
        },
        {"n": "n=5", "out": "five"},
        published=6,
    ),
}  # fmt: skip


def life(place: Path, job: Job, death: tuple[str, int]) -> dict[str, int] | None:
    """A daemon in a process of its own: it takes the goal, if there is no run yet, and sees it through.

    None when it was killed, else the points that it passed.
    """
    told = place / "told"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            deadly = Death(*death)
            install(deadly)
            asyncio.run(serve(place, job))
            told.write_text(json.dumps(deadly.passed))
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert os.WEXITSTATUS(status) == 0
    passed: dict[str, int] = json.loads(told.read_text())
    return passed


async def serve(place: Path, job: Job) -> None:
    chosen = replace(options(place), make_launcher=lambda *_: ThreadLauncher(worker))
    async with asyncio.timeout(30), assembled(chosen) as daemon, asyncio.TaskGroup() as group:
        daemon.live.open(group)
        await see_through(daemon, chosen.socket, job.params(place / "work"))
        await Client.close_all()
        await daemon.server.close()
        await daemon.live.close()


async def see_through(daemon: Daemon, path: Path, params: Mapping[str, object]) -> None:
    client = await Client.connect(path)
    listed = (await client.result("list"))["runs"]
    assert isinstance(listed, list)
    run = listed[0]["run"] if listed else (await client.result("submit", **params))["run"]
    ended = await client.result("watch", run=run)
    assert ended["state"] == "completed", ended
    assert len(daemon.live) <= 1


def fresh(place: Path) -> None:
    for name in ("state", "run", "work"):
        subprocess.run(["rm", "-rf", str(place / name)], check=True)
    (place / "work").mkdir()
    (place / "work" / "a.txt").write_text("one\ntwo\nthree\n")
    (place / "work" / "n").write_text("n=0")


def check(place: Path, job: Job) -> None:
    """Everything once: in the files, in the ledger, in the audit."""
    work = place / "work"
    for name, text in job.files.items():
        assert text in (work / name).read_text()
    assert not [entry.name for entry in work.iterdir() if entry.name.startswith(".aaos-")]
    database = Database.open(place / "state")
    try:
        written = database.rows("SELECT fields FROM events WHERE kind = 'file.written'")
        calls = [json.loads(fields)["call"] for (fields,) in written]
        assert max(Counter(calls).values()) == 1
        assert len(calls) == job.published
        assert database.rows("SELECT count(*) FROM calls") == database.rows("SELECT count(*) FROM outcomes")
        states = database.rows("SELECT DISTINCT state FROM outcomes")
        assert states == [("done",)]
    finally:
        database.close()


def points(place: Path, job: Job, point: str) -> int:
    """How many of them an undisturbed run passes."""
    fresh(place)
    passed = life(place, job, NEVER)
    assert passed is not None
    check(place, job)
    return passed[point]


def survives(place: Path, job: Job, point: str, at: int) -> None:
    """The run is killed there, and its successor ends it well."""
    fresh(place)
    life(place, job, (point, at))  # which may end before: not every run passes as many
    assert life(place, job, NEVER) is not None
    check(place, job)


@pytest.mark.parametrize(("point", "stride"), [("before", 8), ("after", 8), ("synced", 2), ("renamed", 1)])
@pytest.mark.parametrize("name", JOBS)
def test_killed_at_any_point_a_run_ends_as_if_nothing_had_happened(
    place: Path, name: str, point: str, stride: int
) -> None:
    """H-DUR-01, H-DUR-02: before and after commits, syncs, published files; `python -m qa.kills` tries each of them."""
    job = JOBS[name]
    for at in range(1 + POINTS.index(point), points(place, job, point) + 1, stride):
        survives(place, job, point, at)


@pytest.mark.parametrize("name", JOBS)
def test_killed_again_and_again_a_run_comes_to_its_end(place: Path, name: str) -> None:
    """RUN-8: each life goes on where the one before was cut short."""
    job, lives = JOBS[name], 0
    fresh(place)
    while life(place, job, ("after", 14)) is None:
        lives += 1
        assert lives < 60
    assert lives
    check(place, job)


@pytest.mark.parametrize(("point", "at"), [("after", 20), ("renamed", 1)])
def test_a_daemon_with_its_wall_is_killed_and_its_successor_ends_the_run(place: Path, point: str, at: int) -> None:
    """H-DUR-01, H-DUR-11, BRK-8: workers behind the wall, a client that loses its daemon, and the one after it."""
    fresh(place)
    roles = f'[roles]\ndirs = ["{test_main.TREE}/etc/aaos/roles"]\n'
    (place / "agentd.toml").write_text(f'[daemon]\nsocket_group = "daemon"\n{roles}[audit]\njournal = false\n')
    words = test_main.command(place, "--without-layer", "cgroup")
    words[1:3] = ["-m", "tests.kernel.dying", point, str(at)]
    with subprocess.Popen(words, cwd=test_main.TREE, stderr=subprocess.DEVNULL) as process:
        test_main.wait_for("the socket", lambda: test_main.is_listening(place))
        with test_main.Client(place) as client, contextlib.suppress(ValueError, OSError):
            accepted = client.ask("submit", **JOBS["goal"].params(place / "work"))
            client.ask("watch", run=accepted["run"])
        assert process.wait(20) == -signal.SIGKILL
    with test_main.daemon(place) as successor, test_main.Client(place) as client:
        runs = client.ask("list")["runs"]  # where the load is high, the answer with its id was lost as well
        assert isinstance(runs, list)
        ended = client.ask("watch", run=runs[0]["run"])
        assert ended["state"] == "completed", ended
        assert "run.resumed" in client.kinds
        test_main.stop(successor)
    check(place, JOBS["goal"])
