"""The broker with the kernel's own rights: it acts as the submitter and never as the daemon (CAP-0, H-FS-05)."""

import functools
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.broker.files import FileBroker
from aaos.broker.roots import close_roots
from aaos.core.capability import Capability, Kind
from aaos.core.envelope import Submitter
from aaos.core.errors import AaosError, DeniedError
from aaos.core.ids import Gid, Uid
from aaos.core.ports import Held, Root
from worker.wall import syscalls

ALICE = Submitter(Uid(61_001), Gid(61_001))
BOB = Submitter(Uid(61_002), Gid(61_002))
TEMPORARY = ".aaos-kernel-test.tmp"
files_of = functools.partial(FileBroker, publishing_lock=threading.Lock())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory of Alice that everybody may enter."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, ALICE.uid, ALICE.gid)
    return home


@pytest.fixture
def at(home: Path) -> Iterator[Root]:
    fd = os.open(home, os.O_PATH | os.O_DIRECTORY)
    yield Root(str(home), fd, True, True, False, ALICE.uid, ALICE.gid, Held.GATE)
    os.close(fd)


def put(path: Path, text: str, who: Submitter, mode: int) -> Path:
    path.write_text(text)
    os.chown(path, who.uid, who.gid)
    path.chmod(mode)
    return path


def publish(files: FileBroker, root: Root, name: str, content: bytes) -> None:
    pending = files.begin_write(root, name)
    os.write(pending.content, content)
    files.publish(pending, TEMPORARY, check=lambda *_: None, may_commit=lambda: True)


def may_read(files: FileBroker, root: Root, name: str, *, as_owner: bool) -> bool:
    try:
        os.close(files.open_for_read(root, name, as_owner=as_owner))
    except DeniedError:
        return False
    return True


def test_reading_is_as_everybody_unless_it_is_as_owner(home: Path, at: Root) -> None:
    """ISO-2, CAP-0: and root's own rights are never used."""
    put(home / "public", "x", ALICE, 0o644)
    put(home / "private", "x", ALICE, 0o600)
    put(home / "roots", "x", Submitter(Uid(0), Gid(0)), 0o600)
    put(home / "groups", "x", Submitter(Uid(0), Gid(61_009)), 0o640)
    seen = {
        name: [may_read(files_of(ALICE), at, name, as_owner=owner) for owner in (False, True)]
        for name in ("public", "private", "roots", "groups")
    }
    assert seen == {"public": [True, True], "private": [False, True], "roots": [False] * 2, "groups": [False] * 2}
    member = Submitter(ALICE.uid, ALICE.gid, (61_009,))
    assert may_read(files_of(member), at, "groups", as_owner=True)


def test_writing_is_as_the_submitter(home: Path, at: Root) -> None:
    """H-FS-13: a file or directory that they may not write stays as it is, and what they write is theirs."""
    publish(files_of(ALICE), at, "new", b"text")
    status = (home / "new").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (ALICE.uid, ALICE.gid, 0o644)
    put(home / "read-only", "old", ALICE, 0o444)
    put(home / "roots", "old", Submitter(Uid(0), Gid(0)), 0o666)
    for files, name in ((files_of(BOB), "bobs"), (files_of(ALICE), "read-only"), (files_of(ALICE), "roots")):
        with pytest.raises(DeniedError):
            publish(files, at, name, b"evil")
    assert sorted(os.listdir(home)) == ["new", "read-only", "roots"]
    assert (home / "read-only").read_text() == (home / "roots").read_text() == "old"


def test_roots_are_opened_with_the_submitters_rights(home: Path) -> None:
    """CAP-0"""
    secret = home / "secret"
    secret.mkdir(mode=0o700)
    os.chown(secret, ALICE.uid, ALICE.gid)
    (secret / "d").mkdir()
    inside = Capability(Kind.FILE_READ, f"{secret}/d/**")
    close_roots(files_of(ALICE).open_roots((inside,)))
    with pytest.raises(DeniedError):
        files_of(BOB).open_roots((inside,))
    with pytest.raises(DeniedError):
        files_of(BOB).resolve(f"{secret}/d")


def test_the_rights_of_the_daemon_come_back(home: Path, at: Root) -> None:
    with pytest.raises(AaosError):
        files_of(BOB).begin_write(at, "none/x")
    put(home / "private", "x", ALICE, 0o600)
    assert os.open(home / "private", os.O_RDWR) > 0
    assert os.getgroups() is not None


def swapping(path: Path, other: Path, stop: threading.Event) -> int:
    """Exchange two names as fast as it goes; how often."""
    count = 0
    directory = os.open(path.parent, os.O_PATH)
    while not stop.is_set():
        syscalls.renameat2(directory, path.name, directory, other.name, flags=syscalls.RENAME_EXCHANGE)
        count += 1
    os.close(directory)
    return count


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_name_that_is_swapped_for_a_link_never_leads_outside(home: Path, at: Root, what: str) -> None:
    """H-FS-05: what is read is from inside, and what is written stays inside."""
    outside = home.parent / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    put(outside / "f", "outside", ALICE, 0o666)
    (home / "d").mkdir()
    put(home / "d" / "f", "inside", ALICE, 0o644)
    os.chown(home / "d", ALICE.uid, ALICE.gid)
    if what == "file":
        (home / "d" / "other").symlink_to(outside / "f")
        pair = (home / "d" / "f", home / "d" / "other")
    else:
        (home / "other").symlink_to(outside)
        pair = (home / "d", home / "other")
    stop = threading.Event()
    swapper = threading.Thread(target=swapping, args=(*pair, stop))
    swapper.start()
    files, hits, until_s = files_of(ALICE), 0, time.monotonic() + 3
    try:
        while time.monotonic() < until_s:
            try:
                fd = files.open_for_read(at, "d/f", as_owner=True)
            except AaosError:
                pass
            else:
                assert os.read(fd, 100) in (b"inside", b"written")
                os.close(fd)
                hits += 1
            try:
                publish(files, at, "d/f", b"written")
            except AaosError:
                continue
    finally:
        stop.set()
        swapper.join()
    assert hits > 10, "the race was never won"
    assert (outside / "f").read_text() == "outside"
    assert os.listdir(outside) == ["f"]


KILLED = """
import os, sys, threading
from aaos.broker.files import FileBroker
from aaos.core.envelope import Submitter
from aaos.core.ports import Held, Root
home, sizes = sys.argv[1], (5_000_000, 7_000_000)
files = FileBroker(Submitter(61001, 61001), publishing_lock=threading.Lock())
root = Root(home, os.open(home, os.O_PATH), True, True, False, 61001, 61001, Held.GATE)
print("ready", flush=True)
for turn in range(10_000):
    pending = files.begin_write(root, "f")
    os.write(pending.content, bytes([65 + turn % 2]) * sizes[turn % 2])
    files.publish(pending, ".aaos-kernel-test.tmp", check=lambda *_: None, may_commit=lambda: True)
"""


def test_a_killed_daemon_leaves_the_old_content_or_the_new(home: Path, at: Root) -> None:
    """H-FS-18: never a mixture; and what it left beside the file is found by its name."""
    whole = {b"A" * 5_000_000, b"B" * 7_000_000}
    for turn in range(12):
        put(home / "f", "A" * 5_000_000, ALICE, 0o644)
        command = [sys.executable, "-c", KILLED, str(home)]
        with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.013 * turn)
            process.send_signal(signal.SIGKILL)
        assert (home / "f").read_bytes() in whole
        files_of(ALICE).remove_stale(at, "f", TEMPORARY)
        assert os.listdir(home) == ["f"]
