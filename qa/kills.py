"""Kills agentd at every point of a run, one after the other, and tells how many of the runs ended well.

`python -m qa.kills`: before and after each commit, after each sync of the log, after each published file. A run that is
lost, an effect that happened twice or is not on record, or a temporary file that stayed, ends it with the traceback.
"""

import sys
import tempfile
from pathlib import Path

from tests.kernel.dying import POINTS
from tests.kernel.test_resume import JOBS, points, survives


def main() -> int:
    """Two jobs, all points."""
    with tempfile.TemporaryDirectory(prefix="aaos-") as name:
        for job in JOBS:
            for point in POINTS:
                count = points(Path(name), JOBS[job], point)
                for at in range(1, count + 1):
                    survives(Path(name), JOBS[job], point, at)
                sys.stdout.write(f"{job:8} {point:8} {count:4} kills, {count} runs completed, each effect once\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
