"""The mutants can still be made, and a sample of them is noticed; all of them are tried by `./dev mutate`."""

import subprocess
import sys
from pathlib import Path

import pytest

from qa.mutate.__main__ import MUTANTS
from qa.mutate.mutant import ROOT, Fate, Mutant, judged, mutated
from qa.mutate.reaper import OVERDUE

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


ORPHANS = """
import os, time
if os.fork():
    os._exit(7)
os.setsid()
if os.fork() == 0:
    time.sleep(600)
open({told!r} + ".new", "w").write(str(os.getpid()))
os.rename({told!r} + ".new", {told!r})
while True: time.sleep(9)
"""


def test_what_a_mutant_started_does_not_outlive_its_tests(tmp_path: Path) -> None:
    """R19: nobody's child, in a session of its own, with a child: gone, and the tests' own word is what counts."""
    told = tmp_path / "told"
    program = ORPHANS.format(told=str(told))
    waits = "import os, subprocess, sys, time\ncode = subprocess.run([sys.executable, '-c', sys.argv[1]]).returncode\n"
    waits += "while not os.path.exists(sys.argv[2]): time.sleep(0.01)\nsys.exit(code)"
    reaper = [sys.executable, "-m", "qa.mutate.reaper", "60", sys.executable, "-c", waits, program, str(told)]
    assert subprocess.run(reaper, cwd=ROOT, check=False).returncode == 7
    assert not Path(f"/proc/{told.read_text()}").exists()


def test_tests_that_do_not_end_are_ended() -> None:
    """R19"""
    reaper = [sys.executable, "-m", "qa.mutate.reaper", "0.3", "/bin/sleep", "600"]
    assert subprocess.run(reaper, cwd=ROOT, check=False).returncode == OVERDUE


def test_an_anchor_that_is_gone_fails_loudly(tmp_path: Path) -> None:
    """R19"""
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"0 times in a\.py"):
        mutated(Mutant("gone", "a.py", "y = 1", "y = 2", ()), tmp_path)
    with pytest.raises(ValueError, match="changes nothing"):
        mutated(Mutant("same", "a.py", "x = 1", "x = 1", ()), tmp_path)
