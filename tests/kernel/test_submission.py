"""Goals that become runs, and goals that do not."""

import asyncio
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core import rpc
from aaos.core.config import WrappersSettings
from aaos.core.envelope import Submitter
from aaos.core.events import EventKind
from aaos.core.ids import Gid, RunId, Uid
from aaos.daemon.peers import Peer
from aaos.daemon.submission import Submissions
from aaos.daemon.wiring import Daemon
from tests.kernel.operators import ROLES, Client, options, place, with_daemon

__all__ = ["place"]  # the fixture


def test_a_refused_goal_is_answered_with_a_remedy_and_audited(place: Path) -> None:
    """H-API-14"""

    async def check(daemon: Daemon, path: Path) -> None:
        client = await Client.connect(path)
        for goal in ("", "make me rich", "summarise /no/such/file", "summarise ~/x"):
            error = await client.refusal("submit", goal=goal, cwd="/")
            data = error["data"]
            assert isinstance(data, dict)
            assert data["remedy"]
            assert data["exit_code"] in (2, 3, 4)
        kinds = [recorded.event.kind.value for recorded in daemon.audit.query()]
        assert kinds.count("run.refused") == 3  # the empty goal did not get so far

    with_daemon(place, check)


def test_a_flag_narrows_what_the_goal_names(place: Path) -> None:
    """CAP-0: with flags given, the goal's own words grant nothing more; the refusal names the flag that would."""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        for name in ("a.txt", "b.txt"):
            (place / name).write_text("One line.\n")
        error = await client.refusal(
            "submit", goal=f"count the lines in {place}/a.txt", cwd="/", read=[f"{place}/b.txt"]
        )
        assert f"--read {place}/a.txt" in json.dumps(error)

    with_daemon(place, check)


def test_tools_are_those_that_are_named(place: Path) -> None:
    """CAP-1"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        (place / "a.txt").write_text("One line.\n")
        goal = f"count the lines in {place}/a.txt"
        error = await client.refusal("submit", goal=goal, cwd="/", tool=["echo"])
        assert "--tool" in json.dumps(error)
        error = await client.refusal("submit", goal=goal, cwd="/", tool=["file_raed", "echo", "gerp"])
        assert "'file_raed', 'gerp'" in json.dumps(error)
        assert "file_read" in json.dumps(error)
        assert "grep" in json.dumps(error)

    with_daemon(place, check)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"role": "analyser"}, "analyzer"),
        ({"wall_s": 30 * 86_400}, "run_wall_s"),
        ({"max_tokens": 2**31 - 1}, "run_tokens"),
        ({"max_usd": 1000}, "run_usd"),
        ({"role": "program"}, "--program"),
        ({"cwd": "relative"}, "cwd"),
        ({"goal": "x" * 20_000}, "goal"),
    ],
)
def test_a_wrong_submission_says_what_to_type(place: Path, params: dict[str, object], said: str) -> None:
    """H-API-14, H-FUZZ-02"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        (place / "a.txt").write_text("One line.\n")
        wanted = {"goal": f"count the lines in {place}/a.txt", "cwd": "/", **params}
        assert said in json.dumps(await client.refusal("submit", **wanted))

    with_daemon(place, check)


def test_the_settings_bound_the_agents_of_a_run(place: Path) -> None:
    """RUN-2"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        (place / "a.txt").write_text("One line.\n")
        accepted = await client.result("submit", goal=f"count the lines in {place}/a.txt", cwd="/")
        assert "128 agents" in json.dumps(accepted)

    with_daemon(place, check)


def test_a_flood_of_goals_is_busy_and_no_flood_of_events(place: Path) -> None:
    """H-RES-11"""

    async def check(daemon: Daemon, path: Path) -> None:
        client = await Client.connect(path)
        said = [(await client.refusal("submit", goal="make me rich", cwd="/"))["data"] for _ in range(400)]
        busy = sum("too fast" in json.dumps(data) for data in said)
        refused = [one for one in daemon.audit.query(limit=1_000) if one.event.kind is EventKind.RUN_REFUSED]
        assert busy > 100
        assert len(refused) == 400 - busy

    with_daemon(place, check)


def test_programs_are_granted_by_name_alone(place: Path) -> None:
    """TOL-4, CAP-1: a program of the operator's gets every tool of aaOS, and none that starts another program."""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        shown = await client.result("submit", goal="x", cwd="/", program="pass")
        plain = json.dumps(shown["envelope"])
        assert "tool: file_read" in plain
        assert "shell" not in plain
        asked = await client.result("submit", goal="x", cwd="/", program="pass", tool=["shell"], connect=["a.example"])
        named = json.dumps(asked["envelope"])
        assert named.count("tool: ") == named.count("tool: shell") == 1
        assert "a.example:443/**" in named

    known = options(place)
    wrappers = WrappersSettings(dirs=(ROLES.parent / "wrappers",))
    with_daemon(place, check, chosen=replace(known, settings=known.settings.model_copy(update={"wrappers": wrappers})))


@pytest.mark.parametrize("how", ["gone", "failed"])
def test_a_submission_that_is_cut_off_leaves_no_workspace(
    place: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """RUN-9, H-RES-03: its client is gone while the image is made, or what nobody foresaw comes after that."""

    def failing(*_: object) -> None:
        raise OSError("unforeseen")

    async def check(daemon: Daemon, path: Path) -> None:
        del path
        workspaces, entered, release = daemon.keeping.workspaces, asyncio.Event(), threading.Event()
        make, loop = workspaces.make, asyncio.get_running_loop()

        def slow(run: RunId, owner: Submitter, size_bytes: int) -> int:
            loop.call_soon_threadsafe(entered.set)
            release.wait()
            return make(run, owner, size_bytes)

        async def send(_: Mapping[str, rpc.Json]) -> None: ...

        monkeypatch.setattr(workspaces, "make", slow)
        request = rpc.Request(1, "submit", {"goal": "x", "cwd": "/", "program": "pass", "workspace": 16 * 2**20})
        submitting = asyncio.ensure_future(daemon.operator.call(Peer(Uid(0), Gid(0), (), os.getpid()), request, send))
        await entered.wait()
        if how == "failed":
            monkeypatch.setattr(Submissions, "_understand", failing)
        for _ in range(0 if how == "failed" else 3):
            submitting.cancel()
            await asyncio.sleep(0)
        release.set()
        with pytest.raises(OSError if how == "failed" else asyncio.CancelledError):
            await submitting
        assert (workspaces.all(), list((place / "run" / "workspaces").iterdir()), len(daemon.live)) == ((), [], 0)
        refused = [one.event for one in daemon.audit.query() if one.event.kind is EventKind.RUN_REFUSED]
        assert [one.fields["code"] for one in refused] == ["internal" if how == "failed" else "cancelled"]

    with_daemon(place, check)
