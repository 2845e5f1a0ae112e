"""Changes that nobody reported: BRK-7."""

import os
from pathlib import Path

from aaos.agent.changes import changed_files, now_ns
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
    found = changed_files([root(tmp_path)], since_ns=since_ns, known=frozenset({str(tmp_path / "known")}))
    assert found.paths == (str(tmp_path / "deep" / "silent"),)
    assert found.is_complete


def test_an_old_file_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    assert changed_files([root(tmp_path)], since_ns=now_ns() + 10**9, known=frozenset()).paths == ()


def test_a_forged_modification_time_hides_nothing(tmp_path: Path) -> None:
    since_ns = now_ns()
    (tmp_path / "f").write_text("x")
    os.utime(tmp_path / "f", (1, 1))
    assert changed_files([root(tmp_path)], since_ns=since_ns, known=frozenset()).paths == (str(tmp_path / "f"),)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """H-FS-20"""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    since_ns = now_ns()
    (outside / "f").write_text("x")
    (inside / "loop").symlink_to(inside)
    (inside / "out").symlink_to(outside)
    assert changed_files([root(inside)], since_ns=since_ns, known=frozenset()).paths == ()


def test_a_deep_tree_ends_the_walk_and_is_told(tmp_path: Path) -> None:
    here = tmp_path
    for _ in range(40):
        here = here / "d"
        here.mkdir()
    assert not changed_files([root(tmp_path)], since_ns=now_ns(), known=frozenset()).is_complete


def test_no_time_left_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    assert not changed_files([root(tmp_path)], since_ns=0, known=frozenset(), time_s=-1).is_complete


def test_a_single_file_can_be_a_root(tmp_path: Path) -> None:
    since_ns = now_ns()
    (tmp_path / "f").write_text("x")
    assert changed_files([root(tmp_path / "f")], since_ns=since_ns, known=frozenset()).paths == (str(tmp_path / "f"),)
