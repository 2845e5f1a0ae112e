"""`python -m qa.reliability [--sample]`: the figures R1, R2, R10 and R15 on one private daemon, one line for each.

Three passes of R1 on the same daemon; `--sample` takes a fiftieth of all counts. Exits 1 when one is not as promised.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from qa.daemon import PrivateDaemon
from qa.reliability.load import at_once, planted, run
from qa.reliability.parts import AT_ONCE, WARM_UP, Part, cycles, key, kills, other_ways, swaps

PASSES = 3  # memory is judged from the second on


def figures(agentd: PrivateDaemon, place: Path, *, share: int) -> Iterator[Part]:
    """All parts; each count is divided by `share`."""
    at_once(AT_ONCE, WARM_UP, lambda _: run(agentd))
    for number in range(PASSES if share == 1 else 1):
        yield cycles(agentd, 1_000 // share, 1, is_warm=number > 0)
        yield cycles(agentd, 1_000 // share, AT_ONCE, is_warm=number > 0)
    yield from other_ways(agentd, place, 1_000 // share)
    yield kills(agentd, place, 200 // share)
    yield swaps(agentd, place, 100_000 // share, 1_000_000 // share)
    yield key(agentd)


def main(words: Sequence[str]) -> int:
    """0 when all figures are as promised."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="aaos-reliability-") as name, planted(Path(name)) as agentd:
        for part in figures(agentd, Path(name), share=50 if "--sample" in words else 1):
            failed += not part.is_good
            print(f"{'ok ' if part.is_good else 'BAD'}  {part.figure:<4} {part.counted}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
