"""A cell's door to the network: a listening socket in another namespace, and the egress of the product behind it.

The part of a cell is played by a process in a network namespace of its own, which has a loopback and nothing else.
"""

import asyncio
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from aaos.broker.doors import check_listener
from aaos.broker.egress import Egress
from aaos.core.cell import HostPort
from aaos.core.config import EgressSettings, Settings
from aaos.core.errors import ConfinementError
from aaos.core.events import Event, EventKind
from aaos.egress.door import MAX_TUNNELS
from tests.kernel.cellside import Client, Inside
from tests.kernel.harness import Audit
from tests.kernel.networks import OTHER, PUBLIC, PUBLIC_6, NameServer, naming, own_network
from tests.kernel.webserver import egress
from tests.unit.core.test_cell import _request

METADATA = "169.254.169.254"


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    """The network of the egress: addresses of the open internet, a LAN's and a cloud's, all of them on its loopback."""
    with own_network(PUBLIC, OTHER, PUBLIC_6, "192.168.1.1", METADATA):
        yield


@dataclass
class Scene:
    """An open door, the program behind it, and servers that answer with what they are sent."""

    inside: Inside
    door: Egress
    port: int
    audit: Audit
    names: NameServer
    connections: list[str] = field(default_factory=list)

    async def connect(self, host: str, port: int | None = None) -> tuple[Client, bytes]:
        """Ask for this place; the connection and the head of the answer."""
        client = await self.inside.connect()
        authority = f"{host}:{self.port if port is None else port}"
        return client, await client.ask(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())

    async def status(self, host: str, port: int | None = None) -> int:
        """What is answered when this place is asked for."""
        client, head = await self.connect(host, port)
        client.sock.close()
        return int(head.split(b" ")[1])

    def told(self, kind: EventKind) -> list[Event]:
        """The events of this kind."""
        return [event for event in self.audit.events if event.kind is kind]


@asynccontextmanager
async def scene(
    tmp_path: Path, *hosts: str, names: dict[str, list[object]] | None = None, max_cell_bytes: int = 2**20
) -> AsyncIterator[Scene]:
    """A door to these hosts, at the port of a server that is at every address. What is left is shut at the end."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    resolver = {name: tmp_path / name for name in ("resolv.conf", "hosts")}
    audit, server = Audit(), NameServer(names or {})  # type: ignore[arg-type]  # as the test names them
    settings = Settings(egress=EgressSettings(max_cell_bytes=max_cell_bytes))
    listener = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    tasks: set[object] = set()
    connections: list[str] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        connections.append(writer.get_extra_info("sockname")[0])
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    with Inside() as inside:
        async with naming(server), egress(settings=settings, audit=audit, resolver=resolver) as door:
            answering = await asyncio.start_server(echo, sock=listener)
            port = answering.sockets[0].getsockname()[1]
            request = replace(_request(), egress=tuple(HostPort(host, port) for host in hosts))
            async with door.open_door(inside.fd, request):
                yield Scene(inside, door, port, audit, server, connections)
            answering.close()


def test_a_granted_host_is_connected_to_and_every_byte_is_counted(tmp_path: Path) -> None:
    """ISO-12"""

    async def run() -> Audit:
        async with scene(tmp_path, "git.example", names={"git.example": [[PUBLIC]]}) as made:
            client, head = await made.connect("GIT.example")
            assert head == b"HTTP/1.1 200 Connection established\r\n\r\n"
            await client.send(b"hello" * 1_000)
            client.sock.shutdown(socket.SHUT_WR)
            assert await client.read() == b"hello" * 1_000
            client.sock.close()
            port = made.port
        (event,) = made.told(EventKind.NETWORK_CONNECTED)
        assert event.fields["call"] == _request().call
        assert {name: event.fields[name] for name in ("host", "port", "address", "sent_bytes", "received_bytes")} == {
            "host": "git.example", "port": port, "address": PUBLIC, "sent_bytes": 5_000, "received_bytes": 5_000,
        }  # fmt: skip
        return made.audit

    audit = asyncio.run(run())
    assert audit.count(EventKind.EGRESS_LOST) == 0


def test_everything_else_is_refused_and_reaches_nobody(tmp_path: Path) -> None:
    """H-NET-03, H-NET-07, H-NET-08, H-NET-09: another host, another port, another form, the machine itself."""

    async def run() -> None:
        async with scene(tmp_path, "git.example", "192.168.1.1", names={"git.example": [[PUBLIC]]}) as made:
            others = [
                "evil.example", "git.example.evil.example", "evilgit.example", "127.0.0.1", "localhost", "127.1", "0",
                "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", METADATA, PUBLIC, OTHER, f"[{PUBLIC_6}]",
            ]  # fmt: skip
            assert [await made.status(host) for host in others] == [403] * len(others)
            assert [await made.status("git.example", port) for port in (22, 25, 6379)] == [403] * 3
            for request, status in (
                (b"GET http://git.example/ HTTP/1.1\r\nHost: git.example\r\n\r\n", 405),
                (b"\x05\x01\x00\r\n\r\n", 400),
                (b"CONNECT git.example:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 400),
            ):
                client = await made.inside.connect()
                assert int((await client.ask(request)).split(b" ")[1]) == status
                client.sock.close()
            assert made.connections == []
            assert made.names.asked == [], "not even a name was looked up"
        assert len(made.told(EventKind.NETWORK_REFUSED)) == len(others) + 6
        assert made.told(EventKind.NETWORK_CONNECTED) == []

    asyncio.run(run())


def test_where_a_granted_name_leads_is_checked_and_looked_up_once(tmp_path: Path) -> None:
    """H-NET-03, H-NET-04, H-NET-05"""
    names: dict[str, list[object]] = {
        "inner.example": [["127.0.0.1"]], "lan.example": [["192.168.1.1"]], "cloud.example": [[METADATA]],
        "both.example": [[PUBLIC, "127.0.0.1"]], "cname.example": [["in.example", "in.example=127.0.0.1"]],
        "turns.example": [[PUBLIC], ["127.0.0.1"]], "none.example": [3],
    }  # fmt: skip

    async def run() -> None:
        async with scene(tmp_path, *names, names=names) as made:
            for name in ("inner.example", "lan.example", "cloud.example", "both.example", "cname.example"):
                assert await made.status(name) == 403, name
            assert await made.status("none.example") == 502
            assert made.connections == []
            assert await made.status("turns.example") == 200
            assert made.names.asked.count(("turns.example", 1)) == 1
            assert await made.status("turns.example") == 403, "the second look-up leads inside, and is refused"
        first = made.told(EventKind.NETWORK_REFUSED)[0]
        assert first.fields["message"] == "inner.example is 127.0.0.1, which is of this machine"

    asyncio.run(run())


def test_an_inner_address_is_reached_only_where_it_is_granted_itself(tmp_path: Path) -> None:
    """H-NET-03"""

    async def run() -> None:
        async with scene(tmp_path, "192.168.1.1", "lan.example", names={"lan.example": [["192.168.1.1"]]}) as made:
            assert await made.status("192.168.1.1") == 200
            assert await made.status("lan.example") == 403

    asyncio.run(run())


def test_a_door_that_is_shut_ends_what_is_open_and_lets_nobody_in(tmp_path: Path) -> None:
    """ISO-11: when the door has been left, every connection has ended and is on record, and none can be made."""

    async def run() -> None:
        clients = []
        with Inside() as inside:
            async with scene(tmp_path, PUBLIC) as made:
                request = replace(_request(), egress=(HostPort(PUBLIC, made.port),))
                async with made.door.open_door(inside.fd, request):
                    assert inside.listener is not None
                    address = inside.listener.getsockname()
                    inside.listener.close()
                    probe, *others = inside.clients[-4:]
                    for sock in others:
                        sock.setblocking(False)
                        await asyncio.get_running_loop().sock_connect(sock, address)
                        clients.append(Client(sock))
                        assert b" 200 " in await clients[-1].ask(
                            f"CONNECT {PUBLIC}:{made.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
                        )
                ended = made.told(EventKind.NETWORK_CONNECTED)
                assert [event.fields["message"] for event in ended] == ["the door was shut"] * 3
                assert [await client.read() for client in clients] == [b""] * 3
                probe.setblocking(False)
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.get_running_loop().sock_connect(probe, address)
                assert await made.status(PUBLIC) == 200, "the other door is as it was"

    asyncio.run(run())


def test_one_door_has_so_many_connections_at_once_and_others_wait(tmp_path: Path) -> None:
    """H-RES-04: a cell that opens connections without end holds up itself alone."""

    async def run() -> None:
        async with scene(tmp_path, PUBLIC) as made:
            silent = [await made.inside.connect() for _ in range(MAX_TUNNELS)]
            waiting = await made.inside.connect()
            await waiting.send(f"CONNECT {PUBLIC}:{made.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            with Inside() as other:
                request = replace(_request(), egress=(HostPort(PUBLIC, made.port),))
                async with made.door.open_door(other.fd, request):
                    client = await other.connect()
                    head = f"CONNECT {PUBLIC}:{made.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
                    assert b" 200 " in await client.ask(head)
            assert len(made.connections) == 1, "who waits is not served"
            silent[0].sock.close()
            assert b" 200 " in await waiting.read(until=b"\r\n\r\n")
            for each in (*silent, waiting):
                each.sock.close()

    asyncio.run(run())


def test_an_egress_without_a_descriptor_keeps_its_doors_and_says_so(tmp_path: Path) -> None:
    """H-RES-04: who connects meanwhile waits, and is served when there is room again."""

    async def run() -> Event:
        async with scene(tmp_path, PUBLIC) as made:
            assert await made.status(PUBLIC) == 200
            has = resource.prlimit(made.door.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(made.door.pid, resource.RLIMIT_NOFILE, (3, has[1]))
            waiting = await made.inside.connect()
            await waiting.send(f"CONNECT {PUBLIC}:{made.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            async with asyncio.timeout(20):
                while not made.told(EventKind.NETWORK_REFUSED):  # noqa: ASYNC110  # the audit tells nobody
                    await asyncio.sleep(0.01)
            resource.prlimit(made.door.pid, resource.RLIMIT_NOFILE, has)
            assert b" 200 " in await waiting.read(until=b"\r\n\r\n")
            waiting.sock.close()
        (event,) = made.told(EventKind.NETWORK_REFUSED)
        return event

    told = asyncio.run(run())
    assert told.fields["status"] == 503
    assert told.fields["message"] == "connections wait: the egress has no room for more (Too many open files)"


def test_a_cell_moves_no_more_bytes_than_it_may(tmp_path: Path) -> None:
    """H-NET-10"""

    async def run() -> None:
        async with scene(tmp_path, PUBLIC, max_cell_bytes=100_000) as made:
            client, _ = await made.connect(PUBLIC)
            for _ in range(20):
                try:
                    await client.send(b"x" * 10_000)
                except ConnectionError:
                    break
            await client.read()
            client.sock.close()
            assert await made.status(PUBLIC) == 403
        (event,) = made.told(EventKind.NETWORK_CONNECTED)
        assert event.fields["message"] == "the bytes of this door are used up"
        moved = [event.fields[name] for name in ("sent_bytes", "received_bytes")]
        assert sum(int(str(size)) for size in moved) <= 100_000

    asyncio.run(run())


def _signal(door: Egress, number: int) -> None:
    assert door.pid, "0 would be this process and its kin"
    os.kill(door.pid, number)


def test_an_egress_that_dies_shuts_its_doors(tmp_path: Path) -> None:
    async def run() -> None:
        async with scene(tmp_path, PUBLIC) as made:
            client, head = await made.connect(PUBLIC)
            assert b" 200 " in head
            _signal(made.door, signal.SIGKILL)
            assert await client.read() == b""
        assert made.audit.count(EventKind.EGRESS_LOST) == 1

    asyncio.run(run())


def test_one_that_does_not_shut_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it was stopped."""
    monkeypatch.setattr("aaos.broker.egress.SHUT_S", 0.2)

    async def run() -> int:
        async with scene(tmp_path, PUBLIC) as made:
            pid = made.door.pid
            assert await made.status(PUBLIC) == 200
            _signal(made.door, signal.SIGSTOP)
        assert made.audit.count(EventKind.EGRESS_LOST) == 1
        return pid

    assert not Path(f"/proc/{asyncio.run(run())}").exists()


def test_a_socket_of_this_machines_network_is_no_door() -> None:
    """Whoever is on the machine could ask there."""
    with socket.create_server(("127.0.0.1", 0)) as ours, pytest.raises(ConfinementError, match="network of this"):
        check_listener(ours.fileno())
    with Inside() as inside:
        check_listener(inside.fd)
        for sock in inside.clients[:1]:
            with pytest.raises(ConfinementError, match="not a listening"):
                check_listener(sock.fileno())
    with open("/etc/passwd", "rb") as file, pytest.raises(ConfinementError, match="cannot be used"):
        check_listener(file.fileno())
