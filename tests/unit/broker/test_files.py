"""Files for one run: read, listed and prepared for writing with the rights of its submitter (CAP-6, H-FS-07)."""

import json
import os
from pathlib import Path

import pytest

from aaos.broker import files as room
from aaos.broker.faults import MissingError
from aaos.broker.files import Entry, Listing, sealed_listing
from aaos.core.envelope import Submitter
from aaos.core.errors import DeniedError, ToolError
from aaos.core.ids import Gid, Uid
from tests.unit.broker.scene import ME, TEMPORARY, broker, root, write
from worker.transport import read_sealed

STRANGER = Submitter(Uid(ME.uid + 1), Gid(ME.gid + 1))


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_read_gives_the_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("text")
    fd = broker().open_for_read(root(tmp_path), "f", as_owner=True)
    assert os.read(fd, 9) == b"text"
    os.close(fd)
    with pytest.raises(MissingError):
        broker().open_for_read(root(tmp_path), "g", as_owner=False)


def test_what_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    (tmp_path / "l").symlink_to("d")
    answers = [broker().is_directory(root(tmp_path), name, as_owner=False) for name in (".", "d", "f", "l")]
    assert answers == [True, True, False, False]
    sizes = [broker().size_of(root(tmp_path), name) for name in (".", "d", "f", "none")]
    assert sizes == [None, None, 0, 0]


def listed(path: Path, *, is_deep: bool, shown: str = "") -> Listing:
    return broker().list_below(
        root(path), ".", as_owner=False, is_shown=lambda name: name.endswith(shown), is_deep=is_deep
    )


def test_a_listing_has_what_is_covered_and_no_link_is_entered(tmp_path: Path) -> None:
    """H-FS-20"""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.md").write_text("123")
    (tmp_path / "b.md").touch()
    (tmp_path / "c.txt").touch()
    (tmp_path / "loop.md").symlink_to(".")
    os.mkfifo(tmp_path / "fifo")
    assert listed(tmp_path, is_deep=False, shown=".md").entries == (
        Entry("b.md", "file", 0),
        Entry("loop.md", "link", 0),
    )
    assert [e.path for e in listed(tmp_path, is_deep=True).entries] == [
        "b.md", "c.txt", "d", "d/a.md", "fifo", "loop.md",
    ]  # fmt: skip
    assert listed(tmp_path, is_deep=True, shown="a.md").entries == (Entry("d/a.md", "file", 3),)


def test_a_listing_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-FS-20"""
    monkeypatch.setattr(room, "LIST_ENTRIES", 10)
    for number in range(11):
        (tmp_path / str(number)).touch()
    assert not listed(tmp_path, is_deep=False).is_whole
    deep = tmp_path / "deep"
    for number in range(room.LIST_DEPTH + 2):
        deep = deep / str(number)
    deep.mkdir(parents=True)
    before = open_fds()
    assert not listed(tmp_path / "deep", is_deep=True).is_whole
    assert open_fds() == before + 1, "only the root of this test stays open"


def test_a_listing_travels_sealed() -> None:
    fd = sealed_listing(Listing((Entry("a\nb", "file", 3),), is_whole=True))
    assert json.loads(read_sealed(fd)) == [["a\nb", "file", 3]]
    os.close(fd)


def test_a_buffer_is_made_before_anything_changes(tmp_path: Path) -> None:
    pending = broker().begin_write(root(tmp_path), "new")
    assert (pending.pre, pending.source, os.listdir(tmp_path)) == (None, -1, [])
    broker().discard(pending)
    broker().discard(pending)


@pytest.mark.parametrize(
    "relative",
    [".git/config", ".GIT/hooks/x", "sub/.git", ".gitmodules", "a/.gitattributes", ".hg/hgrc", ".git\u200b/x"],
)
def test_control_files_are_never_written(tmp_path: Path, relative: str) -> None:
    """H-FS-15"""
    for name in (".git", "sub", "a", ".hg"):
        (tmp_path / name).mkdir()
    with pytest.raises(DeniedError, match="controls other programs"):
        broker().begin_write(root(tmp_path), relative)


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    """H-FS-07: neither under its own name nor under another one that a hard link gave it."""
    (tmp_path / "theirs").write_text("x")
    os.link(tmp_path / "theirs", tmp_path / "link")
    before = open_fds()
    with pytest.raises(DeniedError, match=r"belongs to uid .* and has 2 names"):
        broker(STRANGER).begin_write(root(tmp_path), "link")
    (tmp_path / "link").unlink()
    with pytest.raises(DeniedError, match=f"belongs to uid {ME.uid}:"):
        broker(STRANGER).begin_write(root(tmp_path), "theirs")
    assert open_fds() == before + 2, "only the roots of this test stay open"


def test_a_hard_link_of_ones_own_is_cut_not_written_through(tmp_path: Path) -> None:
    """H-FS-07"""
    (tmp_path / "outside").write_text("old")
    (tmp_path / "d").mkdir()
    os.link(tmp_path / "outside", tmp_path / "d" / "f")
    files = broker()
    write(files, files.begin_write(root(tmp_path / "d"), "f"), b"new")
    assert (tmp_path / "outside").read_text() == "old"
    assert (tmp_path / "d" / "f").read_text() == "new"


def test_only_files_in_existing_directories_are_written(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    (tmp_path / "link").symlink_to("f")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "dir").symlink_to(".")
    os.mkfifo(tmp_path / "fifo")
    for relative, error in (
        (".", ToolError), ("no/f", ToolError), ("f/x", ToolError), ("fifo", ToolError), ("link", DeniedError),
        ("dangling", DeniedError), ("dir/f", (DeniedError, ToolError)), ("../f", DeniedError), ("a" * 256, ToolError),
    ):  # fmt: skip
        with pytest.raises(error):
            broker().begin_write(root(tmp_path), relative)


def test_an_edit_needs_the_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        broker().begin_write(root(tmp_path), "f", for_edit=True)
    (tmp_path / "f").write_text("text")
    pending = broker().begin_write(root(tmp_path), "f", for_edit=True)
    assert os.read(pending.source, 9) == b"text"
    pending.close()


def test_a_file_that_is_too_large_is_not_replaced(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(ToolError, match="has 10737418240 bytes"):
        broker().begin_write(root(tmp_path), "f")


def test_what_is_there_can_be_observed(tmp_path: Path) -> None:
    files = broker()
    assert files.observe(root(tmp_path), "f") == (None, None)
    (tmp_path / "f").write_text("text")
    text, content = files.observe(root(tmp_path), "f")
    assert content == b"text"
    pending = files.begin_write(root(tmp_path), "f")
    assert pending.pre is not None
    assert pending.pre.text == text
    pending.close()


def test_stale_temporary_files_are_removed_by_name(tmp_path: Path) -> None:
    """ISO-11"""
    (tmp_path / TEMPORARY).touch()
    assert broker().remove_stale(root(tmp_path), "f", TEMPORARY)
    assert not broker().remove_stale(root(tmp_path), "f", TEMPORARY)
    assert not broker().remove_stale(root(tmp_path), "none/f", TEMPORARY)
    assert os.listdir(tmp_path) == []


def test_roots_and_links_are_resolved_as_the_submitter(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(".")
    assert broker().resolve(f"{tmp_path}/link") == str(tmp_path)
    assert broker().open_roots(()) == ()
