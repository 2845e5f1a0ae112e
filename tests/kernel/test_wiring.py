"""The daemon as a whole: one on each state, nothing of it for others."""

import asyncio
import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from aaos.core.config import ModelSettings
from aaos.core.errors import ConflictError
from aaos.core.events import EventKind
from aaos.core.graph import RunState
from aaos.core.ids import AgentId, CallId, Gid, RunId, SubtaskId, Uid
from aaos.core.ports import CallRecord, CallState, Origin
from aaos.daemon.wiring import Daemon, assembled
from aaos.store.calls import Calls
from aaos.store.database import Database
from aaos.store.runs import RunRow, Runs
from tests.fakes import ThreadLauncher
from tests.kernel.operators import ROLES, Client, options, place, with_daemon, worker

__all__ = ["place"]  # the fixture


def test_a_second_daemon_is_refused_and_the_first_goes_on(place: Path) -> None:
    """H-API-02, H-DUR-12"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        with pytest.raises(ConflictError):
            async with assembled(options(place)):
                raise AssertionError("two daemons on one state")
        client = await Client.connect(path)
        assert (await client.result("version"))["abi"] == 1

    with_daemon(place, check)


def test_sockets_and_state_are_for_nobody_else_whatever_the_umask(place: Path) -> None:
    """H-SEC-10"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon, path
        for file in (place / "state").rglob("*"):
            assert not stat.S_IMODE(file.lstat().st_mode) & 0o077, file

    before = os.umask(0)
    try:
        with_daemon(place, check)
    finally:
        os.umask(before)


def test_missing_layers_are_in_the_audit_before_anything_else_runs(place: Path) -> None:
    """ISO-8"""

    async def check(daemon: Daemon, path: Path) -> None:
        del path
        first, second, *_ = daemon.audit.query()
        assert first.event.kind is EventKind.DAEMON_STARTED
        assert second.event.kind is EventKind.CONFINEMENT_REDUCED
        assert "cgroup" in str(second.event.fields["missing"])

    with_daemon(place, check)


def test_a_role_file_that_is_wrong_is_told_and_the_others_serve(place: Path) -> None:
    """H-FUZZ-03, H-FUZZ-05"""
    roles = place / "roles"
    shutil.copytree(ROLES, roles)
    (roles / "typo.yaml").write_text("name: typo\nsummary: x\nentry: loop\ncapabilites: []\n")

    async def check(daemon: Daemon, path: Path) -> None:
        client = await Client.connect(path)
        listed = await client.result("roles")
        assert "capabilities" in json.dumps(listed["refused"])
        assert "analyzer" in json.dumps(listed["roles"])
        assert EventKind.ROLE_REFUSED in [recorded.event.kind for recorded in daemon.audit.query()]

    with_daemon(place, check, roles=roles)


def test_the_doctor_answers_over_the_socket(place: Path) -> None:
    """OPS-4"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        findings = (await client.result("doctor"))["findings"]
        assert isinstance(findings, list)
        assert {"kernel", "disk", "roles"} <= {finding["name"] for finding in findings}

    with_daemon(place, check)


def test_after_an_unclean_end_the_next_daemon_ends_what_was_left(place: Path) -> None:
    """H-DUR-11: also where its rows cannot be read any more."""
    database = Database.open(place / "state")
    runs = Runs(database)
    runs.create(RunRow(RunId("r-left"), Uid(0), Gid(0), "goal", "{}", None, RunState.RUNNING, 1.0))
    agent = AgentId("a-left")
    about = (CallId("a-left-1-0"), RunId("r-left"), SubtaskId("s"), agent, 1, "file_write", Origin.MODEL)
    Calls(database).open_call(CallRecord(*about, '{"path":"/f"}', "d", CallState.PERMITTED, "absent"))
    database.close()

    async def check(daemon: Daemon, path: Path) -> None:
        client = await Client.connect(path)
        status = await client.result("status", run="r-left")
        assert status["state"] == "failed"
        kinds = [recorded.event.kind for recorded in daemon.audit.query()]
        assert {EventKind.STALE_CLEANED, EventKind.OUTCOME_UNKNOWN} <= set(kinds)

    with_daemon(place, check)


KEYED = """
providers: {cloud: {kind: openai, url: "http://127.0.0.1:1/v1", key: cloud}}
models: {big: {provider: cloud, model: m, tier: T2}}
"""


class WritesTheKey(ThreadLauncher):
    """Puts the key in its place only while it starts: who can read it afterwards has waited for the start."""

    key: ClassVar[Path]

    async def start(self) -> None:
        self.key.parent.mkdir(mode=0o700)
        self.key.write_text("sk-0123456789abcdef")
        self.key.chmod(0o600)


@pytest.mark.parametrize("is_written", [True, False])
def test_keys_are_read_after_the_processes_that_must_not_know_them_were_started(
    place: Path, caplog: pytest.LogCaptureFixture, is_written: bool
) -> None:
    """LLM-6, H-SEC-01"""
    table = place / "models.yaml"
    table.write_text(KEYED)
    models = ModelSettings(table=table, keys_dir=place / "keys", T2="big")
    WritesTheKey.key = place / "keys" / ("cloud" if is_written else "other")

    async def check() -> None:
        chosen = options(place)
        settings = chosen.settings.model_copy(update={"models": models})
        launcher = WritesTheKey(worker)
        async with assembled(replace(chosen, settings=settings, make_launcher=lambda *_: launcher)):
            pass

    asyncio.run(check())
    warned = [record.getMessage() for record in caplog.records if "key" in record.getMessage()]
    assert bool(warned) != is_written
    assert all("give key cloud with: sudo agentd configure" in text for text in warned)
