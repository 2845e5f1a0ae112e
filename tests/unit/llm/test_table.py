"""models.yaml: strict, complete, and nothing in it that would show a key to the network."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import SettingsError
from aaos.core.role import Tier
from aaos.llm.http import Deadlines
from aaos.llm.quirks import Kind
from aaos.llm.table import ModelTable, load_table, read_table
from aaos.llm.types import ModelTerms

SHIPPED = Path(__file__).parents[3] / "etc" / "aaos" / "models.yaml"
PROVIDER = "providers: {p: {kind: ollama}}\n"


def read(text: str) -> ModelTable:
    return read_table(text.encode(), "models.yaml")


def test_the_shipped_table_is_read_and_chooses_nothing() -> None:
    """LLM-1"""
    table = load_table(SHIPPED)
    assert {entry.provider.kind for entry in table.models.values()} >= {Kind.OLLAMA, Kind.LLAMACPP, Kind.ANTHROPIC}
    assert all(entry.terms.input_usd == 0 for entry in table.models.values() if entry.tier is Tier.T1)
    assert all(entry.provider.key for entry in table.models.values() if entry.tier is not Tier.T1)


def test_an_empty_table_is_a_table() -> None:
    assert read("").models == {}
    assert read("providers: {}\nmodels: {}\n").models == {}


def test_everything_can_be_said() -> None:
    table = read(
        """
providers:
  mine:
    kind: vllm
    url: https://models.example/v1/
    key: mine
    stream: false
    connect_s: 1
    first_token_s: 2.5
    idle_s: 3
    total_s: 4
models:
  big:
    provider: mine
    model: org/Big-70B
    tier: T3
    context_tokens: 1000
    max_output_tokens: 100
    price_usd: {input: 1, cached: 0.5, output: 2}
    max_parallel: 4
    answers_as: [big]
"""
    )
    entry = table.choose("big", Tier.T3)
    assert (entry.provider.url, entry.provider.key) == ("https://models.example/v1", "mine")
    assert not entry.provider.is_streamed
    assert entry.provider.deadlines == Deadlines(1, 2.5, 3, 4)
    assert entry.terms == ModelTerms(1000, 100, 1, 0.5, 2, 4)
    assert (entry.model, entry.answers_as) == ("org/Big-70B", ("big",))


def test_what_is_left_out_has_a_meaning() -> None:
    entry = read(PROVIDER + "models: {m: {provider: p, model: x, tier: T1}}").models["m"]
    assert (entry.provider.url, entry.provider.key) == ("http://127.0.0.1:11434/v1", None)
    assert entry.terms == ModelTerms()
    priced = read(PROVIDER + "models: {m: {provider: p, model: x, tier: T1, price_usd: {input: 3, output: 4}}}")
    assert priced.models["m"].terms.cached_usd == 3


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("provider: {}", "provider: unknown key", "did you mean 'providers'?"),
        ("providers: {p: {kind: olama}}", "providers.p.kind: ", "correct"),
        ("providers: {p: {kind: ollama, ulr: x}}", "providers.p.ulr: unknown key", "did you mean 'url'?"),
        ("providers: {p: {kind: openai}}", "providers.p.key: a server of kind openai needs one", "name it: key: p"),
        ("providers: {p: {kind: openai, key: a/b}}", "providers.p.key", "use 1 to 64"),
        ("providers: {P: {kind: ollama}}", "is not a name", "use 1 to 64"),
        ("providers: {p: {kind: ollama, url: 'ftp://x'}}", "providers.p.url: ", ""),
        ("providers: {p: {kind: ollama, url: 'http://user:pw@127.0.0.1/'}}", "providers.p.url: ", ""),
        ("providers: {p: {kind: ollama, url: 'https://x.example/?key=1'}}", "has a query", "leave out"),
        ("providers: {p: {kind: vllm, url: 'http://models.example/v1'}}", "anybody on the way", "plain_http: true"),
        ("providers: {p: {kind: vllm, url: 'http://192.168.1.7:8000/v1'}}", "anybody on the way", "plain_http: true"),
        ("providers: {p: {kind: ollama, idle_s: 0}}", "providers.p.idle_s: ", "correct"),
        ("providers: {p: {kind: ollama, total_s: .inf}}", "line 1", "correct"),
        (PROVIDER + "models: {m: {provider: q, model: x, tier: T1}}", "'q' is not a provider", "known: p"),
        (PROVIDER + "models: {m: {provider: p, model: x, tier: T0}}", "T0 is answered by agentd", "write tier: T1"),
        (PROVIDER + "models: {m: {provider: p, model: x}}", "models.m.tier: is missing", "correct"),
        (PROVIDER + "models: {m: {provider: p, model: x, tier: T1, price_usd: {input: -1, output: 1}}}", "input", ""),
        (PROVIDER + "models: {m: {provider: p, model: x, tier: T1, price_usd: {input: 1}}}", "output: is missing", ""),
        (PROVIDER + "models: {m: {provider: p, model: x, tier: T1, max_parallel: 0}}", "max_parallel", ""),
        (PROVIDER + "models: {m: {provider: p, model: x, tier: T1, context_tokens: 1.5}}", "context_tokens", ""),
        (PROVIDER + "models: {m: {provider: p, model: x, tier: T1, context_tokens: true}}", "context_tokens", ""),
        (PROVIDER + "models: {m: {provider: p, model: x, tier: T1}, m: {}}", "is there twice", "correct"),
        ("models: []", "models: ", "correct"),
        ("x: &a [*a]", "anchors", "correct"),
    ],
    ids=range(24),
)
def test_a_wrong_table_is_refused_by_its_place(text: str, message: str, remedy: str) -> None:
    """H-FUZZ-01, H-FUZZ-02, H-FUZZ-05"""
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert caught.value.message.startswith("models.yaml")
    assert message in caught.value.message
    assert remedy in caught.value.remedy
    assert caught.value.remedy


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost:11434", "[::1]:8080", "127.9.9.9"])
def test_plain_http_needs_no_word_on_this_machine(host: str) -> None:
    read(f"providers: {{p: {{kind: ollama, url: 'http://{host}/v1'}}}}")


def test_plain_http_elsewhere_needs_a_word() -> None:
    """LLM-6"""
    text = "providers: {p: {kind: vllm, url: 'http://models.example/v1', plain_http: true}}\n"
    table = read(text + "models: {m: {provider: p, model: x, tier: T1}}")
    assert table.models["m"].provider.url == "http://models.example/v1"


def test_a_table_without_a_model_says_what_there_is() -> None:
    with pytest.raises(SettingsError) as caught:
        read(PROVIDER + "models: {m: {provider: p, model: x, tier: T1}}").choose("n", Tier.T2)
    assert caught.value.remedy == "known: m"


@given(st.text(max_size=200))
def test_no_text_raises_anything_else(text: str) -> None:
    """H-FUZZ-10"""
    try:
        read(text)
    except SettingsError as error:
        assert error.remedy  # noqa: PT017  # raising nothing is as good
