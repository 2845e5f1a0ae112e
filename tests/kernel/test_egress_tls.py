"""TLS through the confined egress: whom it trusts, and nobody else (H-NET-13)."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aaos.broker.egress import Egress
from aaos.core.config import EgressSettings, Settings
from aaos.core.errors import ToolError
from aaos.core.events import EventKind
from tests.kernel.certificates import Authority, authority
from tests.kernel.harness import Audit
from tests.kernel.webserver import alive, asked, egress, html, serving


@pytest.fixture(scope="module")
def vouching(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the egress of these tests trusts."""
    return authority(tmp_path_factory.mktemp("authority"))


@asynccontextmanager
async def trusting(certificate: Path, audit: Audit | None = None) -> AsyncIterator[Egress]:
    """An egress that trusts this authority alone."""
    async with egress(settings=Settings(egress=EgressSettings(authorities=certificate)), audit=audit) as door:
        yield door


async def fetched(door: Egress, server: ssl.SSLContext, host: str = "localhost") -> str:
    """What a fetch from such a server gives, or why it gives nothing."""
    async with serving({"/": html("safe")}, trust=server) as pages:
        try:
            page = await door.fetch(asked(f"https://{host}:{pages.port}/"))
        except ToolError as error:
            assert pages.heads == [], "nothing was asked of who is not trusted"
            return error.message
    return page.text.decode()


def test_who_is_vouched_for_is_fetched_from(vouching: Authority) -> None:
    async def run() -> None:
        async with trusting(vouching.certificate) as door:
            assert await fetched(door, vouching.server("localhost")) == "safe"
            assert await fetched(door, vouching.server("127.0.0.1"), "127.0.0.1") == "safe"

    asyncio.run(run())


def test_who_is_not_is_refused(vouching: Authority, tmp_path: Path) -> None:
    """H-NET-13: over, for another host, its own word, another authority's, a name for an address, TLS 1.0 and 1.1."""
    old = vouching.server("localhost")
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    servers = {
        "certificate has expired": vouching.server("localhost", days=-1),
        "Hostname mismatch": vouching.server("other.example"),
        "self-signed certificate": vouching.server("localhost", is_vouched=False),
        "unable to get local issuer certificate": authority(tmp_path).server("localhost"),
        "TLS": old,
    }

    async def run() -> None:
        async with trusting(vouching.certificate) as door:
            for why, server in servers.items():
                assert why in await fetched(door, server)
            assert "mismatch" in await fetched(door, vouching.server("localhost"), "127.0.0.1")

    asyncio.run(run())


def test_who_speaks_no_tls_is_an_error(vouching: Authority) -> None:
    async def run() -> None:
        async with trusting(vouching.certificate) as door, serving({"/": html("plain")}) as pages:
            with pytest.raises(ToolError, match="TLS"):
                await door.fetch(asked(f"https://localhost:{pages.port}/"))
        async with trusting(vouching.certificate) as door, serving({}, trust=vouching.server("localhost")) as pages:
            with pytest.raises(ToolError):
                await door.fetch(asked(pages.url("/")))

    asyncio.run(run())


def test_without_authorities_nobody_is_trusted(vouching: Authority, tmp_path: Path) -> None:
    async def run() -> None:
        async with trusting(tmp_path / "missing") as door:
            assert "certificate" in await fetched(door, vouching.server("localhost"))

    asyncio.run(run())


def test_new_authorities_are_trusted_by_a_new_egress(vouching: Authority, tmp_path: Path) -> None:
    """As update-ca-certificates(8) replaces the file."""
    trusted, audit = tmp_path / "ca.crt", Audit()
    trusted.write_bytes(b"")

    async def run() -> None:
        async with trusting(trusted, audit) as door:
            assert "certificate" in await fetched(door, vouching.server("localhost"))
            before = door.pid
            trusted.write_bytes(vouching.certificate.read_bytes())
            for _ in range(500):
                if door.pid not in (0, before):
                    break
                await asyncio.sleep(0.01)
            await alive(door)
            assert await fetched(door, vouching.server("localhost")) == "safe"

    asyncio.run(run())
    assert audit.count(EventKind.EGRESS_LOST) == 1
