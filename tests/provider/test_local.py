"""Model servers of this machine are found, and what is none is left alone."""

import asyncio
import time

from aaos.devprovider.server import ScriptedProvider
from aaos.llm.local import find_servers, local_providers
from aaos.llm.table import ProviderEntry, read_table


def entries(**urls: str) -> tuple[ProviderEntry, ...]:
    lines = "".join(f"  {name}: {{kind: vllm, url: '{url}/v1'}}\n" for name, url in urls.items())
    return tuple(read_table(f"providers:\n{lines}".encode(), "models.yaml").providers.values())


def test_servers_that_list_models_are_found_and_others_are_not() -> None:
    """OPS-3: a page, nobody, and one that never answers are none, and cost a second at most."""

    async def check() -> None:
        serving = ScriptedProvider("{steps: [{text: x}], models: [a, b]}")

        async def page(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")
            await writer.drain()
            writer.close()

        async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with serving, await asyncio.start_server(page, "127.0.0.1") as pages:
            silent = await asyncio.start_server(silence, "127.0.0.1")
            ports = [one.sockets[0].getsockname()[1] for one in (pages, silent)]
            began_s = time.monotonic()
            known = entries(
                page=f"http://127.0.0.1:{ports[0]}",
                silent=f"http://127.0.0.1:{ports[1]}",
                nobody="http://127.0.0.1:9",
                served=serving.url,
            )
            (found,) = await find_servers(known, deadline_s=0.5)
            assert (found.provider.name, found.models) == ("served", ("a", "b"))
            assert time.monotonic() - began_s < 3
            silent.close()

    asyncio.run(check())


def test_only_loopback_without_a_key_is_asked() -> None:
    table = read_table(
        b"providers: {here: {kind: ollama, url: 'http://127.0.0.1:7/v1'}, far: {kind: vllm, url: 'https://10.0.0.1/v1'},"
        b" keyed: {kind: llamacpp, key: k}, cloud: {kind: openai, key: c}}",
        "models.yaml",
    )
    asked = {one.url for one in local_providers(table.providers.values())}
    assert asked == {
        "http://127.0.0.1:7/v1",
        "http://127.0.0.1:1234/v1",
        "http://127.0.0.1:8080/v1",
        "http://127.0.0.1:8000/v1",
    }
