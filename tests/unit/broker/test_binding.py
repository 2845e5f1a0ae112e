"""What an approval of a program is bound to: every byte and name below its directories (BRK-6)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aaos.broker.binding import MAX_DEPTH, BindLimits, bind
from aaos.core.errors import CancelledError, ToolError
from aaos.core.ports import Held
from tests.unit.tools.scene import root
from worker.wall import syscalls

LIMITS = BindLimits(entries=100, total_bytes=10_000)


def place(tmp_path: Path) -> Path:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "Makefile").write_text("all:\n\ttrue\n")
    (tmp_path / "d" / "f").write_text("x")
    (tmp_path / "link").symlink_to("d/f")
    return tmp_path


def text(path: Path, limits: BindLimits = LIMITS, *, writable: bool = True) -> str:
    return bind([root(path, held=Held.KERNEL, writable=writable)], limits).text


def in_place(path: Path) -> None:
    """Same length, same times: as a worker with the file mapped could."""
    times = path.stat()
    path.write_bytes(b"all:\n\tfals\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("d/e")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content in place": lambda at: in_place(at / "Makefile"),
    "one byte more": lambda at: (at / "d" / "f").write_text("xy"),
    "a new file": lambda at: (at / "d" / "g").touch(),
    "a new directory": lambda at: (at / "d" / "h").mkdir(),
    "a file gone": lambda at: (at / "d" / "f").unlink(),
    "another name": lambda at: (at / "d" / "f").rename(at / "d" / "g"),
    "to another directory": lambda at: (at / "d" / "f").rename(at / "f"),
    "a mode": lambda at: (at / "d" / "f").chmod(0o755),
    "a mode of the tree itself": lambda at: at.chmod(0o1777),
    "a mode of a directory": lambda at: (at / "d" / "e").chmod(0o700),
    "where a link leads": lambda at: relink(at / "link"),
    "a time, which make looks at": lambda at: os.utime(at / "d" / "f", (1, 1)),
    "a pipe": lambda at: os.mkfifo(at / "pipe"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_is_seen(tmp_path: Path, change: str) -> None:
    """BRK-6"""
    at = place(tmp_path)
    before = text(at)
    assert before == text(at), "and nothing else is"
    CHANGES[change](at)
    assert text(at) != before


def test_whose_place_it_is_and_what_may_be_done_there_counts(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("same")
        os.utime(tmp_path / name / "f", (5, 5))
    a, b = tmp_path / "a", tmp_path / "b"
    assert len({text(a), text(b), text(a, writable=False)}) == 3
    trees = [root(one, held=Held.KERNEL) for one in (a, b)]
    assert bind(trees, LIMITS) == bind(trees[::-1], LIMITS)


def test_whose_the_tree_itself_is_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BRK-6"""
    before, really = text(tmp_path), os.fstat

    def of_another(fd: int) -> os.stat_result:
        return os.stat_result((*really(fd)[:4], 4711, *really(fd)[5:]))

    monkeypatch.setattr(os, "fstat", of_another)
    assert text(tmp_path) != before


def test_no_name_and_content_can_stand_for_others(tmp_path: Path) -> None:
    """A name that looks like the record of another entry is a name."""
    one, two = tmp_path / "one", tmp_path / "two"
    for at in (one, two):
        at.mkdir()
    (one / "a\nb").touch()
    for name in ("a", "b"):
        (two / name).touch()
    assert text(one).split()[1] != text(two).split()[1]


def test_what_is_too_much_is_refused_with_the_setting_that_allows_it(tmp_path: Path) -> None:
    """RES: bounded, and said which bound."""
    at = place(tmp_path)
    with pytest.raises(ToolError, match="more than 3 entries") as error:
        text(at, BindLimits(entries=3, total_bytes=10_000))
    assert "limits.bound_entries" in error.value.remedy
    with pytest.raises(ToolError, match="more than 4 bytes") as error:
        text(at, BindLimits(entries=100, total_bytes=4))
    assert "limits.bound_bytes" in error.value.remedy
    trees = [root(at, held=Held.KERNEL), root(at / "d", held=Held.KERNEL)]
    with pytest.raises(ToolError, match="entries"):  # all of them together
        bind(trees, BindLimits(entries=6, total_bytes=10_000))


def test_depth_is_bounded(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(MAX_DEPTH + 1):
        deep = deep / "d"
    deep.mkdir(parents=True)
    with pytest.raises(ToolError, match="too deep"):
        text(tmp_path)


def test_a_growing_file_ends_at_the_bound(tmp_path: Path) -> None:
    """What is read counts, not what a listing said."""
    (tmp_path / "f").write_bytes(b"x" * 20_000)
    with pytest.raises(ToolError, match="bytes"):
        text(tmp_path)


def test_nothing_outside_is_opened_and_no_pipe_waited_for(tmp_path: Path) -> None:
    """H-FS-02"""
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "out").symlink_to(tmp_path)
    os.mkfifo(inside / "pipe")
    before = text(inside)
    (tmp_path / "secret").write_text("changes nothing that the program sees")
    assert text(inside) == before


def test_who_waits_no_more_ends_it(tmp_path: Path) -> None:
    at = place(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    tree = root(at, held=Held.KERNEL)
    with pytest.raises(CancelledError):
        bind([tree], LIMITS, may_go_on=lambda: False)
    assert len(os.listdir("/proc/self/fd")) == before + 1, "that of the tree"


def test_what_may_not_be_read_is_bound_by_what_its_content_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private file of somebody else, which a cell cannot read either; a private directory cannot be bound."""
    at, shut, really = place(tmp_path), {"Makefile"}, syscalls.openat2

    def opened(fd: int, name: str, *, flags: int, resolve: int) -> int:
        if name in shut:
            raise PermissionError(13, "Permission denied")
        return really(fd, name, flags=flags, resolve=resolve)

    monkeypatch.setattr(syscalls, "openat2", opened)
    before = text(at)
    assert before == text(at)
    in_place(at / "Makefile")
    assert before != text(at)
    shut.add("e")
    with pytest.raises(ToolError, match="may not be looked at"):
        text(at)
