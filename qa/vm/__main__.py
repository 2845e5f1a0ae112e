"""`python -m qa.vm IMAGE PACKAGE [--all]`: checks in the guest, as a table; exit status 1 if anything failed."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from qa.daemon import REPOSITORY
from qa.demo import WAITING_PROGRAM
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


def main(image: Path, package: Path, *, is_all: bool) -> int:
    """Boot once, check, tell."""
    failed, names = 0, tuple(CHECKS) if is_all else QUICK
    with tempfile.TemporaryDirectory(prefix="aaos-payload-") as place:
        payload = _payload(Path(place), package)
        began_s = time.monotonic()
        with booted(Image(image / "disk", image / "kernel", image / "initrd"), payload) as guest:
            print(f"the guest is up after {time.monotonic() - began_s:.0f} s\n", flush=True)
            for name in names:
                failed += not _check(name, guest)
            took_s = time.monotonic() - began_s
    left_out = f"; {len(CHECKS) - len(names)} more with --all" if len(names) < len(CHECKS) else ""
    print(f"\n{len(names) - failed} of {len(names)} checks passed in {took_s:.0f} s{left_out}")
    return 1 if failed else 0


def _check(name: str, guest: Guest) -> bool:
    began_s = time.monotonic()
    try:
        said, passed = CHECKS[name](guest), True
    except Exception as error:  # noqa: BLE001  # whatever it is, the check has failed
        said, passed = f"{type(error).__name__}: {error}", False
    print(f"{'ok    ' if passed else 'FAILED'}  {name:<26} {time.monotonic() - began_s:5.1f} s  {said}", flush=True)
    return passed


def _payload(place: Path, package: Path) -> Path:
    """The second disk: the package, and the program that waits."""
    files = place / "files"
    files.mkdir()
    shutil.copy(package, files)
    shutil.copytree(REPOSITORY / "qa/pages", files / "pages")
    shutil.copytree(REPOSITORY / "qa/hostile", files / "hostile")
    (files / "script.yaml").write_text('models: [scripted]\nsteps:\n  - text: "yes"\n')
    (files / "waits.py").write_text(WAITING_PROGRAM)
    (files / "ticks.py").write_text(TICKS)
    subprocess.run(["mke2fs", "-qF", "-t", "ext4", "-d", files, place / "payload", "32M"], check=True)
    return place / "payload"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), is_all="--all" in sys.argv[3:]))
