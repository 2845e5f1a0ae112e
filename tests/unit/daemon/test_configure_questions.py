"""What the command line leaves open is asked, or refused where nobody can be asked."""

from collections.abc import Sequence

import pytest

from aaos.core.errors import InputError
from aaos.core.role import Tier
from aaos.daemon.configure_questions import Find, Wanted, wanted_choice
from aaos.llm.local import Server
from aaos.llm.table import ModelTable, ProviderEntry, read_table

TABLE = b"""
providers:
  local: {kind: ollama}
  cloud: {kind: openai, key: main}
models:
  small: {provider: local, model: "qwen3:8b", tier: T1}
  big: {provider: cloud, model: b-1, tier: T2}
  huge: {provider: cloud, model: h-1, tier: T3}
"""


class Typed:
    """An operator who has made up their mind."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.told: list[str] = []

    def tell(self, text: str) -> None:
        self.told.append(text)

    def ask(self, question: str) -> str:
        return self.answers.pop(0)

    def ask_secret(self, question: str) -> str:
        raise AssertionError("no key is asked for here")


@pytest.fixture
def table() -> ModelTable:
    return read_table(TABLE, "models.yaml")


def serving(**models: tuple[str, ...]) -> Find:
    """A machine on which these providers answer."""

    def find(providers: Sequence[ProviderEntry]) -> Sequence[Server]:
        return [Server(one, models[one.name]) for one in providers if one.name in models]

    return find


NOBODY = serving()


def name(table: ModelTable, wanted: Wanted, *answers: str, find: Find = NOBODY) -> str:
    terminal = Typed(*answers) if answers else None
    found = wanted_choice(wanted, table, terminal=terminal, find=find).entry.name
    assert terminal is None or terminal.answers == []
    return found


def test_scripted_a_single_possibility_needs_no_option(table: ModelTable) -> None:
    assert name(table, Wanted(model="big")) == "big"
    assert name(table, Wanted("cloud", tier=Tier.T3)) == "huge"
    assert name(table, Wanted("local"), find=serving(local=("qwen3:8b",))) == "small"
    assert name(table, Wanted("vllm"), find=serving(vllm=("m",))) == "vllm-m"
    assert name(table, Wanted("local", "other", Tier.T2)) == "local-other"


@pytest.mark.parametrize(
    ("wanted", "find", "message"),
    [
        (Wanted(), serving(), "--provider is missing"),
        (Wanted("cloud"), serving(), "cloud has big, huge"),
        (Wanted("local"), serving(), "lists none"),
        (Wanted("local"), serving(local=("a", "b")), "local has a, b"),
        (Wanted("anthropic"), serving(), "lists none"),
    ],
)
def test_scripted_nothing_is_guessed(table: ModelTable, wanted: Wanted, find: Find, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        wanted_choice(wanted, table, terminal=None, find=find)
    assert caught.value.remedy


def test_servers_of_this_machine_are_offered_first(table: ModelTable) -> None:
    """OPS-3"""
    find = serving(local=("qwen3:8b", "x\x1b[2J"), lmstudio=("m",))
    assert name(table, Wanted(), "1", find=find) == "small"
    assert name(table, Wanted(), "2", find=find) == "local-x-2j"
    assert name(table, Wanted(), "3", find=find) == "lmstudio-m"
    terminal = Typed("4", "2")
    assert wanted_choice(Wanted(), table, terminal=terminal, find=find).entry.name == "huge"
    assert any("cloud (https://api.openai.com/v1), needs a key" in line for line in terminal.told)


def test_a_model_that_is_not_listed_can_be_typed(table: ModelTable) -> None:
    assert name(table, Wanted("cloud"), "3", "c-9") == "cloud-c-9"
    with pytest.raises(InputError, match="no model was named"):
        name(table, Wanted("cloud"), "3", "")


def test_a_machine_without_any_says_so() -> None:
    with pytest.raises(InputError, match="no model server answers"):
        wanted_choice(Wanted(), read_table(b"", "models.yaml"), terminal=Typed(), find=serving())
