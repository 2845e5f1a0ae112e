"""From a host's name to an open connection: resolved once, every address checked, connected to what was checked.

Invariant: the name is looked up once per fetch, and the socket is connected to an address of that answer; TLS and the
request still name the original host. One address that may not be reached refuses the whole answer: a name that stands
for the open internet and for this machine at once is an attack (DNS rebinding), not a choice.
"""

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from aaos.egress import addresses
from aaos.egress.wire import Fetch, FetchError

CONNECT_S = 10.0  # per step: the name, one address, the TLS handshake
MAX_TRIED = 4
READ_BYTES = 65_536

Sockaddr = tuple[Any, ...]  # Any: an address of any family, as the kernel takes it
Found = tuple[socket.AddressFamily, Sockaddr]


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection and the address at its other end. Whoever opened it closes the writer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    address: str


async def connect(fetch: Fetch, lookups: Executor, trust: ssl.SSLContext) -> Connection:
    """Open a connection for `fetch`. Raises FetchError."""
    sock, address = await reach(fetch.host, fetch.port, fetch.permitted, lookups)
    reader, writer = await opened(sock, fetch.host, trust if fetch.scheme == "https" else None)
    return Connection(reader, writer, address)


async def opened(
    sock: socket.socket, host: str, trust: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Speak over a socket that is connected to `host`, with TLS where there is `trust`; it takes over the socket.

    Raises FetchError.
    """
    try:
        return await asyncio.open_connection(
            sock=sock,
            limit=READ_BYTES,
            ssl=trust,
            server_hostname=_bare(host) if trust else None,
            ssl_handshake_timeout=CONNECT_S if trust else None,
        )
    except BaseException as error:
        sock.close()
        if isinstance(error, ssl.SSLError):
            raise FetchError("tls", f"{host}: TLS: {_words(error)}") from error
        if isinstance(error, OSError):
            raise FetchError("tls", f"{host}: the TLS handshake failed: {error}") from error
        raise


async def reach(host: str, port: int, permitted: Sequence[str], lookups: Executor) -> tuple[socket.socket, str]:
    """A socket that is connected to the host, and the address at its other end. Raises FetchError.

    `permitted` are the networks (CIDR) beyond the open internet that may be reached.
    """
    found = await _resolve(host, port, lookups)
    _check(host, found, permitted)
    sock = await _first_that_answers(host, found)
    try:
        return sock, str(sock.getpeername()[0])
    except OSError as error:
        sock.close()
        raise FetchError("connect", f"{host}: the connection ended: {error}") from error


async def _resolve(host: str, port: int, lookups: Executor) -> Sequence[Found]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            return await loop.run_in_executor(lookups, _look_up, _bare(host), port)
    except TimeoutError as error:
        raise FetchError("timeout", f"{host}: its name was not resolved in {CONNECT_S:g} s") from error
    except OSError as error:
        raise FetchError("name", f"{host}: its name cannot be resolved: {error.strerror or error}") from error


def _look_up(host: str, port: int) -> Sequence[Found]:
    """In a thread: the C library waits. As bytes, so that Python's own codec for names has no say."""
    flags = socket.AI_NUMERICSERV | (socket.AI_NUMERICHOST if _is_address(host) else 0)
    answers = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=flags)
    return list(dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in answers))


def _check(host: str, found: Sequence[Found], permitted: Sequence[str]) -> None:
    networks = [ipaddress.ip_network(network) for network in permitted]
    for _, sockaddr in found:
        address = ipaddress.ip_address(str(sockaddr[0]))
        if why := addresses.refusal(address, networks):
            raise FetchError("address", f"{host} is {address}, which is {why}")


async def _first_that_answers(host: str, found: Sequence[Found]) -> socket.socket:
    failure = "no address"
    for family, sockaddr in found[:MAX_TRIED]:
        try:
            return await _connected(family, sockaddr)
        except TimeoutError:
            failure = f"{sockaddr[0]} did not answer in {CONNECT_S:g} s"
        except OSError as error:
            failure = f"{sockaddr[0]}: {os.strerror(error.errno) if error.errno else error}"
    raise FetchError("connect", f"{host}: no connection: {failure}")


async def _connected(family: socket.AddressFamily, sockaddr: Sockaddr) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)
    try:
        async with asyncio.timeout(CONNECT_S):
            await asyncio.get_running_loop().sock_connect(sock, sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _bare(host: str) -> str:
    return host.strip("[]")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return str(error.reason or error)
