"""The directories of a self-test come and go."""

import os
import stat
from pathlib import Path

import pytest

from aaos.core.errors import StorageError
from aaos.selftest.places import NAME, granted, places

OWNER = (4321, 4321)


def test_they_are_private_and_gone_at_the_end(tmp_path: Path) -> None:
    """ISO-11"""
    with places(tmp_path, OWNER) as made:
        assert stat.S_IMODE(made.directory.stat().st_mode) == 0o700
        assert (made.writable / "text").stat().st_uid == 4321
        assert (made.closed / "secret").stat().st_uid == os.geteuid()
    assert list(tmp_path.iterdir()) == []


def test_what_a_daemon_left_that_was_killed_is_taken_away(tmp_path: Path) -> None:
    """ISO-11, H-FS-17: a link in it is not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    left = tmp_path / NAME
    left.mkdir()
    (left / "link").symlink_to(outside)
    with places(tmp_path, OWNER):
        assert not (left / "link").is_symlink()
    assert (outside / "kept").read_text() == "kept"


def test_a_link_in_their_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError), places(tmp_path, OWNER):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_granted_is_closed_again(tmp_path: Path) -> None:
    with places(tmp_path, OWNER) as made:
        before = len(os.listdir("/proc/self/fd"))
        with granted(made) as (writable, readable):
            assert (writable.writable, readable.writable) == (True, False)
        assert len(os.listdir("/proc/self/fd")) == before
