"""Which model is meant, and the drop-ins that say so."""

import tomllib

import pytest

from aaos.core.errors import InputError, SettingsError
from aaos.core.role import Tier
from aaos.daemon.configure_choice import (
    HEAD,
    choose,
    chosen_provider,
    fitting,
    models_drop_in,
    provider_of,
    settings_drop_in,
)
from aaos.llm.table import ModelTable, read_table

TABLE = b"""
providers:
  local: {kind: ollama}
  cloud: {kind: openai, key: main}
  other: {kind: deepseek, key: other}
models:
  small: {provider: local, model: "qwen3:8b", tier: T1, price_usd: {input: 0, output: 0}}
  big: {provider: cloud, model: b-1, tier: T2, context_tokens: 1000, price_usd: {input: 1, cached: 0.5, output: 2},
    answers_as: [b-one]}
  twin: {provider: other, model: b-1, tier: T3}
"""


@pytest.fixture
def table() -> ModelTable:
    return read_table(TABLE, "models.yaml")


def test_a_known_model_is_taken_as_it_is_by_either_name(table: ModelTable) -> None:
    cloud = chosen_provider(table, "cloud")
    for name in ("big", "b-1"):
        for tier in (None, Tier.T2):
            choice = choose(table, cloud, name, tier)
            assert (choice.entry, choice.is_new) == (table.models["big"], False)


def test_a_known_model_for_another_tier_keeps_its_terms(table: ModelTable) -> None:
    choice = choose(table, chosen_provider(table, "cloud"), "big", Tier.T3)
    assert (choice.entry.name, choice.entry.model, choice.entry.tier, choice.is_new) == (
        "cloud-b-1",
        "b-1",
        Tier.T3,
        True,
    )
    assert choice.entry.terms == table.models["big"].terms


@pytest.mark.parametrize(("provider", "tier"), [("local", Tier.T1), ("cloud", Tier.T2), ("vllm", Tier.T1)])
def test_an_unknown_model_gets_the_tier_of_its_place(table: ModelTable, provider: str, tier: Tier) -> None:
    choice = choose(table, chosen_provider(table, provider), "Llama 3.2:3B/../x", None)
    assert choice.entry.name == f"{provider}-llama-3-2-3b-x"
    assert (choice.entry.model, choice.entry.tier, choice.is_new) == ("Llama 3.2:3B/../x", tier, True)


def test_a_wrong_provider_is_told_the_nearest(table: ModelTable) -> None:
    with pytest.raises(InputError) as caught:
        chosen_provider(table, "antropic")
    assert caught.value.remedy == "did you mean 'anthropic'?"


def test_a_model_alone_is_enough_when_one_provider_has_it(table: ModelTable) -> None:
    assert provider_of(table, "big") == "cloud"
    with pytest.raises(InputError, match="several providers"):
        provider_of(table, "b-1")
    with pytest.raises(InputError, match="is not in models"):
        provider_of(table, "none")
    assert [entry.name for entry in fitting(table, table.providers["cloud"], Tier.T3)] == []


def test_the_settings_keep_the_other_tiers() -> None:
    first = settings_drop_in(None, Tier.T2, "big", source="s")
    second = settings_drop_in(first, Tier.T1, "small", source="s")
    assert tomllib.loads(second.decode()) == {"models": {"T1": "small", "T2": "big"}}
    assert second.decode().startswith(HEAD)


@pytest.mark.parametrize(
    "text",
    [
        b"[daemon]\n",
        b'[models]\ntable = "/x"\n',
        b"[models]\nT1 = 1\n",
        b"[models",
        b"\xff",
        b"models = 1\n",
        b"models = " + b"[" * 5_000,
    ],
)
def test_what_somebody_else_wrote_is_not_written_over(text: bytes) -> None:
    """H-FUZZ-10"""
    with pytest.raises(SettingsError, match="s: "):
        settings_drop_in(text, Tier.T2, "big", source="s")


def test_the_table_gets_what_it_lacks_and_reads_it_as_it_was_meant(table: ModelTable) -> None:
    vllm = choose(table, chosen_provider(table, "vllm"), 'odd "name": {x}', Tier.T2)
    other = choose(table, chosen_provider(table, "cloud"), "big", Tier.T3)
    text = models_drop_in(None, vllm, known=table.providers, source="d")
    text = models_drop_in(text, other, known=table.providers, source="d")
    read = read_table(text.replace(b"providers:\n", b"providers:\n  cloud: {kind: openai, key: main}\n"), "d")
    assert read.choose(vllm.entry.name, Tier.T2) == vllm.entry
    assert read.choose(other.entry.name, Tier.T3) == other.entry
    assert b"cloud:" not in text, "a provider of the table is left to the table"


@pytest.mark.parametrize("text", [b"- a\n", b"providers: [a]\n", b"models: 1\n"])
def test_a_damaged_drop_in_is_not_written_over(table: ModelTable, text: bytes) -> None:
    choice = choose(table, chosen_provider(table, "vllm"), "x", None)
    with pytest.raises(SettingsError, match="d: "):
        models_drop_in(text, choice, known=table.providers, source="d")
