"""A disk that gives read errors: one workspace that cannot be had ends nothing but what asks for it (RUN-9)."""

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable

import pytest

from aaos.core.errors import StorageError
from tests.kernel.test_workspaces_kept import MIB, OTHER, OWNER, RUN, World, world

__all__ = ["world"]  # the fixture
FITRIM = 0xC0185879  # linux/fs.h


def unreadable(*_: object, **__: object) -> bytes:
    raise OSError(errno.EIO, "Input/output error")


def test_an_image_that_cannot_be_read_is_an_error_with_a_remedy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.begin()
    row = world.end()
    monkeypatch.setattr(os, "pread", unreadable)
    with pytest.raises(StorageError, match="Input/output error") as refused:
        asyncio.run(world.keeping.show(row, OWNER.uid))
    assert "look at it" in refused.value.remedy
    assert not world.workspaces.is_mounted(RUN)


def test_a_place_where_nothing_can_be_mounted_is_an_error_with_a_remedy(world: World) -> None:
    world.begin()
    row = world.end()
    (world.base / "place" / RUN).write_text("in the way")
    with pytest.raises(StorageError, match="File exists"):
        asyncio.run(world.keeping.show(row, OWNER.uid))


def test_a_directory_that_cannot_be_listed_ends_no_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.begin()
    with monkeypatch.context() as broken:
        broken.setattr(os, "listdir", unreadable)
        assert world.sweep() == []
        with pytest.raises(StorageError, match="Input/output error"):
            world.workspaces.has(RUN)
    assert "not swept" in caplog.text
    assert world.workspaces.has(RUN)


@pytest.mark.parametrize("moment", ["reading", "unforeseen"])
def test_one_that_cannot_be_read_keeps_no_other_from_being_swept(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, moment: str
) -> None:
    """The first is of an ended run and whole, so that a sweep mounts it; the second belongs to no run."""
    world.begin()
    world.end()
    with (world.base / "images" / f"{RUN}.1234.ext4").open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 16 * MIB)
    world.workspaces.make(OTHER, OWNER, 0)
    world.workspaces.detach(OTHER)
    if moment == "reading":
        monkeypatch.setattr(os, "pread", unreadable)
    else:
        monkeypatch.setattr(world.workspaces, "trim", unreadable)
    assert world.sweep() == ["no run"]
    assert f"workspace of {RUN}" in caplog.text
    assert "Input/output error" in caplog.text
    assert world.images() == [f"{RUN}.1234.ext4"]


def test_what_a_killed_daemon_left_and_cannot_be_taken_away_is_told_and_in_nobodys_way(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """OPS-5: an image that was being made is a directory now, say."""
    left = world.base / "images" / "r-nopqrstuvwxy.1234.new"
    left.mkdir(parents=True)
    world.workspaces.open()
    assert len([one for one in caplog.records if f"{left}: Is a directory" in one.getMessage()]) == 1
    (told,) = world.workspaces.faults()
    assert f"ls -la {left.parent}" in told.remedy
    world.begin()
    world.end()
    left.rmdir()
    assert world.workspaces.faults() == ()


def test_a_place_of_images_that_is_no_directory_is_told_and_each_use_is_an_error(world: World) -> None:
    (world.base / "images").write_text("in the way")
    world.workspaces.open()
    (told,) = world.workspaces.faults()
    assert "Not a directory" in told.message
    with pytest.raises(StorageError, match="File exists"):
        world.begin()
    (world.base / "images").unlink()
    assert world.workspaces.faults() == ()


def test_a_disk_that_takes_nothing_back_is_told_once_until_it_does(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """RUN-9: space that stays reserved when its run is over is not unseen."""
    with monkeypatch.context() as broken:
        broken.setattr(fcntl, "ioctl", refusing_trims(fcntl.ioctl))
        for run in (RUN, OTHER):
            world.begin(run)
            world.end(run)
    assert caplog.text.count("takes nothing back") == 1
    (told,) = world.workspaces.faults()
    assert "agentd workspace rm" in told.remedy
    world.workspaces.trim(RUN)
    assert world.workspaces.faults() == ()


def refusing_trims(ioctl: Callable[..., object]) -> Callable[..., object]:
    """As a kernel answers whose disk below an image cannot cut anything out of a file."""

    def refusing(fd: int, request: int, *rest: object) -> object:
        if request == FITRIM:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return ioctl(fd, request, *rest)

    return refusing
