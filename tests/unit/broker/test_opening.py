"""Nothing but what is really below a root is ever opened (CAP-6)."""

import os
import socket
import stat
import time
from pathlib import Path

import pytest

from aaos.broker import opening
from aaos.core.errors import AaosError, DeniedError, ToolError
from aaos.core.ports import Root
from tests.unit.broker.scene import root


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A granted directory with a neighbour whose name begins like its own."""
    path = tmp_path / "data"
    (path / "sub").mkdir(parents=True)
    (path / "sub" / "f").write_text("inside")
    (tmp_path / "data-evil").mkdir()
    (tmp_path / "data-evil" / "x").write_text("outside")
    (tmp_path / "secret").write_text("outside")
    return path


def read(at: Root, relative: str) -> str:
    fd = opening.open_regular(at, relative)
    try:
        return os.read(fd, 100).decode()
    finally:
        os.close(fd)


def test_a_file_below_the_root_is_opened_read_only(data: Path) -> None:
    fd = opening.open_regular(root(data), "sub/f")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(fd, b"x")
    assert os.read(fd, 10) == b"inside"
    assert not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.parametrize("relative", ["../secret", "sub/../../secret", "sub/../sub/f", "/etc/passwd", "../data-evil/x"])
def test_dots_lead_nowhere(data: Path, relative: str) -> None:
    """H-FS-03: paths come here normalised; should one not be, the kernel says no, or stays inside."""
    try:
        text = read(root(data), relative)
    except AaosError:
        return
    assert text == "inside"


@pytest.mark.parametrize(
    ("link", "target"), [("leaf", "../secret"), ("leaf", "sub/f"), ("dir", "sub"), ("dir", ".."), ("gone", "nothing")]
)
def test_no_link_is_followed_wherever_it_leads(data: Path, link: str, target: str) -> None:
    """H-FS-04"""
    (data / link).symlink_to(target)
    for relative in (link, f"{link}/f", f"{link}/secret"):
        with pytest.raises(AaosError):
            read(root(data), relative)
    with pytest.raises(DeniedError, match="symbolic link"):
        read(root(data), link)


def test_magic_links_are_no_way_out() -> None:
    """H-FS-04"""
    with pytest.raises(AaosError):
        read(root(Path("/proc/self")), "root/etc/passwd")
    with pytest.raises(AaosError):
        read(root(Path("/proc/self")), "cwd")


def test_another_file_system_is_not_entered() -> None:
    with pytest.raises(DeniedError, match="leaves the granted directory or its file system"):
        read(root(Path("/")), "proc/self/status")


def test_what_is_no_file_is_refused_at_once(data: Path, tmp_path: Path) -> None:
    """H-FS-08: and its open routine never runs, so nothing waits and nobody who waits is woken."""
    os.mkfifo(data / "fifo")
    here = os.open(tmp_path, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        os.mknod(data / "sock", stat.S_IFSOCK | 0o600)
        started_s = time.monotonic()
        for name in ("fifo", "sock", "sub", "."):
            with pytest.raises(ToolError, match=r"is not a regular file|is a directory"):
                read(root(data), name)
        with pytest.raises(ToolError, match="is not a regular file"):
            read(root(Path("/dev")), "null")
        assert time.monotonic() - started_s < 0.1
        assert listener.fileno() >= 0
    os.close(here)


def test_a_writer_that_waits_for_a_fifo_is_not_woken(data: Path) -> None:
    """H-FS-08: opening it for reading, even without waiting, would let a writer in."""
    os.mkfifo(data / "fifo")
    with pytest.raises(ToolError):
        read(root(data), "fifo")
    with pytest.raises(OSError, match="No such device"):  # ENXIO: no reader was ever there
        os.open(data / "fifo", os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize(
    ("path", "is_inside", "relative"),
    [
        ("/data", True, "."),
        ("/data/x", True, "x"),
        ("/data/x/y", True, "x/y"),
        ("/data-evil/x", False, ""),
        ("/database", False, ""),
        ("/dat", False, ""),
        ("/", False, ""),
    ],
)
def test_below_means_by_whole_names(path: str, is_inside: bool, relative: str) -> None:
    """H-FS-02"""
    at = Root("/data", -1, True, True, False, 0, 0, "gate")  # type: ignore[arg-type]  # only the path matters
    assert opening.is_below(at, path) is is_inside
    if is_inside:
        assert opening.relative_to(at, path) == relative
        assert opening.full_path(at, relative) == path


def test_the_root_of_everything_is_a_root_too() -> None:
    at = Root("/", -1, True, True, False, 0, 0, "gate")  # type: ignore[arg-type]  # only the path matters
    for path in ("/", "/etc", "/etc/x"):
        assert opening.is_below(at, path)
        assert opening.full_path(at, opening.relative_to(at, path)) == path


def test_a_file_that_is_swapped_for_a_link_gives_inside_or_nothing(data: Path) -> None:
    """H-FS-05: what was looked at is what is opened, since only the first step resolves a name."""
    (data / "f").write_text("inside")
    found = opening.look(root(data), "f")
    (data / "f").rename(data / "old")
    (data / "f").symlink_to("../secret")
    fd = opening.reopen(found, os.O_RDONLY)
    assert os.read(fd, 10) == b"inside"
    os.close(fd)
    os.close(found)
