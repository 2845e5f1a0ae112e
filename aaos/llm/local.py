"""Finds model servers on this machine: those of the table and the usual ones, each asked once for what it serves.

Invariant: only loopback addresses are asked, without a key, all at once and for a second; whatever answers in another
way than a model server is none. It must not change anything, nor choose.
"""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from aaos.core.url import parse_url
from aaos.llm.faults import Asked
from aaos.llm.http import Deadlines, Exchange, Question, transport
from aaos.llm.quirks import QUIRKS, Kind
from aaos.llm.table import ProviderEntry, is_loopback

LOCAL_KINDS = (Kind.OLLAMA, Kind.LMSTUDIO, Kind.LLAMACPP, Kind.VLLM)
DEADLINE_S = 1.0
MAX_MODELS = 50


@dataclass(frozen=True, slots=True)
class Server:
    """A model server that answers, and the models that it lists."""

    provider: ProviderEntry
    models: tuple[str, ...]


def usual_provider(kind: Kind) -> ProviderEntry:
    """A provider of this kind as it is without a line in the table."""
    quirks = QUIRKS[kind]
    key = kind.value if quirks.needs_key else None
    return ProviderEntry(kind.value, kind, quirks.default_url, key, Deadlines())


def local_providers(known: Iterable[ProviderEntry]) -> tuple[ProviderEntry, ...]:
    """The known providers on loopback that take no key; the usual ones of the kinds that are not known by name."""
    here = {one.url: one for one in known if one.key is None and is_loopback(parse_url(one.url))}
    kinds = {one.kind for one in here.values()}
    usual = [usual_provider(kind) for kind in LOCAL_KINDS if kind not in kinds]
    return (*here.values(), *(one for one in usual if one.url not in here))


async def find_servers(providers: Iterable[ProviderEntry], *, deadline_s: float = DEADLINE_S) -> tuple[Server, ...]:
    """Those of the providers that answer within the deadline and serve any model, in their order."""
    connections = transport(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), max_connections=16)  # which trusts nobody
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_server(one, connections, deadline_s)) for one in providers]
    finally:
        await connections.aclose()
    return tuple(found for task in tasks if (found := task.result()) is not None)


async def _server(provider: ProviderEntry, connections: httpx.AsyncBaseTransport, deadline_s: float) -> Server | None:
    exchange = Exchange(Asked(provider.name, provider.url, ""), provider.deadlines, redact=str)
    question = Question(httpx.URL(f"{provider.url}/models"), [], b"")
    try:
        async with asyncio.timeout(deadline_s):
            models = await exchange.models(connections, question)
    except TimeoutError:
        return None
    return Server(provider, models[:MAX_MODELS]) if models else None
