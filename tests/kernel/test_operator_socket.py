"""The operator's socket itself, its methods, and whose runs are seen."""

import asyncio
import contextlib
import grp
import json
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from aaos.cli.parser import parse
from aaos.core import rpc
from aaos.core.errors import ConflictError, SettingsError
from aaos.core.events import EventKind
from aaos.core.ids import Gid, RunId, Uid
from aaos.daemon.connection import Send
from aaos.daemon.listen import Listener, adopt, listen
from aaos.daemon.peers import Access, AccessRule, Peer, own_uid
from aaos.daemon.server import Server
from aaos.daemon.wiring import Daemon
from tests.fakes import MemoryAudit
from tests.kernel.operators import STRANGER, VERSION, Client, options, place, speak_as, with_daemon

__all__ = ["place"]  # the fixture


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_mode_and_owner_are_right_from_the_first_moment(place: Path, umask: int) -> None:
    """H-API-03: the name is watched while it is made; it is never seen with another mode."""
    path, seen, stop = place / "run" / "s", set[tuple[int, int]](), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                status = path.lstat()
                seen.add((stat.S_IMODE(status.st_mode), status.st_gid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = os.umask(umask)
    try:
        for _ in range(50):
            listen(path, group=Gid(STRANGER)).close()
    finally:
        os.umask(before)
        stop.set()
        watcher.join()
    listener = listen(path, group=None)
    status = path.lstat()
    listener.close()
    assert seen <= {(0o660, STRANGER)}
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o600, os.getgid())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    assert list(path.parent.iterdir()) == []


def test_a_live_socket_is_never_taken_and_a_stale_one_is_replaced(place: Path) -> None:
    """H-API-02"""
    path = place / "run" / "s"
    first = listen(path, group=None)
    with pytest.raises(ConflictError, match="another daemon"):
        listen(path, group=None)
    assert path.lstat().st_ino == first.inode
    first.sock.close()
    second = listen(path, group=None)
    assert second.inode == path.lstat().st_ino
    second.close()
    assert not path.exists()


def test_a_socket_of_the_service_manager_is_served_and_its_name_stays(place: Path) -> None:
    """OPS-2"""
    path = place / "s"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        made.listen()
        listener = adopt((os.dup(made.fileno()),), path)
        assert listener is not None
        asyncio.run(_served(listener))
    assert path.is_socket()
    assert adopt((), path) is None


class _NoMethods:
    """Implements connection.Dispatch."""

    def is_stream(self, method: str) -> bool:
        return False

    async def call(self, peer: Peer, request: rpc.Request, send: Send) -> rpc.Json:
        raise AssertionError(request.method)


async def _served(listener: Listener) -> None:
    rule = AccessRule(group=None, own_uid=own_uid())
    server = Server(listener, rule=rule, dispatch=_NoMethods(), audit=MemoryAudit())
    await server.start()
    await server.close()


def test_another_socket_than_that_of_the_settings_is_refused(place: Path) -> None:
    """OPS-2: the one path, listening, a Unix socket, and one of them."""
    path = place / "s"
    with socket.socket(socket.AF_UNIX) as quiet, socket.socket(socket.AF_UNIX) as other, socket.socket() as web:
        quiet.bind(str(path))
        other.bind(f"{path}2")
        for sock in (other, web):
            sock.listen()
        for fds in ((quiet,), (other,), (web,), (other, other)):
            with pytest.raises(SettingsError, match="is to be served") as caught:
                adopt(tuple(sock.fileno() for sock in fds), path)
            assert "ListenStream=" in caught.value.remedy


def test_a_name_that_became_somebody_elses_is_left_alone(place: Path) -> None:
    path = place / "run" / "s"
    listener = listen(path, group=None)
    path.unlink()
    path.write_text("another's")
    listener.close()
    assert path.read_text() == "another's"


def test_every_method_is_refused_to_who_lacks_its_access(place: Path) -> None:
    """H-API-04: the table itself is walked, so a method without a row cannot be forgotten."""

    async def check(daemon: Daemon, path: Path) -> None:
        del path
        peers = {
            "root": Peer(Uid(0), Gid(0), (), 1),
            "member": Peer(Uid(STRANGER), Gid(STRANGER), (990,), 1),
            "stranger": Peer(Uid(STRANGER), Gid(STRANGER), (), 1),
            "administrator": Peer(Uid(STRANGER), Gid(STRANGER), (990, 991), 1),
            "worker": Peer(Uid(1_900_000_000), Gid(1_900_000_000), (), 1),
        }
        rule = AccessRule(Gid(990), None, Gid(991))
        allowed = {name: rule.of(peer) for name, peer in peers.items()}
        table = {name: method.access for name, method in daemon.operator.methods.items()}
        assert table == {
            "submit": Access.SUBMIT, "stop": Access.SUBMIT, "watch": Access.READ, "tail": Access.ADMIN,
            "list": Access.READ, "status": Access.READ, "logs": Access.READ, "roles": Access.READ,
            "tools": Access.READ, "attest": Access.READ, "doctor": Access.READ, "version": Access.READ,
            "selftest": Access.ADMIN, "pause": Access.SUBMIT, "resume": Access.SUBMIT,
            "approvals": Access.READ, "approval": Access.READ, "approve": Access.ADMIN, "deny": Access.ADMIN,
            "workspaces": Access.READ, "workspace": Access.READ, "workspace_export": Access.READ,
            "workspace_remove": Access.SUBMIT,
        }  # fmt: skip
        assert {name for name, access in table.items() if access in allowed["member"]} == set(table) - {
            "tail",
            "selftest",
            "approve",
            "deny",
        }
        assert not allowed["stranger"]
        assert not allowed["worker"]
        assert allowed["administrator"] == frozenset(Access)
        assert allowed["root"] == frozenset(Access)

    with_daemon(place, check)


@pytest.mark.parametrize(
    ("method", "typed"),
    [("tail", "logs -f"), ("approve", "approvals approve ID"), ("deny", "approvals deny ID"), ("selftest", "selftest")],
)
def test_who_may_not_is_told_the_command_to_type(place: Path, method: str, typed: str) -> None:
    """OPS-4: methods of the socket are not what operators type."""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode()
        said = await asyncio.to_thread(speak_as, STRANGER, path, request, groups=(os.lstat(path).st_gid,))
        error = json.loads(said)["error"]
        assert error["message"] == f"agentd {typed} needs admin access, which uid {STRANGER} has not"
        assert error["data"]["remedy"].endswith(f": sudo agentd {typed}")

    with_daemon(place, check, group="daemon")


def test_the_command_of_every_method_is_one(place: Path) -> None:
    """OPS-4: it is what the command line takes."""

    async def check(daemon: Daemon, path: Path) -> None:
        del path
        for method in daemon.operator.methods.values():
            assert parse(method.command.split()).command == method.command.split()[0]

    with_daemon(place, check)


def test_runs_of_others_do_not_exist(place: Path) -> None:
    """CAP-0, H-SEC-11"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        client = await Client.connect(path)
        source = place / "data.txt"
        source.write_text("One line.\nAnother line.\n")
        run = (await client.result("submit", goal=f"count the lines in {source}", cwd="/"))["run"]
        group = os.lstat(path).st_gid
        for method in ("status", "logs", "pause", "resume", "stop", "watch"):
            request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"run": run}}).encode()
            said = await asyncio.to_thread(speak_as, STRANGER, path, request, groups=(group,))
            assert b'"code":"not_found"' in said
        listing = b'{"jsonrpc":"2.0","id":1,"method":"list"}'
        assert b'"runs":[]' in await asyncio.to_thread(speak_as, STRANGER, path, listing, groups=(group,))

    with_daemon(place, check, group="daemon")


def test_an_administrator_sees_and_stops_the_runs_of_all(place: Path) -> None:
    """OPS-2, H-API-04: by a group that the kernel vouches for; who is in it alone meets the socket's mode."""

    async def check(daemon: Daemon, path: Path) -> None:
        client = await Client.connect(path)
        run = (await client.result("submit", goal="wait", cwd="/", program="pass", tool=["echo"]))["run"]
        group, admins = os.lstat(path).st_gid, grp.getgrnam("adm").gr_gid

        async def asked(method: str, *groups: int, **params: object) -> dict[str, object]:
            request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
            document: dict[str, object] = json.loads(
                await asyncio.to_thread(speak_as, STRANGER, path, request, groups=groups)
            )
            return document

        both = (group, admins)
        assert str(run) in json.dumps(await asked("list", *both))
        assert "result" in await asked("status", *both, run=run)
        assert "result" in await asked("attest", *both, run=run)
        assert b"Permission denied" in await asyncio.to_thread(speak_as, STRANGER, path, VERSION, groups=(admins,))
        assert (await asked("stop", *both, run=run))["result"] == {"run": run, "state": "cancelled"}
        events = daemon.operator._rooms.audit.query(RunId(str(run)), 0, limit=1_000)
        (stopping,) = [one.event for one in events if one.event.kind is EventKind.RUN_STOPPING]
        assert stopping.fields["uid"] == STRANGER

    with_daemon(place, check, chosen=options(place, group="daemon", admins="adm"))


def test_a_run_is_streamed_to_its_end_and_told_again(place: Path) -> None:
    """AUD-4"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        source = place / "data.txt"
        source.write_text("One line.\nAnother line.\n")
        source.chmod(0o644)
        client = await Client.connect(path)
        accepted = await client.result("submit", goal=f"count the lines in {source}", cwd="/")
        assert f"file_read: {source} (as its owner)" in accepted["envelope"]  # type: ignore[operator]  # a list of texts
        kinds = []
        client.begin("watch", run=accepted["run"])
        while "method" in (message := await client.message()):
            params = message["params"]
            assert isinstance(params, dict)
            kinds.append(params["kind"])
        result = message["result"]
        assert isinstance(result, dict)
        assert result["state"] == "completed", result
        assert "2" in result["result"]
        assert kinds[:3] == ["run.submitted", "run.envelope", "run.planned"]
        assert kinds[-1] == "run.completed"
        assert {"token.granted", "tool.permitted", "tool.done", "model.answered", "agent.finished"} <= set(kinds)
        again = await client.result("logs", run=accepted["run"])
        events = again["events"]
        assert isinstance(events, list)
        assert [event["kind"] for event in events] == kinds
        assert (await client.ask("watch", run=accepted["run"], after_seq=events[-1]["seq"]))["result"] == result

    with_daemon(place, check)


def test_a_watcher_is_told_the_end_that_could_not_be_recorded(place: Path) -> None:
    """H-API-14, H-DUR-04: on a full disk the run's row may be final and its last event lost."""

    async def check(daemon: Daemon, path: Path) -> None:
        client, stopper = await Client.connect(path), await Client.connect(path)
        run = (await client.result("submit", goal="wait", cwd="/", program="pass"))["run"]
        client.begin("watch", run=run)
        while "run.planned" not in str(await client.message()):
            pass
        daemon.audit._subscriptions.clear()  # nothing more reaches the watcher
        assert (await stopper.result("stop", run=run))["state"] == "cancelled"
        async with asyncio.timeout(5):
            while "method" in (message := await client.message()):
                pass
        assert "cancelled" in str(message["result"])

    with_daemon(place, check)


def test_stop_ends_a_run_and_its_agents(place: Path) -> None:
    """H-DUR-16"""

    async def check(daemon: Daemon, path: Path) -> None:
        client = await Client.connect(path)
        accepted = await client.result("submit", goal="wait", cwd="/", program="pass")
        status = await client.result("status", run=accepted["run"])
        while not status["agents"]:
            status = await client.result("status", run=accepted["run"])
        for _ in range(2):
            assert (await client.result("stop", run=accepted["run"]))["state"] == "cancelled"
        assert (await client.result("status", run=accepted["run"]))["agents"] == []
        assert len(daemon.live) == 0

    with_daemon(place, check)
