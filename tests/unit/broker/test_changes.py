"""Changes that nobody reported: BRK-7."""

import os
import time
from pathlib import Path

from aaos.broker.changes import MAX_ENTRIES, Snapshot, Window, changed_files, difference, now_ns, snapshot
from aaos.core.ids import Gid, Uid
from aaos.core.ports import Held, Root


def root(path: Path) -> Root:
    fd = os.open(path, os.O_PATH)
    return Root(
        path=str(path), fd=fd, is_dir=path.is_dir(), writable=True, as_owner=False,
        owner_uid=Uid(0), owner_gid=Gid(0), held=Held.KERNEL,
    )  # fmt: skip


def test_a_changed_file_is_found_and_a_known_one_is_not(tmp_path: Path) -> None:
    since_ns = now_ns()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "silent").write_text("x")
    (tmp_path / "known").write_text("x")
    found = changed_files([root(tmp_path)], since_ns=since_ns, known={str(tmp_path / "known"): time.time_ns()})
    assert found.paths == (str(tmp_path / "deep" / "silent"),)
    assert found.is_complete


def test_an_old_file_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    assert changed_files([root(tmp_path)], since_ns=now_ns() + 10**9, known={}).paths == ()


def test_a_forged_modification_time_hides_nothing(tmp_path: Path) -> None:
    since_ns = now_ns()
    (tmp_path / "f").write_text("x")
    os.utime(tmp_path / "f", (1, 1))
    assert changed_files([root(tmp_path)], since_ns=since_ns, known={}).paths == (str(tmp_path / "f"),)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """H-FS-20"""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    since_ns = now_ns()
    (outside / "f").write_text("x")
    (inside / "loop").symlink_to(inside)
    (inside / "out").symlink_to(outside)
    assert changed_files([root(inside)], since_ns=since_ns, known={}).paths == ()


def test_a_deep_tree_ends_the_walk_and_is_told(tmp_path: Path) -> None:
    here = tmp_path
    for _ in range(40):
        here = here / "d"
        here.mkdir()
    assert not changed_files([root(tmp_path)], since_ns=now_ns(), known={}).is_complete


def test_no_time_left_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    assert not changed_files([root(tmp_path)], since_ns=0, known={}, time_s=-1).is_complete


def test_a_single_file_can_be_a_root(tmp_path: Path) -> None:
    since_ns = now_ns()
    (tmp_path / "f").write_text("x")
    assert changed_files([root(tmp_path / "f")], since_ns=since_ns, known={}).paths == (str(tmp_path / "f"),)


def test_what_is_made_changed_and_removed_is_told_apart(tmp_path: Path) -> None:
    """BRK-7: a program that sets times back, or replaces a file by one that is alike, is seen."""
    for name in ("same", "written", "replaced", "gone"):
        (tmp_path / name).write_text("x")
    tree = root(tmp_path)
    before = snapshot([tree])
    (tmp_path / "written").write_text("y")
    os.utime(tmp_path / "written", ns=(1, 1))
    (tmp_path / "other").write_text("x")
    (tmp_path / "other").rename(tmp_path / "replaced")
    (tmp_path / "gone").unlink()
    (tmp_path / "made").symlink_to("/etc/shadow")
    found = difference(before, snapshot([tree]))
    assert found.made == (f"{tmp_path}/made",)
    assert found.changed == (f"{tmp_path}/replaced", f"{tmp_path}/written")
    assert found.removed == (f"{tmp_path}/gone",)
    assert (found.count, found.is_complete) == (4, True)


def test_of_a_walk_that_was_cut_nothing_is_said_that_was_not_seen(tmp_path: Path) -> None:
    """BRK-7, H-RES-09"""
    whole, cut = Snapshot({"/a": (1, 1), "/b": (1, 1)}, is_complete=True), Snapshot({"/b": (2, 2)}, is_complete=False)
    found = difference(whole, cut)
    assert (found.removed, found.changed, found.is_complete) == ((), ("/b",), False)
    assert difference(cut, whole).made == ()
    for at in range(MAX_ENTRIES // 100 + 1):
        (tmp_path / str(at)).mkdir()
        for index in range(100):
            (tmp_path / str(at) / str(index)).touch()
    assert not snapshot([root(tmp_path)]).is_complete


def test_changes_of_a_window_are_known_and_later_ones_are_not(tmp_path: Path) -> None:
    """BRK-7"""
    (tmp_path / "built").write_text("x")
    changed_ns = os.stat(tmp_path / "built").st_ctime_ns
    tree, since_ns = root(tmp_path), changed_ns - 10**9
    window = Window(str(tmp_path), since_ns, changed_ns)
    assert changed_files([tree], since_ns=since_ns, known={}, windows=[window]).paths == ()
    early = Window(str(tmp_path), since_ns, changed_ns - 1)
    assert changed_files([tree], since_ns=since_ns, known={}, windows=[early]).paths != ()
    beside = Window(f"{tmp_path}x", since_ns, changed_ns)
    assert changed_files([tree], since_ns=since_ns, known={}, windows=[beside]).paths != ()
