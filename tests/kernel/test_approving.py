"""Approvals on a whole daemon: held, shown, settled once, carried out from what was shown.

The first tests have workers that are threads, one has real ones behind the wall.
"""

import asyncio
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.daemon.wiring import Daemon
from tests.kernel import test_main
from tests.kernel.operators import STRANGER, Client, options, place, speak_as, with_daemon

__all__ = ["place"]  # the fixture


def goal(place: Path) -> str:
    (place / "data.txt").write_text("One line.\nAnother line.\n")
    return f"count the lines in {place}/data.txt and write the result to {place}/out.md"


async def asked(client: Client, place: Path, **params: object) -> tuple[str, dict[str, object]]:
    """A run of which one call waits: its id, and the approval."""
    run = str((await client.result("submit", goal=goal(place), cwd="/", ask=["file_write"], **params))["run"])
    for _ in range(400):
        listed = (await client.result("approvals"))["approvals"]
        assert isinstance(listed, list)
        if found := [one for one in listed if one["run"] == run]:
            return run, await client.result("approval", approval=found[0]["approval"])
        await asyncio.sleep(0.02)
    raise AssertionError(await client.result("status", run=run))


async def ended(client: Client, run: str) -> dict[str, object]:
    return await client.result("watch", run=run)


def test_an_approved_write_is_the_one_that_was_shown(place: Path) -> None:
    """BRK-6, APR-1, APR-2, APR-3: nothing before the word, then exactly that, once; who gave it is on record."""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        run, approval = await asked(client, place)
        assert (approval["tool"], approval["resource"]) == ("file_write", f"{place}/out.md")
        assert not (place / "out.md").exists()
        word = {"approval": approval["approval"], "digest": approval["digest"]}
        assert (await client.result("approve", **word))["state"] == "approved"
        assert (await ended(client, run))["state"] == "completed"
        assert (place / "out.md").read_text() == json.loads(str(approval["arguments"]))["content"]
        assert (await client.refusal("approve", **word))["data"]["code"] == "conflict"  # type: ignore[index]  # an object
        assert (await client.refusal("deny", **word))["data"]["code"] == "conflict"  # type: ignore[index]  # an object
        events = (await client.result("logs", run=run))["events"]
        assert isinstance(events, list)
        kinds = [one["kind"] for one in events if one["kind"].startswith(("approval.", "tool.permitted", "file."))]
        assert kinds.index("approval.asked") < kinds.index("approval.given") < kinds.index("file.written")
        (given,) = [one["fields"] for one in events if one["kind"] == "approval.given"]
        assert (given["uid"], given["digest"]) == (os.getuid(), approval["digest"])
        assert "terminal" in given

    with_daemon(place, check)


def test_a_denied_call_does_nothing_and_its_agent_is_told(place: Path) -> None:
    """APR-3"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        run, approval = await asked(client, place)
        word = {"approval": approval["approval"], "digest": approval["digest"], "reason": "not there"}
        assert (await client.result("deny", **word))["state"] == "denied"
        end = await ended(client, run)
        assert end["state"] == "failed"
        assert "not there" in json.dumps(end)
        assert not (place / "out.md").exists()

    with_daemon(place, check)


def test_a_file_that_changed_meanwhile_is_a_conflict(place: Path) -> None:
    """BRK-6, H-API-06: what was approved is not done to another file than the one that was shown."""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        run, approval = await asked(client, place)
        (place / "out.md").write_text("somebody else's")
        await client.result("approve", approval=approval["approval"], digest=approval["digest"])
        end = await ended(client, run)
        assert end["state"] == "failed"
        assert "was changed while the call waited" in json.dumps(end)
        assert (place / "out.md").read_text() == "somebody else's"

    with_daemon(place, check)


def test_another_digest_than_the_shown_is_a_conflict(place: Path) -> None:
    """H-API-06, APR-2"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        run, approval = await asked(client, place)
        refused = await client.refusal("approve", approval=approval["approval"], digest="0" * 64)
        assert refused["data"]["code"] == "conflict"  # type: ignore[index]  # an object
        assert (await client.result("approval", approval=approval["approval"]))["state"] == "waiting"
        await client.result("stop", run=run)
        assert (await client.result("approval", approval=approval["approval"]))["state"] == "withdrawn"
        refused = await client.refusal("approve", approval=approval["approval"], digest=approval["digest"])
        assert refused["data"]["code"] == "conflict"  # type: ignore[index]  # an object
        assert not (place / "out.md").exists()

    with_daemon(place, check)


def test_what_waits_survives_a_restart_with_its_run(place: Path) -> None:
    """H-DUR-03, APR-1: the same id, digest and end of its time, again and again; then the run goes on."""
    seen: list[tuple[object, ...]] = []

    async def first(daemon: Daemon, path: Path) -> None:
        del daemon
        _, approval = await asked(await Client.connect(path), place)
        seen.append(tuple(approval[name] for name in ("approval", "digest", "until_s", "run")))

    async def again(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        found = (await client.result("approvals"))["approvals"]
        assert isinstance(found, list)
        (listed,) = found
        seen.append(tuple(listed[name] for name in ("approval", "digest", "until_s", "run")))
        await asyncio.sleep(0.2)
        assert (await client.result("status", run=listed["run"]))["state"] == "running"

    async def last(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        name, digest, _, run = seen[0]
        await client.result("approve", approval=name, digest=digest)
        assert (await ended(client, str(run)))["state"] == "completed"
        assert (place / "out.md").read_text()

    with_daemon(place, first)
    for _ in range(5):  # more often than a run that comes no further is resumed
        with_daemon(place, again)
    with_daemon(place, last)
    assert len(set(seen)) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_daemon_leaves_what_waits_to_its_successor(place: Path, number: int) -> None:
    """H-DUR-03, BRK-6: real workers behind the wall; each of several runs goes on by its own word, or without."""
    roles = f'[roles]\ndirs = ["{test_main.TREE}/etc/aaos/roles"]\n'
    (place / "agentd.toml").write_text(f'[daemon]\nsocket_group = "daemon"\n{roles}[audit]\njournal = false\n')
    (place / "data.txt").write_text("One line.\n")
    files = [f"{place}/out-{number}.md" for number in range(3)]

    def waiting(client: test_main.Client) -> list[dict[str, object]]:
        found = client.ask("approvals")["approvals"]
        assert isinstance(found, list)
        return found

    with test_main.daemon(place) as process:
        with test_main.Client(place) as client:
            words = f"count the lines in {place}/data.txt and write the result to "
            runs = [client.ask("submit", goal=words + file, cwd="/", ask=["file_write"])["run"] for file in files]
            test_main.wait_for("what waits", lambda: len(waiting(client)) == len(files))
            before = waiting(client)
        process.send_signal(number)
        process.wait(20)
    with test_main.daemon(place) as process, test_main.Client(place) as client:
        assert waiting(client) == before
        for one, method in zip(before, ("approve", "deny", "approve"), strict=True):
            client.ask(method, approval=one["approval"], digest=one["digest"])
        ends = {str(run): client.ask("watch", run=run)["state"] for run in runs}
        assert [ends[str(one["run"])] for one in before] == ["completed", "failed", "completed"]
        assert [Path(str(one["resource"])).exists() for one in before] == [True, False, True]
        assert waiting(client) == []
        test_main.stop(process)


def test_a_hostile_worker_writes_nothing_beside_the_word(place: Path) -> None:
    """BRK-5, BRK-6: a directory of an ordinary user, granted for writing: it is not there but through held calls."""
    roles = f'[roles]\ndirs = ["{test_main.TREE}/etc/aaos/roles"]\n'
    (place / "agentd.toml").write_text(f'[daemon]\nsocket_group = "daemon"\n{roles}[audit]\njournal = false\n')
    home = place / "home"
    home.mkdir()
    (home / "f").write_text("before\n")
    for path in (home, home / "f"):
        os.chown(path, test_main.OPERATOR, test_main.OPERATOR)
    program = f"""
import os, socket
agentd = socket.socket(fileno=3)  # kept: a worker that closes it is killed
agentd.recv(65536)
os.write(os.open("{home}/f", os.O_WRONLY), b"after!")
"""
    for ask, text in ((["file_write"], "before\n"), ([], "after!\n")):
        code = f"""
with Client(place) as client:
    run = client.ask("submit", goal="write", cwd="/", program={program!r}, write=["{home}"], ask={ask!r})["run"]
    end = client.ask("watch", run=run)
    print(end["error"])
"""
        with test_main.daemon(place) as process:
            done = test_main.as_operator(place, code)
            assert done.returncode == 0, done.stderr
            test_main.stop(process)
        assert (home / "f").read_text() == text, done.stdout


def test_nobodys_word_is_a_no(place: Path) -> None:
    """APR-3: its time passes while no daemon runs as well."""
    chosen = options(place)
    limits = chosen.settings.limits.model_copy(update={"approval_s": 1})
    chosen = replace(chosen, settings=chosen.settings.model_copy(update={"limits": limits}))

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        run, approval = await asked(client, place)
        end = await ended(client, run)
        assert end["state"] == "failed"
        assert "nobody approved it in time" in json.dumps(end)
        assert (await client.result("approval", approval=approval["approval"]))["state"] == "expired"

    with_daemon(place, check, chosen=chosen)


def test_who_submits_sees_their_own_and_approves_none(place: Path) -> None:
    """OPS-2, H-API-04, H-API-08: approving takes the administrators' access, and others' approvals are not there."""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        _, approval = await asked(client, place)
        group = os.lstat(path).st_gid

        async def said(method: str, **params: object) -> bytes:
            request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
            return await asyncio.to_thread(speak_as, STRANGER, path, request, groups=(group,))

        assert b'"approvals":[]' in await said("approvals")
        assert b'"code":"not_found"' in await said("approval", approval=approval["approval"])
        word = {"approval": approval["approval"], "digest": approval["digest"]}
        for method in ("approve", "deny"):
            assert b'"code":"denied"' in await said(method, **word)
        assert (await client.result("approval", approval=approval["approval"]))["state"] == "waiting"

    with_daemon(place, check, group="daemon")
