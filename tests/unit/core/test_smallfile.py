"""Only small regular files are read, and nothing blocks."""

import os
from pathlib import Path

import pytest

from aaos.core.errors import SettingsError
from aaos.core.smallfile import files_in, read_small_file


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"x" * 100)
    assert read_small_file(file, max_bytes=100) == b"x" * 100
    with pytest.raises(SettingsError, match="larger than 99 bytes"):
        read_small_file(file, max_bytes=99)


def _link(path: Path) -> None:
    path.with_name("target").write_text("secret")
    path.symlink_to("target")


def _listener(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    try:
        os.mknod(path.name, 0o600 | 0o140000, dir_fd=here)
    finally:
        os.close(here)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, _link, _listener, lambda path: None])
def test_anything_else_is_refused_at_once(tmp_path: Path, make: object) -> None:
    """H-FUZZ-03, H-FS-08"""
    path = tmp_path / "role.yaml"
    make(path)  # type: ignore[operator]  # a function of one path
    with pytest.raises(SettingsError, match=r"role\.yaml") as caught:
        read_small_file(path, max_bytes=100)
    assert caught.value.remedy


def test_an_endless_device_and_a_name_with_nul_are_refused() -> None:
    with pytest.raises(SettingsError, match="not a regular file"):
        read_small_file(Path("/dev/zero"), max_bytes=100)
    with pytest.raises(SettingsError, match="cannot be opened"):
        read_small_file(Path("/tmp/a\0b"), max_bytes=100)


def test_no_fd_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    before = os.listdir("/proc/self/fd")
    for path in (tmp_path, tmp_path / "a", tmp_path / "none"):
        with pytest.raises(SettingsError):
            read_small_file(path, max_bytes=10)
    assert os.listdir("/proc/self/fd") == before


def test_files_of_a_kind_are_found_by_name(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", ".hidden.yaml", "a.yaml~", "c.yml"):
        (tmp_path / name).touch()
    assert [file.name for file in files_in(tmp_path, ".yaml", kind="role")] == ["a.yaml", "b.yaml"]
    assert files_in(tmp_path / "none", ".yaml", kind="role") == []


def test_what_is_no_directory_or_holds_too_many_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="file: cannot be read") as caught:
        files_in(tmp_path / "file", ".yaml", kind="role")
    assert caught.value.remedy == f"check it with: ls -ld {tmp_path}/file"
    for number in range(257):
        (tmp_path / f"{number}.yaml").touch()
    with pytest.raises(SettingsError, match="257 wrapper files"):
        files_in(tmp_path, ".yaml", kind="wrapper")
