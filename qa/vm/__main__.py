"""`python -m qa.vm IMAGE PACKAGE [--all] [--within SECONDS]`: checks in the guest, as a table.

Exit status 1 if anything failed, 75 where this machine cannot run a guest. With `--within` no check begins later than
that after the guest was started: what is left out is named.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from qa.beside import ASKS, READS
from qa.daemon import REPOSITORY
from qa.demo import WAITING_PROGRAM
from qa.vm.boot import NoGuestError
from qa.vm.checks_ends import NUMBERS
from qa.vm.checks_leaks import CELLS, KILLS, RUNS
from qa.vm.guest import Guest, Image, booted
from qa.vm.table import CHECKS, QUICK

TICKS = """
import json, socket, time
agentd = socket.socket(fileno=3)
agentd.recv(65536)
for number in range(600):
    agentd.send(json.dumps({"t": "log", "text": str(number)}).encode())
    time.sleep(0.5)
"""


CANNOT = 75  # EX_TEMPFAIL of sysexits.h


def main(image: Path, package: Path, *, is_all: bool, within_s: float) -> int:
    """Boot once, check, tell."""
    names = tuple(CHECKS) if is_all else QUICK
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aaos-payload-") as place:
        payload = _payload(Path(place), package)
        try:
            with booted(Image(image / "disk", image / "kernel", image / "initrd"), payload) as guest:
                print(f"the guest is up after {time.monotonic() - began_s:.0f} s\n", flush=True)
                passed = [_check(name, guest) for name in names if time.monotonic() < began_s + within_s]
        except NoGuestError as error:
            print(f"vm: nothing was tried: {error}", file=sys.stderr)
            return CANNOT
    tell(names, passed, time.monotonic() - began_s)
    return 0 if all(passed) else 1


def tell(names: Sequence[str], passed: Sequence[bool], took_s: float) -> None:
    """What passed, and by name what was not tried."""
    more = f"; {len(CHECKS) - len(names)} more with --all" if len(names) < len(CHECKS) else ""
    print(f"\n{sum(passed)} of {len(passed)} checks passed in {took_s:.0f} s{more}", flush=True)
    if late := names[len(passed) :]:
        print(f"vm: NOT tried, since the time was over: {', '.join(late)}", file=sys.stderr)


def _check(name: str, guest: Guest) -> bool:
    began_s = time.monotonic()
    try:
        said, passed = CHECKS[name](guest), True
    except Exception as error:  # noqa: BLE001  # whatever it is, the check has failed
        said, passed = f"{type(error).__name__}: {str(error) or _line(error)}", False
    print(f"{'ok    ' if passed else 'FAILED'}  {name:<26} {time.monotonic() - began_s:5.1f} s  {said}", flush=True)
    return passed


def _line(error: Exception) -> str | None:
    """What did not hold, where an assertion says nothing of it: Python's own leaves it out."""
    return traceback.extract_tb(error.__traceback__)[-1].line


def _payload(place: Path, package: Path) -> Path:
    """The second disk: the package, and the program that waits."""
    files = place / "files"
    files.mkdir()
    shutil.copy(package, files)
    shutil.copytree(REPOSITORY / "qa/pages", files / "pages")
    shutil.copytree(REPOSITORY / "qa/hostile", files / "hostile")
    shutil.copytree(REPOSITORY / "packaging/debian/tests", files / "tests")
    (files / "script.yaml").write_text('models: [scripted]\nsteps:\n  - text: "yes"\n')
    (files / "waits.py").write_text(WAITING_PROGRAM)
    (files / "ticks.py").write_text(TICKS)
    (files / "asks.py").write_text(ASKS)
    (files / "reads.py").write_text(READS)
    (files / "runs.py").write_text(RUNS)
    (files / "numbers.py").write_text(NUMBERS)
    (files / "cells.py").write_text(CELLS)
    (files / "kills.py").write_text(KILLS)
    subprocess.run(["mke2fs", "-qF", "-t", "ext4", "-d", files, place / "payload", "32M"], check=True)
    return place / "payload"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="qa.vm")
    parser.add_argument("image", type=Path)
    parser.add_argument("package", type=Path)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--within", type=float, default=float("inf"))
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    sys.exit(main(given.image, given.package, is_all=given.all, within_s=given.within))
