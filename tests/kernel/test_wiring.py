"""The daemon as a whole: one on each state, nothing of it for others."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from aaos.core.errors import ConflictError
from aaos.core.events import EventKind
from aaos.core.graph import RunState
from aaos.core.ids import Gid, RunId, Uid
from aaos.daemon.wiring import Daemon, assembled
from aaos.store.database import Database
from aaos.store.runs import RunRow, Runs
from tests.kernel.operators import ROLES, Client, options, place, with_daemon

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
    """H-DUR-11"""
    database = Database.open(place / "state")
    runs = Runs(database)
    runs.create(RunRow(RunId("r-left"), Uid(0), Gid(0), "goal", "{}", None, RunState.RUNNING, 1.0))
    database.close()

    async def check(daemon: Daemon, path: Path) -> None:
        client = await Client.connect(path)
        status = await client.result("status", run="r-left")
        assert status["state"] == "failed"
        assert EventKind.STALE_CLEANED in [recorded.event.kind for recorded in daemon.audit.query()]

    with_daemon(place, check)
