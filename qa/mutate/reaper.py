"""`python -m qa.mutate.reaper SECONDS COMMAND…`: run it, and leave nothing of it behind, whatever it started.

A mutant can lose exactly what makes its processes end: a worker without its death signal would burn a processor until
the machine is restarted. Invariant: whoever is started below becomes a child of this process at the latest when its
own parent is gone, and is killed by its number; nothing else is. Exits as the command did, or with OVERDUE.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

import prctl

from qa.reliability.snapshot import descendants

OVERDUE = 124
ROUNDS = 200
PAUSE_S = 0.02


def main(words: Sequence[str]) -> int:
    """The command's exit code."""
    prctl.set_child_subreaper(1)
    signal.signal(signal.SIGTERM, _stop)
    prctl.set_pdeathsig(signal.SIGTERM)
    try:
        child = subprocess.Popen(words[1:])
        return child.wait(float(words[0]))
    except subprocess.TimeoutExpired:
        return OVERDUE
    finally:
        swept()


def swept() -> bool:
    """Kill and collect everything below this process. False when something is still there in the end."""
    for _ in range(ROUNDS):
        left = descendants(os.getpid())
        for pid in left:
            _kill(pid)
        _collect()
        if not left:
            return True
        time.sleep(PAUSE_S)
    return False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it ended by itself
        return


def _collect() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:  # there is none
        return


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the shape of a handler
    raise SystemExit(OVERDUE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
