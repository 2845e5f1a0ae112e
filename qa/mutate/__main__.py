"""`python -m qa.mutate [NAME…]`: every mutant, or those whose name has one of the words in it; a table of their fates.

Exits 1 when one was not caught, or when its tests fail without it.
"""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from qa.mutate.daemon import DAEMON
from qa.mutate.mutant import ROOT, Fate, Mutant, judged, mutated
from qa.mutate.wall import WALL

MUTANTS = tuple(Mutant(*row) for row in (*WALL, *DAEMON))
AT_ONCE = 2


def main(words: Sequence[str]) -> int:
    """0 when all were caught."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    for mutant in chosen:
        mutated(mutant)
    tests = sorted({test for mutant in chosen for test in mutant.tests})
    print(f"{len(chosen)} mutants; first their {len(tests)} tests without any", flush=True)
    sound = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", *tests], cwd=ROOT, check=False)
    if not chosen or sound.returncode != 0:
        return 1
    missed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for one in pool.map(judged, chosen):
            missed += one.fate is not Fate.CAUGHT
            print(f"{one.fate:<10}  {one.mutant.name:<60}  {one.took_s:5.1f} s  {one.by}", flush=True)
    print(f"\n{len(chosen) - missed} of {len(chosen)} mutants were caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
