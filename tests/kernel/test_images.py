"""Images of workspaces: only what agentd made is mounted, once, with all of its space on the host."""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aaos.broker import images
from aaos.core.errors import AaosError, ConfinementError, ConflictError, StorageError
from aaos.core.ids import Gid, RunId, Uid
from worker.wall import syscalls

RUN = RunId("r-abcdefghijkm")
OWNER = (Uid(1234), Gid(4321))
MIB = 2**20


@pytest.fixture
def path() -> Iterator[Path]:
    """An image of 16 MiB, on a disk as agentd's are: a tmpfs does not keep what is written as zeros."""
    with tempfile.TemporaryDirectory(prefix="aaos-image-", dir="/var/tmp") as place:
        made = Path(place, f"{RUN}.1234.ext4")
        images.make_image(made, 16 * MIB, run=RUN, owner=OWNER)
        yield made


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """A directory to mount at, where nothing stays."""
    place = tmp_path / "at"
    place.mkdir()
    yield place
    with suppress(OSError):
        images.unmount(place)


def mounted(path: Path, target: Path, *, is_writable: bool = True) -> None:
    fd = images.open_image(path, RUN)
    try:
        images.mount_image(fd, path, target, is_writable=is_writable)
    finally:
        os.close(fd)


def flags_of(target: Path) -> set[str]:
    line = next(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {target} " in line)
    return set(line.split()[5].split(","))


def test_it_is_mounted_for_its_owner_and_does_no_harm(path: Path, target: Path) -> None:
    """RUN-9, H-FS-14, H-SBX-06: nosuid and nodev; its root is its owner's."""
    mounted(path, target)
    assert {"nosuid", "nodev", "rw"} <= flags_of(target)
    assert (target.stat().st_uid, target.stat().st_gid) == OWNER
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_blocks * 512 >= 16 * MIB
    images.unmount(target)
    mounted(path, target, is_writable=False)
    assert "ro" in flags_of(target)


def test_bytes_and_inodes_are_bounded(path: Path, target: Path) -> None:
    mounted(path, target)
    left = os.statvfs(target)
    assert left.f_blocks * left.f_frsize < 16 * MIB
    assert left.f_files == 1024


def test_it_is_mounted_once(path: Path, target: Path) -> None:
    """The lock is held by the kernel's loop device, whoever else has closed the image."""
    mounted(path, target)
    before_s, images_lock_s = time.monotonic(), images._LOCK_S
    images._LOCK_S = 0.2
    try:
        with pytest.raises(ConflictError, match="mounted already"):
            images.open_image(path, RUN)
    finally:
        images._LOCK_S = images_lock_s
    assert time.monotonic() - before_s < 5
    images.unmount(target)
    os.close(images.open_image(path, RUN))


def test_a_mount_that_is_going_is_waited_for(path: Path, target: Path) -> None:
    mounted(path, target)
    going = threading.Timer(0.2, images.unmount, (target,))
    going.start()
    os.close(images.open_image(path, RUN))
    going.join()


def test_what_its_files_do_not_use_is_given_back_and_reserved_again(path: Path, target: Path) -> None:
    mounted(path, target)
    (target / "a").write_bytes(os.urandom(2 * MIB))
    images.trim(target)
    images.unmount(target)
    assert 2 * MIB < path.stat().st_blocks * 512 < 12 * MIB
    fd = images.open_image(path, RUN)
    images.reserve(fd, path)
    os.close(fd)
    assert path.stat().st_blocks * 512 >= 16 * MIB
    mounted(path, target)
    assert (target / "a").stat().st_size == 2 * MIB


def test_a_disk_that_takes_nothing_back_is_told(tmp_path: Path) -> None:
    """On a ramfs the kernel can cut nothing out of a file."""
    syscalls.mount("aaos-test", str(tmp_path), "ramfs", flags=0, options="mode=0700")
    path, place = tmp_path / f"{RUN}.1234.ext4", Path(tempfile.mkdtemp(prefix="aaos-at-", dir="/var/tmp"))
    try:
        images.make_image(path, 16 * MIB, run=RUN, owner=OWNER)
        mounted(path, place)
        with pytest.raises(StorageError, match=r"takes nothing back \(Operation not supported\)") as told:
            images.trim(place)
        assert "agentd workspace rm" in told.value.remedy
    finally:
        images.unmount(place)
        images.unmount(tmp_path)
        place.rmdir()


def as_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def as_second_name(path: Path) -> None:
    os.link(path, path.with_name("second"))


def as_another_runs(path: Path) -> None:
    path.unlink()
    images.make_image(path, 16 * MIB, run=RunId("r-another"), owner=OWNER)


def as_an_operators(path: Path) -> None:
    os.chown(path, 1234, 1234)


def as_open_to_others(path: Path) -> None:
    path.chmod(0o620)


@pytest.mark.parametrize(
    "change", [as_link, as_fifo, as_second_name, as_another_runs, as_an_operators, as_open_to_others]
)
def test_what_agentd_did_not_make_is_not_mounted(path: Path, change: Callable[[Path], None]) -> None:
    """RUN-9: also when it has the name of an image."""
    change(path)
    with pytest.raises(StorageError, match="not an image that agentd made"):
        images.open_image(path, RUN)


def test_what_is_damaged_is_an_error_with_a_remedy(path: Path, target: Path) -> None:
    """RUN-9: where there is no superblock, and where the kernel finds that it is not what it was."""
    with path.open("r+b") as file:
        file.seek(1024 + 96)  # features: unknown ones, so that its checksum is wrong too
        file.write(b"\xff" * 8)
    with pytest.raises(StorageError, match="damaged") as refused:
        mounted(path, target)
    assert f"agentd workspace rm {RUN}" in refused.value.remedy
    with path.open("r+b") as file:
        file.seek(1024)
        file.write(bytes(1024))
    with pytest.raises(StorageError, match="no superblock"):
        images.open_image(path, RUN)


def test_what_could_not_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mkfs.ext4, and without space."""
    path = tmp_path / "x.0.ext4"
    with pytest.raises(StorageError):
        images.make_image(path, 2**60, run=RUN, owner=OWNER)
    monkeypatch.setattr(images, "MKFS_PATH", str(tmp_path))
    with pytest.raises(ConfinementError) as refused:
        images.make_image(path, 16 * MIB, run=RUN, owner=OWNER)
    assert refused.value.remedy == "apt-get install e2fsprogs"
    assert images.missing() == "mkfs.ext4 is not there: apt-get install e2fsprogs"
    assert list(tmp_path.iterdir()) == []


def test_without_loop_devices_it_says_so(path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LOOP_CONTROL", Path("/nonexistent/loop-control"))
    with pytest.raises(ConfinementError, match="loop device"):
        mounted(path, target)
    assert "modprobe loop" in images.missing()


def test_this_machine_has_what_it_takes() -> None:
    assert images.missing() == ""
    assert shutil.which("mkfs.ext4", path=images.MKFS_PATH) == images.mkfs()


def test_what_is_no_mount_point_is_left_as_it_is(tmp_path: Path) -> None:
    with suppress(AaosError):
        images.unmount(tmp_path)
    assert tmp_path.is_dir()
