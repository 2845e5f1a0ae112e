"""Our providers ask servers over TLS whose certificate nobody vouches for: the key is not sent."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest

from aaos.core.errors import ProviderError
from aaos.core.ids import AgentId, RoleName
from aaos.llm import http
from aaos.llm.types import ModelRequest, UserMessage
from tests.provider.test_models import made

HASTE = "connect_s: 2, first_token_s: 2, idle_s: 2, total_s: 5"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Key and certificate of `localhost`, signed by nobody else."""
    made_at = tmp_path / "server.pem"
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    keys = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*argv, *names, *keys], check=True, capture_output=True, timeout=60)
    made_at.write_bytes((tmp_path / "key.pem").read_bytes() + (tmp_path / "cert.pem").read_bytes())
    return made_at


async def ask(certificate: Path, *, host: str, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> tuple[str, bytes]:
    """The error of a turn, and what the server had heard by then."""
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(65_536))
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if newest < ssl.TLSVersion.TLSv1_2:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("ALL:@SECLEVEL=0")
    context.maximum_version = newest
    server = await asyncio.start_server(serve, "127.0.0.1", ssl=context)
    provider, _ = made(f"https://{host}:{server.sockets[0].getsockname()[1]}", "openai", deadlines=HASTE)
    try:
        with pytest.raises(ProviderError) as caught:
            await provider.complete(ModelRequest(AgentId("a"), RoleName("r"), {}, "", (UserMessage("x"),), ()))
        return caught.value.message, bytes(heard)
    finally:
        await provider.close()
        server.close()


def test_a_certificate_that_nobody_signed_is_refused_before_the_key_is_sent(certificate: Path) -> None:
    """H-NET-13"""
    message, heard = asyncio.run(ask(certificate, host="localhost"))
    assert "certificate verify failed" in message.lower().replace("_", " ")
    assert heard == b""


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("host", "newest", "words"),
    [
        ("127.0.0.1", ssl.TLSVersion.TLSv1_3, "certificate verify failed"),
        ("localhost", ssl.TLSVersion.TLSv1_1, "ssl"),
    ],
)
def test_another_name_and_an_old_protocol_are_refused_even_when_the_signer_is_known(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, host: str, newest: ssl.TLSVersion, words: str
) -> None:
    """H-NET-13: the wrong host, TLS 1.1; with the right host and TLS 1.3 the same certificate would do."""
    monkeypatch.setattr(http, "_SYSTEM_ROOTS", certificate)
    message, heard = asyncio.run(ask(certificate, host=host, newest=newest))
    assert words in message.lower().replace("_", " ")
    assert heard == b""
    message, heard = asyncio.run(ask(certificate, host="localhost"))
    assert heard.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
