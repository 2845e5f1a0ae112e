"""`python -m qa.fuzz [--full] [--count N] [--seed N] [NAME…]`: each target in a process of its own, two at a time.

With `--full` a million inputs for each parser and each socket (R9; hours). Exits 1 when anything broke, took
longer than a second, or grew by ten MiB.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Sequence

from qa.fuzz.running import Counted, fuzzed, shown
from qa.fuzz.targets import TARGETS

SAMPLE = 20_000
AT_ONCE = 2


def _one(job: tuple[int, int, int]) -> Counted:
    index, count, seed = job
    return fuzzed(TARGETS[index], count, seed=seed)


def main(words: Sequence[str]) -> int:
    """0 when all is well."""
    parser = argparse.ArgumentParser(prog="./dev fuzz", description="mutated inputs to every parser")
    parser.add_argument("--full", action="store_true", help="a million inputs for each parser (hours)")
    parser.add_argument("--count", type=int, default=SAMPLE, help=f"inputs for each target ({SAMPLE})")
    parser.add_argument("--seed", type=int, default=1, help="another number gives other inputs")
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets with this in their name")
    args = parser.parse_args(words)
    chosen = [i for i, one in enumerate(TARGETS) if not args.names or any(name in one.name for name in args.names)]
    jobs = [(index, TARGETS[index].full if args.full else args.count, args.seed) for index in chosen]
    with multiprocessing.get_context("fork").Pool(AT_ONCE, maxtasksperchild=1) as pool:
        results = []
        for counted in pool.imap(_one, jobs, chunksize=1):
            results.append(counted)
            print(shown(counted), flush=True)
    print(f"\n{sum(one.inputs for one in results):,} inputs, {sum(len(one.defects) for one in results)} defects")
    return 0 if results and all(one.is_good for one in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
