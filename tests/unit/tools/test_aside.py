"""Control files that a cell made are no orders to anybody when its call has ended (ISO-12, H-FS-15)."""

import os
from pathlib import Path

import pytest

from aaos.broker.changes import Snapshot, snapshot
from aaos.core.ids import CallId
from aaos.core.ports import Held, Root
from aaos.tools import aside
from aaos.tools.aside import new_control_files, rewritten, set_aside
from tests.unit.tools.scene import broker, root

CALL = CallId("a-1-0-0")


def tree(path: Path) -> Root:
    return root(path, held=Held.KERNEL)


def seen(path: Path) -> Snapshot:
    return snapshot([tree(path)])


@pytest.mark.parametrize("name", [".git", ".GIT", ".git ", ".git\u200b", ".gitattributes", ".hg"])
@pytest.mark.parametrize("kind", ["directory", "file", "link", "empty"])
def test_whatever_is_made_under_such_a_name_gets_another(tmp_path: Path, name: str, kind: str) -> None:
    """H-FS-15: at any depth, in any case, as any kind of file; nothing of it is lost."""
    (tmp_path / "sub").mkdir()
    before = seen(tmp_path)
    for at in (tmp_path, tmp_path / "sub"):
        if kind in ("directory", "empty"):
            (at / name).mkdir()
        if kind == "directory":
            (at / name / "config").write_text("[core]")
        elif kind == "file":
            (at / name).write_text("gitdir: /elsewhere")
        elif kind == "link":
            (at / name).symlink_to("/elsewhere")
    found = new_control_files(before, seen(tmp_path))
    assert found == (f"{tmp_path}/{name}", f"{tmp_path}/sub/{name}")
    done = set_aside(found, [tree(tmp_path)], broker(), call=CALL)
    assert done.left == ()
    assert sorted(os.listdir(tmp_path)) == ["aside-a-1-0-0-0", "sub"]
    assert os.listdir(tmp_path / "sub") == ["aside-a-1-0-0-1"]
    assert new_control_files(before, seen(tmp_path)) == ()
    if kind == "directory":
        assert (tmp_path / "aside-a-1-0-0-0" / "config").read_text() == "[core]"


def test_only_the_outermost_and_only_the_new_ones(tmp_path: Path) -> None:
    """A user's own repository stays where it is, also where a program has moved the directory around it."""
    (tmp_path / "mine" / ".git" / "modules" / ".git").mkdir(parents=True)
    before = seen(tmp_path)
    (tmp_path / "mine").rename(tmp_path / "moved")
    (tmp_path / "moved" / ".git" / "more").mkdir()
    (tmp_path / "new" / ".git" / ".git").mkdir(parents=True)
    assert new_control_files(before, seen(tmp_path)) == (f"{tmp_path}/new/.git",)


@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_one_that_takes_the_place_of_another_is_new(tmp_path: Path, kind: str) -> None:
    """H-FS-15: the directory around a covered one is moved, and both are made anew; the one that was there stays."""
    at = tmp_path / "sub" / ".git"
    at.mkdir(parents=True)
    before = seen(tmp_path)
    (tmp_path / "sub").rename(tmp_path / "sub.old")
    (tmp_path / "sub").mkdir()
    if kind == "directory":
        at.mkdir()
    elif kind == "file":
        at.write_text("gitdir: /elsewhere")
    else:
        at.symlink_to("/elsewhere")
    found = new_control_files(before, seen(tmp_path))
    assert found == (str(at),)
    assert rewritten(before, seen(tmp_path)) == ()
    assert set_aside(found, [tree(tmp_path)], broker(), call=CALL).left == ()
    assert os.listdir(tmp_path / "sub") == ["aside-a-1-0-0-0"]
    assert os.listdir(tmp_path / "sub.old") == [".git"]


def test_two_that_change_places_are_what_there_was(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / ".git").mkdir(parents=True)
    before = seen(tmp_path)
    for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
        (tmp_path / old).rename(tmp_path / new)
    assert new_control_files(before, seen(tmp_path)) == ()
    assert rewritten(before, seen(tmp_path)) == ()


def test_a_file_that_was_written_anew_is_told_and_a_directory_renamed(tmp_path: Path) -> None:
    """An editor's new file may be a user's; no program makes a repository in the place of one."""
    (tmp_path / ".gitattributes").write_text("old")
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    before = seen(tmp_path)
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").rename(tmp_path / ".gitattributes")
    (tmp_path / "sub" / ".git").rename(tmp_path / "sub" / "plain")
    (tmp_path / "other").rename(tmp_path / "sub" / ".git")
    assert rewritten(before, seen(tmp_path)) == (f"{tmp_path}/.gitattributes",)
    assert new_control_files(before, seen(tmp_path)) == (f"{tmp_path}/sub/.git",)


def test_when_it_is_not_known_what_there_was_nothing_is_touched(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert new_control_files(Snapshot({}, is_complete=False), seen(tmp_path)) == ()
    whole = seen(tmp_path)
    cut = Snapshot(whole.files, False, whole.sizes, whole.control)
    assert new_control_files(Snapshot({}, is_complete=True), cut) == (f"{tmp_path}/.git",), "what was seen is new"


def test_what_cannot_be_set_aside_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose new name is taken, one that is gone, one beyond the bound; names are quoted, and few are shown."""
    monkeypatch.setattr(aside, "MAX_ASIDE", 3)
    for name in (".git", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "c" / ".git").mkdir()
    (tmp_path / "aside-a-1-0-0-0").mkdir()
    paths = [f"{tmp_path}/{name}" for name in (".git", "b/.git", "c/.git", "d/.git")]
    done = set_aside(paths, [tree(tmp_path)], broker(), call=CALL)
    assert done.moved == {paths[2]: f"{tmp_path}/c/aside-a-1-0-0-2"}
    assert set(done.left) == {paths[0], paths[1], paths[3]}
    assert "could not be set aside" in done.text
    many = aside.Aside({f"/{number}/a\n.git": "/x" for number in range(50)}, ())
    assert "and 42 more" in many.text
    assert "\n" not in many.text


def test_the_nearest_tree_is_the_one_that_it_is_named_in(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    (inner / ".git").mkdir(parents=True)
    done = set_aside([f"{inner}/.git"], [tree(tmp_path), tree(inner)], broker(), call=CALL)
    assert done.moved == {f"{inner}/.git": f"{inner}/aside-a-1-0-0-0"}


def test_a_directory_that_became_a_link_leads_nowhere(tmp_path: Path) -> None:
    """H-FS-02: between the look and the rename somebody plants one; what lies there is not renamed."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "outside" / ".git").mkdir(parents=True)
    (tmp_path / "tree" / "d").symlink_to(tmp_path / "outside")
    done = set_aside([f"{tmp_path}/tree/d/.git"], [tree(tmp_path / "tree")], broker(), call=CALL)
    assert done.left == (f"{tmp_path}/tree/d/.git",)
    assert os.listdir(tmp_path / "outside") == [".git"]
