"""The system calls that the standard library lacks: each does what its line says, and raises the kernel's errno."""

import errno
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kernel.harness import DEADLINE_S, OWNER, STRANGER, TREE, loaded_filters
from worker.wall import syscalls

BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A file that only OWNER may read, where everybody may look."""
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    file = tmp_path / "private"
    file.write_text("mine")
    os.chown(file, OWNER, OWNER)
    file.chmod(0o600)
    return file


@pytest.mark.parametrize(("path", "number"), [
    ("inner/file", 0), ("../outside", errno.EXDEV), ("/etc/passwd", errno.EXDEV), ("leaf", errno.ELOOP),
    ("way/file", errno.ELOOP), ("inner/../inner/file", 0), ("nothing", errno.ENOENT),
    ("inner/../../outside", errno.EXDEV),
])  # fmt: skip
def test_openat2_stays_beneath(tmp_path: Path, path: str, number: int) -> None:
    """H-FS-03, H-FS-04"""
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (root / "inner" / "file").touch()
    (tmp_path / "outside").touch()
    (root / "leaf").symlink_to("inner/file")
    (root / "way").symlink_to("inner")
    fd = os.open(root, os.O_PATH)
    try:
        os.close(syscalls.openat2(fd, path, flags=os.O_RDONLY, resolve=BENEATH))
        refused = 0
    except OSError as error:
        refused = error.errno or 0
    finally:
        os.close(fd)
    assert refused == number


def test_acting_as_reads_as_that_user_and_only_within(private: Path) -> None:
    """ISO-2: the file is root's to read before and after, the owner's within, and nobody else's."""
    with syscalls.acting_as(OWNER, OWNER, ()):
        assert private.read_text() == "mine"
    with syscalls.acting_as(STRANGER, STRANGER, ()), pytest.raises(PermissionError):
        private.read_text()
    assert private.read_text() == "mine"


def test_acting_as_ends_with_its_own_rights_after_an_error(private: Path) -> None:
    """ISO-2"""
    before = os.getgroups()
    with pytest.raises(KeyError), syscalls.acting_as(STRANGER, STRANGER, (STRANGER,)):
        raise KeyError
    assert private.read_text() == "mine"
    assert os.getgroups() == before


def test_acting_as_uses_the_groups(private: Path) -> None:
    """ISO-2: supplementary groups count, and only those that were named."""
    private.chmod(0o640)
    with syscalls.acting_as(STRANGER, STRANGER, (OWNER,)):
        assert private.read_text() == "mine"
    with syscalls.acting_as(STRANGER, STRANGER, (STRANGER,)), pytest.raises(PermissionError):
        private.read_text()


def test_acting_as_changes_one_thread_only(private: Path) -> None:
    """ISO-2: the daemon's other threads keep their rights."""
    read: list[str] = []
    changed, done = threading.Event(), threading.Event()

    def look() -> None:
        changed.wait(DEADLINE_S)
        read.append(private.read_text())
        done.set()

    thread = threading.Thread(target=look)
    thread.start()
    with syscalls.acting_as(STRANGER, STRANGER, ()):
        changed.set()
        assert done.wait(DEADLINE_S)
        with pytest.raises(PermissionError):
            private.read_text()
    thread.join()
    assert read == ["mine"]


def test_acting_as_root_is_acting_as_oneself(private: Path) -> None:
    """ISO-2"""
    with syscalls.acting_as(0, 0, ()):
        assert private.read_text() == "mine"


def test_renameat2_exchanges_and_does_not_replace(tmp_path: Path) -> None:
    """H-FS-05: Source: renameat2(2)."""
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    fd = os.open(tmp_path, os.O_PATH)
    try:
        with pytest.raises(FileExistsError):
            syscalls.renameat2(fd, "a", fd, "b", flags=syscalls.RENAME_NOREPLACE)
        syscalls.renameat2(fd, "a", fd, "b", flags=syscalls.RENAME_EXCHANGE)
        assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("b", "a")
        syscalls.renameat2(fd, "a", fd, "c", flags=syscalls.RENAME_NOREPLACE)
        assert sorted(os.listdir(tmp_path)) == ["b", "c"]
        with pytest.raises(FileNotFoundError):
            syscalls.renameat2(fd, "a", fd, "d")
    finally:
        os.close(fd)


def test_a_process_without_filters_is_an_error_and_runs_on() -> None:
    """ISO-9"""
    process = subprocess.Popen(["sleep", "600"])
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            loaded_filters(process.pid)
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "TracerPid:\t0" in status
        assert "State:\tT" not in status
    finally:
        process.kill()
        process.wait()


def test_the_filters_of_nobody_are_an_error() -> None:
    """ISO-9"""
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(ProcessLookupError):
        loaded_filters(process.pid)


@pytest.mark.parametrize(("number", "after"), [(signal.SIGSTOP, "T"), (signal.SIGTERM, "")])
def test_a_signal_that_comes_while_a_process_is_seized_reaches_it(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, after: str
) -> None:
    """BRK-6: a worker that is told to stand still does so, although somebody looks at it in the same moment."""
    process = subprocess.Popen(["sleep", "600"])
    ptrace = syscalls._ptrace

    def signalled(request: int, pid: int, address: int, data: int | None) -> int:
        result = ptrace(request, pid, address, data)
        if request == syscalls.PTRACE_SEIZE:
            os.kill(pid, number)
            _await_state(pid, "t")
        return result

    monkeypatch.setattr(syscalls, "_ptrace", signalled)
    try:
        syscalls.seize(process.pid)
        with suppress(ProcessLookupError):
            while not syscalls.has_stopped(process.pid):
                time.sleep(0.001)
            syscalls.let_go(process.pid)
        if after == "T":
            _await_state(process.pid, after)
        else:
            assert not Path(f"/proc/{process.pid}").exists()  # it has ended, and was collected by who looked
    finally:
        process.kill()
        process.wait()


def _await_state(pid: int, state: str) -> None:
    until_s = time.monotonic() + DEADLINE_S
    while (seen := Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) != state:
        assert time.monotonic() < until_s, seen
        time.sleep(0.001)


@pytest.mark.parametrize(("call", "number"), [
    ("syscalls.mount('none', '/nowhere', 'tmpfs', flags=0)", errno.ENOENT),
    ("syscalls.umount('/nowhere')", errno.ENOENT),
    ("syscalls.pivot_root('/nowhere', '/')", errno.ENOENT),
    ("syscalls.open_tree(syscalls.AT_FDCWD, '/nowhere')", errno.ENOENT),
    ("syscalls.move_mount(-1, '/')", errno.EBADF),
    ("syscalls.mount_setattr(-1, '', set_attributes=syscalls.MOUNT_ATTR_RDONLY)", errno.EBADF),
    ("syscalls.unshare(1)", errno.EINVAL),
    ("syscalls.clone(1 << 31 | 0x10000)", errno.EINVAL),
    ("syscalls.load_filter(b'\\0' * 8)", errno.EINVAL),
    ("syscalls.landlock_restrict_self(-1)", errno.EBADF),
    ("syscalls.landlock_create_ruleset(access_fs=1 << 60)", errno.EINVAL),
    ("syscalls.openat2(syscalls.AT_FDCWD, '/', flags=0, mode=0o777)", errno.EINVAL),
])  # fmt: skip
def test_a_call_that_fails_raises_the_errno_of_the_kernel(call: str, number: int) -> None:
    """ISO-8: in a process of its own; never a return value that nobody looks at."""
    lines = f"from worker.wall import syscalls\nsyscalls.unshare(syscalls.CLONE_NEWNS)\ntry:\n    {call}\n"
    code = f"{lines}except OSError as error:\n    print(error.errno)\nelse:\n    print('nothing raised')"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=TREE, check=True, capture_output=True, text=True, timeout=20
    )
    assert result.stdout == f"{number}\n"


def test_capabilities_are_gone_for_good() -> None:
    """ISO-6: from every set."""
    code = (
        "from worker.wall import syscalls\nsyscalls.drop_bounding_set()\nsyscalls.drop_capability_sets()\n"
        "print(sorted({line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=TREE, check=True, capture_output=True, text=True, timeout=20
    )
    assert result.stdout == "['0000000000000000']\n"


def test_a_machine_that_is_not_x86_64_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """ISO-8: the numbers would mean something else."""
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(OSError, match="built for x86_64, not aarch64"):
        syscalls.require_supported_machine()
