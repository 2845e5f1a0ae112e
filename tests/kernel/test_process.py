"""What the daemon does to its own process; seen in a process of its own, since it can't be undone."""

import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).parent.parent.parent
CODE = """
import os, resource, prctl
from aaos.daemon import process
process.harden()
limit = process.raise_open_files()
print(prctl.get_dumpable(), resource.getrlimit(resource.RLIMIT_CORE), oct(os.umask(0)))
print(limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_no_core_not_dumpable_and_files_are_its_own() -> None:
    """H-SEC-05, H-SEC-10"""
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=TREE, capture_output=True, text=True, timeout=20, check=True, umask=0
    )
    assert done.stdout.splitlines() == ["False (0, 0) 0o77", "True"]
