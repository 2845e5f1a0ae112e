"""Trees that approvals are bound to, on real mounts and with real rights: nothing is passed over (BRK-6)."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from aaos.broker.binding import BindLimits
from aaos.broker.files import FileBroker
from aaos.core.envelope import Submitter
from aaos.core.errors import ToolError
from aaos.core.ids import Gid, Uid
from tests.kernel.harness import OWNER, granted

LIMITS = BindLimits()
OUTSIDE_BYTES = 2_000_000
FILES = FileBroker(Submitter(Uid(OWNER), Gid(OWNER)), publishing_lock=threading.Lock())


def bound(path: Path) -> str:
    with granted(path, writable=True, as_owner=True) as root:
        return FILES.bind([root], LIMITS, may_go_on=lambda: True).text


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory of OWNER's with another in it, which others can pass."""
    for path in (tmp_path.parent, tmp_path):
        path.chmod(0o755)
    below = tmp_path / "tree" / "below"
    below.mkdir(parents=True)
    (below / "Makefile").write_text("all:\n")
    for path in (below.parent, below, below / "Makefile"):
        os.chown(path, OWNER, OWNER)
    return below.parent


def test_what_a_mount_hides_cannot_be_bound(tree: Path) -> None:
    """A cell and a worker see what lies under it, which this process does not."""
    below = tree / "below"
    before = bound(tree)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(below)], check=True)
    try:
        with pytest.raises(ToolError, match="is a mount of its own"):
            bound(tree)
    finally:
        subprocess.run(["umount", str(below)], check=True)
    file = tree / "below" / "Makefile"
    subprocess.run(["mount", "--bind", "/etc/hostname", str(file)], check=True)
    try:
        with pytest.raises(ToolError, match="is a mount of its own"):
            bound(tree)
    finally:
        subprocess.run(["umount", str(file)], check=True)
    assert bound(tree) == before


def test_it_looks_with_the_rights_of_the_submitter(tree: Path) -> None:
    """Of a private file of root's only what its content changes; a private directory of root's is refused."""
    private = tree / "private"
    private.write_text("one")
    private.chmod(0o600)
    before = bound(tree)
    os.utime(private, ns=(1, private.stat().st_mtime_ns))
    assert bound(tree) != before, "its change of status, since its content is not for these rights"
    shut = tree / "shut"
    shut.mkdir(0o700)
    with pytest.raises(ToolError, match="may not be looked at"):
        bound(tree)


def test_an_exchange_while_it_looks_leads_nowhere_else(tree: Path) -> None:
    """H-FS-02: a name that changes between a file, a directory and a link out never shows what lies outside."""
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * OUTSIDE_BYTES)
    stop = threading.Event()

    def exchange() -> None:
        at = tree / "below"
        while not stop.is_set():
            at.rename(tree / "aside")
            at.symlink_to(outside)
            at.unlink()
            (tree / "aside").rename(at)

    thread = threading.Thread(target=exchange)
    thread.start()
    seen = 0
    try:
        for _ in range(300):
            with granted(tree, writable=True, as_owner=True) as root:
                try:
                    seen = max(seen, FILES.bind([root], LIMITS, may_go_on=lambda: True).size_bytes)
                except ToolError:
                    continue
    finally:
        stop.set()
        thread.join()
    assert 0 < seen < OUTSIDE_BYTES, "what is inside can be found twice, under both names"
