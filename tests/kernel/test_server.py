"""Who may speak with a running daemon, and what a hostile client can do to it."""

import asyncio
import os
from pathlib import Path

from aaos.daemon.server import MAX_PER_UID
from aaos.daemon.wiring import Daemon
from tests.kernel.operators import STRANGER, TAIL, VERSION, Client, place, speak_as, with_daemon

__all__ = ["place"]  # the fixture


def test_a_stranger_is_stopped_by_the_mode_and_by_the_rule(place: Path) -> None:
    """H-API-01: either alone would do."""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        os.chmod(path.parent, 0o755)  # noqa: S103  # so that the socket's own mode is what stops
        assert b"PermissionError" in await asyncio.to_thread(speak_as, STRANGER, path, VERSION)
        os.chmod(path, 0o666)  # noqa: S103  # so that the rule is what stops
        assert b'"code":"denied"' in await asyncio.to_thread(speak_as, STRANGER, path, VERSION)

    with_daemon(place, check)


def test_a_member_of_the_group_submits_and_does_not_administer(place: Path) -> None:
    """OPS-2, H-API-01"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        group = os.lstat(path).st_gid
        said = [
            await asyncio.to_thread(speak_as, STRANGER, path, request, groups=(group,)) for request in (VERSION, TAIL)
        ]
        assert b'"result"' in said[0]
        assert b'"code":"denied"' in said[1]

    with_daemon(place, check, group="daemon")


def test_a_flood_of_connections_leaves_the_daemon_answering(place: Path) -> None:
    """H-RES-04"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        first = await Client.connect(path)
        others = [await Client.connect(path) for _ in range(MAX_PER_UID + 20)]
        refused = 0
        for other in others[MAX_PER_UID:]:
            refused += b'"code":"busy"' in await other.reader.readline()
        assert refused == 20
        assert (await first.result("version"))["abi"] == 1
        for other in others:
            other.writer.close()

    with_daemon(place, check)


def test_clients_that_stall_or_send_rubbish_delay_nobody(place: Path) -> None:
    """H-API-11, H-BRK-09"""

    async def check(daemon: Daemon, path: Path) -> None:
        del daemon
        rubbish = [
            b"\0" * 5000,
            b"{" * 5000,
            b"\xff\n" * 1000,
            b'{"jsonrpc":"2.0","id":1,"meth',
            b"GET / HTTP/1.1\r\n\r\n",
        ]
        hostile = [await Client.connect(path) for _ in rubbish]
        for client, data in zip(hostile, rubbish, strict=True):
            client.writer.write(data)
        good = await Client.connect(path)
        loop = asyncio.get_running_loop()
        for _ in range(20):
            begin_s = loop.time()
            await good.result("list")
            assert loop.time() - begin_s < 1
        for client in hostile:
            client.writer.close()

    with_daemon(place, check)
