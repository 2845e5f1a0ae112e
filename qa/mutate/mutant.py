"""A mutant, and whether its tests notice it. The source is never written to: the changed file is bound over it.

Invariant: an anchor that is not there exactly once is an error, so no mutant silently becomes the product itself; a
mutant counts as caught only when its tests ran and one of them failed. Everything happens in a mount namespace of its
own, which ends with the tests, and so does all that they started. Needs root.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from qa.mutate.reaper import OVERDUE

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 300
_FAILED = 1  # of pytest: tests ran, and some failed
_WITH = """
mount --bind "$1" "$2"
mkdir -p "$3"
mount -t tmpfs tmpfs "$3"
shift 3
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` in `path` becomes `new`; `tests` are where that must be noticed."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


class Fate(StrEnum):
    """What became of a mutant."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    NO_VERDICT = "NO VERDICT"  # its tests could not be run to a verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """A mutant's fate, and who noticed it or what the tests said."""

    mutant: Mutant
    fate: Fate
    by: str
    took_s: float


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """The changed source. Raises ValueError when the anchor is not there exactly once, or nothing would change."""
    source = (root / mutant.path).read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: {source.count(mutant.old)} times in {mutant.path}: {mutant.old!r}")
    if mutant.new == mutant.old:
        raise ValueError(f"{mutant.name}: it changes nothing")
    changed = source.replace(mutant.old, mutant.new)
    compile(changed, mutant.path, "exec")
    return changed


def judged(mutant: Mutant) -> Judged:
    """Run its tests on the mutant. Raises ValueError for a mutant that cannot be made."""
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aaos-mutant-") as name:
        file, place = Path(name, Path(mutant.path).name), ROOT / mutant.path
        file.write_text(mutated(mutant), encoding="utf-8")
        pytest = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests)
        namespace = ("unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", _WITH, "sh")
        command = (*namespace, str(file), str(place), str(place.parent / "__pycache__"), *pytest)
        reaped = (sys.executable, "-m", "qa.mutate.reaper", str(DEADLINE_S), *command)
        done = subprocess.run(reaped, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == OVERDUE:
        return Judged(mutant, Fate.NO_VERDICT, f"not over in {DEADLINE_S} s", time.monotonic() - begun_s)
    fate = {0: Fate.SURVIVED, _FAILED: Fate.CAUGHT}.get(done.returncode, Fate.NO_VERDICT)
    return Judged(mutant, fate, _words(done.stdout, fate), time.monotonic() - begun_s)


def _words(output: str, fate: Fate) -> str:
    """The test that failed; otherwise the last line."""
    lines = output.strip().splitlines() or [""]
    failed = [line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return failed[0].rpartition("/")[2] if failed and fate is Fate.CAUGHT else lines[-1]
