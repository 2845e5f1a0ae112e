"""The law of the house: each rule holds for this tree, and each rule catches deliberate breaches in a temporary one."""

from pathlib import Path

import pytest

from tests.architecture.breaches import BREACHES, SOUND
from tests.architecture.rules import RULES
from tests.architecture.tree import Tree, read_tree

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def house() -> Tree:
    return read_tree(ROOT)


@pytest.mark.parametrize("name", RULES)
def test_the_house_keeps_the_rule(house: Tree, name: str) -> None:
    assert list(RULES[name](house)) == []


def test_a_sound_tree_breaks_no_rule(tmp_path: Path) -> None:
    assert _broken(tmp_path, SOUND) == {}


@pytest.mark.parametrize(("name", "breach"), BREACHES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(BREACHES)])
def test_a_breach_is_caught_by_its_rule_and_no_other(tmp_path: Path, name: str, breach: dict[str, str]) -> None:
    assert set(_broken(tmp_path, SOUND | breach)) == {name}


def test_every_rule_has_a_breach() -> None:
    assert {name for name, _ in BREACHES} == set(RULES)


def _broken(root: Path, files: dict[str, str]) -> dict[str, list[str]]:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    tree = read_tree(root)
    return {name: found for name, rule in RULES.items() if (found := list(rule(tree)))}
