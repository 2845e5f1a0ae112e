"""The one step in which content becomes a file: whole or not at all, from bytes that cannot change (H-FS-18)."""

import fcntl
import hashlib
import mmap
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from aaos.broker import publishing
from aaos.broker.files import FileBroker
from aaos.broker.publishing import PendingWrite
from aaos.core.errors import AaosError, ConflictError, DeniedError, StorageError, ToolError
from tests.unit.broker.scene import TEMPORARY, anything, broker, root, write
from worker.wall import syscalls


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with one file."""
    (tmp_path / "f").write_text("old")
    return tmp_path


def begun(data: Path, name: str = "f", *, for_edit: bool = False, content: bytes = b"new") -> PendingWrite:
    pending = broker().begin_write(root(data), name, for_edit=for_edit)
    os.write(pending.content, content)
    return pending


def published(files: FileBroker, pending: PendingWrite, **hooks: Callable[..., object]) -> object:
    check, may_commit = hooks.get("check", anything), hooks.get("may_commit", lambda: True)
    return files.publish(pending, TEMPORARY, check=check, may_commit=may_commit)  # type: ignore[arg-type]  # see hooks


def test_a_new_file_is_created(data: Path) -> None:
    observed = write(broker(), broker().begin_write(root(data), "g"), b"content")
    assert (data / "g").read_bytes() == b"content"
    assert observed.sha256 == hashlib.sha256(b"content").hexdigest()
    assert (observed.path, observed.size_bytes, observed.mode, observed.was_there) == (f"{data}/g", 7, 0o644, False)
    assert sorted(os.listdir(data)) == ["f", "g"]


@pytest.mark.parametrize(("mode", "after"), [(0o600, 0o600), (0o755, 0o755), (0o6755, 0o755), (0o1644, 0o644)])
def test_a_replaced_file_keeps_its_permissions_without_special_bits(data: Path, mode: int, after: int) -> None:
    """H-FS-14"""
    (data / "f").chmod(mode)
    observed = write(broker(), broker().begin_write(root(data), "f"), b"")
    assert (data / "f").read_bytes() == b""
    assert stat.S_IMODE((data / "f").stat().st_mode) == observed.mode == after
    assert observed.was_there
    assert os.listdir(data) == ["f"]


def test_what_is_written_after_done_goes_nowhere(data: Path) -> None:
    """A hostile worker keeps its fd: what was checked is what is published."""
    pending = begun(data)
    theirs = os.dup(pending.content)

    def check(content: int, _before: int) -> None:
        with pytest.raises(PermissionError):
            os.write(theirs, b"evil")
        with pytest.raises(PermissionError):
            os.ftruncate(theirs, 0)
        with pytest.raises(PermissionError):
            fcntl.fcntl(theirs, fcntl.F_ADD_SEALS, 0)
        assert os.pread(content, 9, 0) == b"new"

    published(broker(), pending, check=check)
    assert (data / "f").read_text() == "new"
    os.close(theirs)


def test_a_buffer_that_is_mapped_for_writing_is_not_published(data: Path) -> None:
    pending = begun(data)
    with mmap.mmap(pending.content, 3), pytest.raises(ToolError, match="cannot be sealed"):
        published(broker(), pending)
    assert (data / "f").read_text() == "old"


@pytest.mark.parametrize(
    ("seals", "is_published"), [(fcntl.F_SEAL_SEAL, False), (publishing.SEALS, True), (fcntl.F_SEAL_GROW, True)]
)
def test_a_buffer_that_the_worker_sealed_itself(data: Path, seals: int, is_published: bool) -> None:
    pending = begun(data)
    fcntl.fcntl(pending.content, fcntl.F_ADD_SEALS, seals)
    if is_published:
        published(broker(), pending)
    else:
        with pytest.raises(ToolError, match="cannot be sealed"):
            published(broker(), pending)
    assert (data / "f").read_text() == ("new" if is_published else "old")


def test_a_buffer_that_is_too_large_is_not_even_read(data: Path) -> None:
    """H-FS-09: a sparse one costs the worker nothing and us nothing."""
    pending = begun(data)
    os.ftruncate(pending.content, 100 * 2**30)
    with pytest.raises(ToolError, match="107374182400 bytes were written"):
        published(broker(), pending)
    assert (data / "f").read_text() == "old"


def test_content_that_does_not_pass_the_check_is_not_published(data: Path) -> None:
    def check(_content: int, _before: int) -> None:
        raise ToolError("no", "")

    with pytest.raises(ToolError):
        published(broker(), begun(data), check=check)
    assert (data / "f").read_text() == "old"
    assert os.listdir(data) == ["f"]


def test_a_revoked_write_is_not_published(data: Path) -> None:
    """CAP-5"""
    for name in ("f", "new"):
        with pytest.raises(ConflictError, match="revoked"):
            published(broker(), begun(data, name), may_commit=lambda: False)
    assert (data / "f").read_text() == "old"
    assert os.listdir(data) == ["f"]


def replace_with(text: str) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        other = path.with_name("other")
        other.write_text(text)
        other.rename(path)

    return act


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def in_place(path: Path) -> None:
    status = path.stat()
    path.write_text("odd")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    "act",
    [
        lambda path: path.write_text("other"),
        in_place,
        replace_with("theirs"),
        replace_with("old"),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
        fifo,
    ],
)
def test_a_file_that_changed_meanwhile_is_a_conflict(data: Path, act: Callable[[Path], object]) -> None:
    """H-FS-19: whatever somebody else made of it stays."""
    pending = begun(data)
    act(data / "f")
    status = os.lstat(data / "f") if os.path.lexists(data / "f") else None
    with pytest.raises(ConflictError, match="changed by somebody else"):
        published(broker(), pending)
    after = os.lstat(data / "f") if os.path.lexists(data / "f") else None
    assert (status and (status.st_ino, status.st_size)) == (after and (after.st_ino, after.st_size))
    assert TEMPORARY not in os.listdir(data)


def test_a_file_that_appeared_meanwhile_is_a_conflict(data: Path) -> None:
    pending = begun(data, "new")
    (data / "new").write_text("theirs")
    with pytest.raises(ConflictError):
        published(broker(), pending)
    assert (data / "new").read_text() == "theirs"


def test_of_two_writers_one_wins(data: Path) -> None:
    """H-FS-19"""
    for name in ("f", "new"):
        first, second = begun(data, name, content=b"first"), begun(data, name, content=b"second")
        published(broker(), first)
        with pytest.raises(ConflictError):
            published(broker(), second)
        assert (data / name).read_text() == "first"


@pytest.mark.parametrize("act", [replace_with("theirs!"), lambda path: path.write_text("in place")])
def test_a_change_in_the_last_moment_is_not_lost(
    data: Path, act: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-FS-19: after the last look and before the exchange."""
    pending = begun(data)
    swap = syscalls.renameat2
    calls = []

    def late(*args: object, **flags: object) -> None:
        calls.append(args)
        if len(calls) == 1:
            act(data / "f")
        swap(*args, **flags)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(syscalls, "renameat2", late)
    theirs = {"theirs!", "in place"}
    with pytest.raises(ConflictError):
        published(broker(), pending)
    assert (data / "f").read_text() in theirs
    assert len(calls) == 2
    assert os.listdir(data) == ["f"]


def test_what_a_third_party_put_under_our_name_is_not_removed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program exchanged the file between our exchange and our exchange back."""
    pending = begun(data)
    swap = syscalls.renameat2
    calls = []

    def late(*args: object, **flags: object) -> None:
        calls.append(args)
        replace_with(f"theirs {len(calls)}")(data / "f")
        swap(*args, **flags)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(syscalls, "renameat2", late)
    with pytest.raises(ConflictError):
        published(broker(), pending)
    assert {path.read_text() for path in data.iterdir()} == {"theirs 1", "theirs 2"}


def test_a_directory_that_was_replaced_is_a_conflict(data: Path) -> None:
    """H-FS-05: nothing is written where the name leads now, or where the old directory was moved to."""
    (data / "d").mkdir()
    pending = begun(data, "d/new")
    (data / "d").rename(data / "moved")
    (data / "d").mkdir()
    with pytest.raises(ConflictError, match="directory"):
        published(broker(), pending)
    (data / "d").rmdir()
    (data / "d").symlink_to("moved")
    with pytest.raises(AaosError):
        published(broker(), begun_at(data, pending))
    assert os.listdir(data / "moved") == []


def begun_at(data: Path, like: PendingWrite) -> PendingWrite:
    """The same write with a fresh buffer."""
    return PendingWrite(
        root(data), like.relative, like.path, like.parent, None, os.memfd_create("x", os.MFD_ALLOW_SEALING)
    )


def test_a_long_pre_image_is_known_by_its_change_time(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash of 64 MiB would stop the event loop; the change time cannot be set by anybody."""
    monkeypatch.setattr("aaos.broker.files.HASH_NOW_BYTES", 2)
    pending = begun(data)
    assert pending.pre is not None
    assert not pending.pre.is_hashed
    published(broker(), pending)
    assert (data / "f").read_text() == "new"
    pending = begun(data, content=b"third")
    in_place(data / "f")
    with pytest.raises(ConflictError):
        published(broker(), pending)
    assert (data / "f").read_text() == "odd"


@pytest.mark.parametrize("hash_up_to", [2, 1_000])
def test_an_edit_is_checked_against_a_sealed_copy(data: Path, hash_up_to: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aaos.broker.files.HASH_NOW_BYTES", hash_up_to)

    def check(_content: int, before: int) -> None:
        assert os.pread(before, 9, 0) == b"old"
        with pytest.raises(PermissionError):
            os.write(before, b"x")

    published(broker(), begun(data, for_edit=True), check=check)
    pending = begun(data, for_edit=True, content=b"third")
    in_place(data / "f")
    with pytest.raises(ConflictError):
        published(broker(), pending, check=check)
    assert (data / "f").read_text() == "odd"


@pytest.mark.parametrize(
    ("call", "error"),
    [("fsync", OSError(28, "full")), ("fchmod", OSError(5, "io")), ("write", OSError(122, "quota"))],
)
def test_a_full_or_broken_disk_leaves_the_old_file(
    data: Path, call: str, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5"""
    for name in ("f", "new"):
        pending = begun(data, name)

        def fail(*_args: object) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(StorageError):
                published(broker(), pending)
        assert (data / "f").read_text() == "old"
        assert os.listdir(data) == ["f"]


def test_a_file_system_that_cannot_exchange_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_flags: object) -> None:
        raise OSError(22, "invalid")

    monkeypatch.setattr(syscalls, "renameat2", fail)
    with pytest.raises(ToolError, match="in one step"):
        published(broker(), begun(data))
    assert (data / "f").read_text() == "old"
    assert os.listdir(data) == ["f"]


def test_a_planted_temporary_name_is_not_followed(data: Path) -> None:
    """A link there would lead the content elsewhere."""
    (data / TEMPORARY).symlink_to("/tmp/elsewhere-of-aaos-test")
    with pytest.raises((StorageError, DeniedError)):
        published(broker(), begun(data))
    assert not Path("/tmp/elsewhere-of-aaos-test").exists()
    assert (data / "f").read_text() == "old"


def test_the_order_of_steps_survives_a_power_cut(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-FS-18: content on disk before its name, the name before the answer."""
    steps: list[str] = []
    swap, sync = syscalls.renameat2, os.fsync

    def renamed(*args: object, **flags: object) -> None:
        steps.append("exchange")
        swap(*args, **flags)  # type: ignore[arg-type]  # passed on as they came

    def synced(fd: int) -> None:
        steps.append("sync directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync file")
        sync(fd)

    monkeypatch.setattr(syscalls, "renameat2", renamed)
    monkeypatch.setattr(os, "fsync", synced)
    published(broker(), begun(data))
    assert steps == ["sync file", "exchange", "sync directory"]


def test_nothing_stays_open(data: Path) -> None:
    pending = begun(data, for_edit=True)
    before = len(os.listdir("/proc/self/fd"))
    published(broker(), pending)
    stale = begun(data)
    (data / "f").write_text("x")
    with pytest.raises(ConflictError):
        published(broker(), stale)
    assert len(os.listdir("/proc/self/fd")) == before - 2 + 1, "the buffers are closed; one root of this test is new"
