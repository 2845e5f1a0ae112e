"""The one small question."""

import asyncio

import pytest

from aaos.core.errors import ProviderError
from aaos.core.role import Tier
from aaos.daemon.configure_check import MAX_TOKENS, answered
from aaos.devprovider.server import ScriptedProvider
from aaos.llm.keys import Key
from aaos.llm.table import read_table


@pytest.mark.parametrize(("kind", "cut"), [("openai", "length"), ("anthropic", "max_tokens")])
def test_it_is_asked_once_in_the_products_own_way(kind: str, cut: str) -> None:
    """OPS-3: an answer that was cut short by its bound is an answer."""

    async def check() -> None:
        async with ScriptedProvider(f"steps: [{{text: half, finish: {cut}}}]") as server:
            table = f"providers: {{p: {{kind: {kind}, url: '{server.url}/v1', key: k}}}}\n"
            table += "models: {m: {provider: p, model: scripted, tier: T2, max_output_tokens: 9000}}"
            entry = read_table(table.encode(), "models.yaml").choose("m", Tier.T2)
            assert await answered(entry, Key("k", "sk-0123456789")) >= 0
            (asked,) = server.requests
            assert MAX_TOKENS in (asked.body.get("max_tokens"), asked.body.get("max_completion_tokens"))
        with pytest.raises(ProviderError, match="cannot be reached"):
            await answered(entry, Key("k", "sk-0123456789"))

    asyncio.run(check())
