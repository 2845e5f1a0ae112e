"""Files get their places all together or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from aaos.core.errors import StorageError
from aaos.daemon.configure_files import Change, put_in_place, remove


def modes(path: Path) -> tuple[int, int]:
    return stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)


def test_each_file_has_its_mode_and_a_key_its_own_directory(tmp_path: Path) -> None:
    """H-SEC-10"""
    before = os.umask(0)
    try:
        put_in_place([Change(tmp_path / "k" / "key", b"secret", 0o600), Change(tmp_path / "s" / "set", b"x", 0o644)])
    finally:
        os.umask(before)
    assert modes(tmp_path / "k" / "key") == (0o600, 0o700)
    assert modes(tmp_path / "s" / "set") == (0o644, 0o755)
    assert "secret" not in repr(Change(tmp_path, b"secret", 0o600))


def test_a_file_that_is_there_is_replaced_and_a_link_is_not_followed(tmp_path: Path) -> None:
    """H-FS-08"""
    (tmp_path / "else").write_text("theirs")
    (tmp_path / "key").symlink_to(tmp_path / "else")
    put_in_place([Change(tmp_path / "key", b"ours", 0o600)])
    assert ((tmp_path / "else").read_text(), (tmp_path / "key").read_text()) == ("theirs", "ours")
    assert not (tmp_path / "key").is_symlink()


def test_when_one_cannot_be_written_none_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk."""
    (tmp_path / "a").write_text("before")
    synced: list[int] = []

    def full(fd: int) -> None:
        synced.append(fd)
        if len(synced) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="nothing was changed") as caught:
        put_in_place([Change(tmp_path / "a", b"after", 0o644), Change(tmp_path / "b", b"after", 0o644)])
    assert str(tmp_path / "b") in caught.value.message
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "before"}


def test_a_directory_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        put_in_place([Change(tmp_path / "a", b"x", 0o644)])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_is_removed_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    remove(tmp_path / "a")
    remove(tmp_path / "a")
    assert not (tmp_path / "a").exists()
