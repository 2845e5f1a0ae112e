import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.core.errors import ConflictError, StorageError
from aaos.store.statedir import LOCK, MARKER, Marker, StateDir


@pytest.fixture
def umask_000() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask_000")
def test_what_is_made_is_private_whatever_the_umask(state_dir: Path) -> None:
    """H-SEC-10"""
    state = StateDir.open(state_dir)
    state.prepare("aaos.db")
    state.write_marker(Marker("d", 1, is_clean=True))
    assert state_dir.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in state_dir.iterdir()}
    assert modes == {LOCK: 0o600, "aaos.db": 0o600, MARKER: 0o600}
    state.close()


def test_a_directory_that_others_could_only_read_is_closed(state_dir: Path) -> None:
    """H-SEC-10: systemd makes state directories with mode 0755."""
    state_dir.mkdir(mode=0o755)
    StateDir.open(state_dir).close()
    assert state_dir.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_could_write_is_refused(state_dir: Path) -> None:
    """H-SEC-10"""
    state_dir.mkdir()
    state_dir.chmod(0o770)
    with pytest.raises(StorageError, match="others may write") as caught:
        StateDir.open(state_dir)
    assert f"chmod go-rwx {state_dir}" in caught.value.remedy


def test_a_file_that_others_could_write_is_refused_and_one_they_could_read_is_closed(state_dir: Path) -> None:
    """H-SEC-10"""
    state = StateDir.open(state_dir)
    state.prepare("aaos.db")
    (state_dir / "aaos.db").chmod(0o644)
    assert state.check("aaos.db") == 0
    assert (state_dir / "aaos.db").stat().st_mode & 0o777 == 0o600
    (state_dir / "aaos.db").chmod(0o602)
    with pytest.raises(StorageError, match="others may write"):
        state.check("aaos.db")
    state.close()


def test_what_belongs_to_another_user_is_refused(state_dir: Path) -> None:
    """H-SEC-10"""
    state_dir.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(state_dir, 12345, 12345)
        with pytest.raises(StorageError, match="belongs to uid 12345"):
            StateDir.open(state_dir)
    else:
        with pytest.raises(StorageError, match="belongs to uid 0"):
            StateDir.open(Path("/etc"))


def test_a_link_is_not_followed(state_dir: Path, tmp_path: Path) -> None:
    state = StateDir.open(state_dir)
    victim = tmp_path / "victim"
    victim.write_text("")
    (state_dir / "aaos.db").symlink_to(victim)
    with pytest.raises(StorageError, match="not a plain file"):
        state.prepare("aaos.db")
    (state_dir / "other").hardlink_to(victim)
    with pytest.raises(StorageError, match="not a plain file"):
        state.prepare("other")
    state.close()


def test_a_second_daemon_is_told_who_is_there(state_dir: Path) -> None:
    """H-DUR-12"""
    first = StateDir.open(state_dir)
    with pytest.raises(ConflictError, match=f"pid {os.getpid()}") as caught:
        StateDir.open(state_dir)
    assert f"kill {os.getpid()}" in caught.value.remedy
    first.close()
    first.close()
    StateDir.open(state_dir).close()


def test_a_refused_daemon_keeps_no_descriptor(state_dir: Path) -> None:
    first = StateDir.open(state_dir)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(ConflictError):
            StateDir.open(state_dir)
    assert len(os.listdir("/proc/self/fd")) == before
    first.close()


def test_a_lock_file_that_was_replaced_does_not_count(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-DUR-12: between open and flock the name may come to mean another file."""
    StateDir.open(state_dir).close()
    true_open = os.open
    swaps = iter([True])

    def open_then_swap(path: Path, flags: int, mode: int = 0o777) -> int:
        fd = true_open(path, flags, mode)
        if Path(path).name == LOCK and not flags & os.O_CREAT and next(swaps, False):
            Path(path).unlink()
            Path(path).touch(0o600)
        return fd

    monkeypatch.setattr(os, "open", open_then_swap)
    state = StateDir.open(state_dir)
    monkeypatch.undo()
    with pytest.raises(ConflictError):
        StateDir.open(state_dir)
    state.close()


def _marked(state_dir: Path) -> StateDir:
    opened = StateDir.open(state_dir)
    opened.write_marker(Marker("d", 1, is_clean=False))
    return opened


@pytest.mark.parametrize("away", ["unlink", "rename"])
def test_a_daemon_knows_that_its_state_was_taken_over(state_dir: Path, away: str) -> None:
    """H-DUR-12: also when it stood still meanwhile, and can ask in any thread."""
    before = _marked(state_dir)
    assert before.is_ours()
    lock = state_dir / "lock"
    if away == "rename":
        lock.rename(state_dir / "lock.old")
    lock.unlink(missing_ok=True)
    after = _marked(state_dir)
    assert (before.is_ours(), after.is_ours()) == (False, True)
    after.write_marker(Marker("d", 1, is_clean=True))
    assert after.is_ours()
    after.close()
    assert not after.is_ours()
    before.close()


def test_the_parent_must_exist(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such directory") as caught:
        StateDir.open(tmp_path / "a" / "b")
    assert caught.value.remedy == f"make it: mkdir -p {tmp_path / 'a'}"


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StorageError, match="not a directory"):
        StateDir.open(tmp_path / "state")


def test_the_marker_comes_back_and_its_absence_is_none(state_dir: Path) -> None:
    state = StateDir.open(state_dir)
    assert state.marker() is None
    state.write_marker(Marker("abc", 3, is_clean=False))
    state.write_marker(Marker("abc", 4, is_clean=True))
    assert state.marker() == Marker("abc", 4, is_clean=True)
    state.close()


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 80, b"{}", b'{"database": 1, "epoch": 1, "is_clean": true}', b"[" * 5000, b'{"epoch": 1}', b"\xff"],
)
def test_a_damaged_marker_is_told(state_dir: Path, content: bytes) -> None:
    """H-DUR-06"""
    state = StateDir.open(state_dir)
    state.prepare(MARKER)
    (state_dir / MARKER).write_bytes(content)
    with pytest.raises(StorageError, match="it is damaged") as caught:
        state.marker()
    assert caught.value.remedy.endswith(f"rm {state_dir / MARKER}")
    state.close()


def test_a_marker_is_on_the_disk_and_then_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-DUR-06: without the second sync a power cut could bring the marker of before back."""
    synced: list[str] = []
    real = os.fsync

    def sync(fd: int) -> None:
        real(fd)
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))

    state = StateDir.open(tmp_path / "state")
    monkeypatch.setattr(os, "fsync", sync)
    state.write_marker(Marker("x", 1, is_clean=True))
    assert synced == [str(tmp_path / "state" / f"{MARKER}.new"), str(tmp_path / "state")]
    state.close()
