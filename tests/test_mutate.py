"""The mutants can still be made, and a sample of them is noticed; all of them are tried by `./dev mutate`."""

from pathlib import Path

import pytest

from qa.mutate.__main__ import MUTANTS
from qa.mutate.mutant import ROOT, Fate, Mutant, judged, mutated

SAMPLE = ("a key twice in a frame", "one use too many", "IPv4 in disguise", "a self-test that passes what was allowed")
NOTICED = ("tests/unit/core/test_ids.py",)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_the_source_as_it_stands(mutant: Mutant) -> None:
    """R19: an anchor that is gone is an error and not a mutant that nobody misses."""
    assert mutated(mutant) != (ROOT / mutant.path).read_text(encoding="utf-8")
    assert [test for test in mutant.tests if not (ROOT / test).exists()] == []


def test_there_are_many_and_each_has_its_name() -> None:
    """R19"""
    assert len(MUTANTS) >= 60
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_mutant_is_noticed(name: str) -> None:
    """R19"""
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    before = (ROOT / mutant.path).read_bytes()
    found = judged(mutant)
    assert found.fate is Fate.CAUGHT, found
    assert (ROOT / mutant.path).read_bytes() == before


def test_a_change_that_nobody_needs_survives() -> None:
    """R19: a run that catches everything would say nothing."""
    idle = Mutant("idle", "aaos/core/ids.py", "60 random bits", "sixty random bits", NOTICED)
    with pytest.raises(ValueError, match=r"[2-9] times"):
        mutated(idle)
    once = Mutant("once", "aaos/core/ids.py", "their making and their one charset", "their charset", NOTICED)
    assert judged(once).fate is Fate.SURVIVED


def test_a_mutant_that_cannot_run_has_no_verdict() -> None:
    """R19: that its tests cannot even be collected catches nothing."""
    broken = Mutant("broken", "aaos/core/ids.py", "import re\n", "import no_such_module\nimport re\n", NOTICED)
    assert judged(broken).fate is Fate.NO_VERDICT


def test_an_anchor_that_is_gone_fails_loudly(tmp_path: Path) -> None:
    """R19"""
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"0 times in a\.py"):
        mutated(Mutant("gone", "a.py", "y = 1", "y = 2", ()), tmp_path)
    with pytest.raises(ValueError, match="changes nothing"):
        mutated(Mutant("same", "a.py", "x = 1", "x = 1", ()), tmp_path)
