"""A granted root as a detached mount: harmless, one mount deep, and an error with a remedy where it cannot be."""

import os
import subprocess
from pathlib import Path

import pytest

from aaos.core.errors import ConfinementError
from aaos.sandbox.trees import detach_tree
from worker import abi


def _mount(path: Path, *, writable: bool) -> abi.Mount:
    return abi.Mount(path=str(path), is_dir=True, writable=writable, idmapped=False)


def _detached(path: Path, *, writable: bool) -> int:
    fd = os.open(path, os.O_PATH)
    try:
        return detach_tree(fd, _mount(path, writable=writable))
    finally:
        os.close(fd)


def test_a_tree_is_written_only_when_it_is_to_be(tmp_path: Path) -> None:
    """ISO-3: even root cannot write through the other."""
    (tmp_path / "file").write_text("content")
    for writable in (True, False):
        tree = _detached(tmp_path, writable=writable)
        try:
            if writable:
                os.close(os.open("file", os.O_WRONLY, dir_fd=tree))
            else:
                with pytest.raises(OSError, match="Read-only file system"):
                    os.open("file", os.O_WRONLY, dir_fd=tree)
        finally:
            os.close(tree)


def test_nothing_in_a_tree_is_run_or_is_a_device(tmp_path: Path) -> None:
    """ISO-3, H-FS-14: noexec, nodev, nosuid, also where it is written."""
    os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "run").chmod(0o755)
    tree = _detached(tmp_path, writable=True)
    try:
        with pytest.raises(PermissionError):
            os.open("null", os.O_RDONLY, dir_fd=tree)
        with pytest.raises(PermissionError):
            subprocess.run([f"/proc/self/fd/{tree}/run"], check=True, pass_fds=(tree,))
    finally:
        os.close(tree)


def test_mounts_below_are_left_out() -> None:
    """ISO-3"""
    dev = os.open("/dev", os.O_PATH)
    tree = detach_tree(dev, _mount(Path("/dev"), writable=False))
    try:
        assert os.stat("shm", dir_fd=tree).st_dev == os.fstat(tree).st_dev
    except FileNotFoundError:
        pass  # the mount point was made on another file system than /dev
    finally:
        os.close(tree)
        os.close(dev)


def test_what_cannot_be_cloned_is_an_error_that_names_it() -> None:
    """ISO-3: and no fd is left."""
    before = len(os.listdir("/proc/self/fd"))
    memfd = os.memfd_create("no mount")
    with pytest.raises(ConfinementError, match="/named cannot be mounted") as caught:
        detach_tree(memfd, _mount(Path("/named"), writable=False))
    os.close(memfd)
    assert caught.value.remedy
    assert len(os.listdir("/proc/self/fd")) == before
