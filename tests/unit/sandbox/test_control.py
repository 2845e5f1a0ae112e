"""The control files of a workspace: each is found, none is followed, and what cannot be searched is not granted."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.core.errors import ConfinementError
from aaos.core.ids import Gid, Uid
from aaos.core.paths import CONTROL_NAMES
from aaos.core.ports import Held, Root
from aaos.sandbox import control
from aaos.sandbox.control import MAX_DEPTH, MAX_ENTRIES, control_paths


@contextmanager
def _root(path: Path) -> Iterator[Root]:
    fd = os.open(path, os.O_PATH)
    try:
        yield Root(str(path), fd, True, True, True, Uid(1), Gid(1), Held.KERNEL)
    finally:
        os.close(fd)


def _found(path: Path) -> tuple[str, ...]:
    with _root(path) as root:
        return control_paths(root)


def _make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_control_files_are_found_at_any_depth(tmp_path: Path) -> None:
    """H-FS-15: files and directories; below a found one nothing is looked for, for it is covered whole."""
    _make(
        tmp_path,
        ".git/config",
        ".git/modules/x/.git",
        "a/b/c/.gitmodules",
        "a/.hg/hgrc",
        "src/main.py",
        ".gitattributes",
    )
    assert _found(tmp_path) == (".git", ".gitattributes", "a/.hg", "a/b/c/.gitmodules")


@pytest.mark.parametrize("name", sorted(CONTROL_NAMES))
def test_every_control_name_is_found_in_any_case(tmp_path: Path, name: str) -> None:
    """H-FS-15, H-CAP-02: a file system may not tell cases apart."""
    _make(tmp_path, f"x/{name.upper()}", f"y/{name}")
    assert _found(tmp_path) == (f"x/{name.upper()}", f"y/{name}")


def test_names_that_are_nearly_control_names_are_not_found(tmp_path: Path) -> None:
    """H-FS-15"""
    _make(tmp_path, "git", ".gitx", ".github/workflow", "x.git", ".gitignore/../keep")
    assert _found(tmp_path) == ()


def test_a_workspace_without_control_files_has_none(tmp_path: Path) -> None:
    """H-FS-15"""
    assert _found(tmp_path) == ()


@pytest.mark.parametrize("name", [".git", "deep/.gitmodules"])
@pytest.mark.parametrize("target", ["real", "/etc/passwd", "missing"])
def test_a_link_in_place_of_a_control_file_is_refused(tmp_path: Path, name: str, target: str) -> None:
    """H-FS-15: what it names could be written, or planted, by another name."""
    (tmp_path / "real").mkdir()
    (tmp_path / "deep").mkdir()
    (tmp_path / name).symlink_to(target)
    with pytest.raises(ConfinementError, match=f"/{name} is a link") as caught:
        _found(tmp_path)
    assert caught.value.remedy


def test_links_are_not_followed(tmp_path: Path) -> None:
    """H-FS-04, H-FS-20: neither out of the root nor round in a circle."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    _make(outside, ".git/config")
    inside.mkdir()
    (inside / "out").symlink_to(outside)
    (inside / "round").symlink_to(".")
    assert _found(inside) == ()


def test_a_tree_with_too_many_entries_is_refused_without_reading_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-FS-20: in one directory or in many."""
    monkeypatch.setattr(control, "MAX_ENTRIES", 50)
    _make(tmp_path, *(f"d{n % 7}/f{n}" for n in range(42)))
    assert _found(tmp_path) == ()
    _make(tmp_path, "d0/one more")
    with pytest.raises(ConfinementError, match="too large to be granted for writing as a whole"):
        _found(tmp_path)
    shutil.rmtree(tmp_path / "d1")
    _make(tmp_path, *(f"flat/f{n}" for n in range(500)))
    with pytest.raises(ConfinementError, match="too large"):
        _found(tmp_path)


def test_a_tree_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    """H-FS-17"""
    deep = tmp_path.joinpath(*"d" * MAX_DEPTH)
    deep.mkdir(parents=True)
    assert _found(tmp_path) == ()
    (deep / "d").mkdir()
    with pytest.raises(ConfinementError, match="too large"):
        _found(tmp_path)
    assert MAX_ENTRIES >= 10_000


def test_a_root_that_is_no_directory_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """H-FS-08"""
    (tmp_path / "file").touch()
    with pytest.raises(ConfinementError, match="cannot be searched for control files: Not a directory") as caught:
        _found(tmp_path / "file")
    assert caught.value.remedy


def test_a_directory_that_goes_while_it_is_searched_has_no_control_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-FS-05: nothing that is not there can be written; one that is swapped for a link is an error."""
    _make(tmp_path, "going/file", "staying/.git")
    entries = control._entries

    def swap(root: Root, relative: str, *, limit: int) -> list[tuple[str, int]]:
        if relative == "going":
            shutil.rmtree(tmp_path / "going", ignore_errors=True)
        return entries(root, relative, limit=limit)

    monkeypatch.setattr(control, "_entries", swap)
    assert _found(tmp_path) == ("staying/.git",)

    def link(root: Root, relative: str, *, limit: int) -> list[tuple[str, int]]:
        if relative == "staying":
            shutil.rmtree(tmp_path / "staying")
            (tmp_path / "staying").symlink_to("/")
        return entries(root, relative, limit=limit)

    monkeypatch.setattr(control, "_entries", link)
    with pytest.raises(ConfinementError, match="staying cannot be searched"):
        _found(tmp_path)


NAMES = st.sampled_from(["a", "b", "git", ".git", ".GIT", ".gitmodules", ".gitignore", "ü", "new\nline", "with space"])


@settings(deadline=None)
@given(st.sets(st.lists(NAMES, min_size=1, max_size=4).map(tuple), max_size=8))
def test_what_is_found_is_what_a_plain_walk_finds(
    tmp_path_factory: pytest.TempPathFactory, trees: set[tuple[str, ...]]
) -> None:
    """H-FS-15: against os.walk, over any small tree."""
    root = tmp_path_factory.mktemp("tree")
    for names in trees:
        root.joinpath(*names).mkdir(parents=True, exist_ok=True)
    expected = []
    for directory, below, _ in os.walk(root):
        for name in [name for name in below if name.lower() in CONTROL_NAMES]:
            expected.append(os.path.relpath(os.path.join(directory, name), root))
            below.remove(name)
    assert _found(root) == tuple(sorted(expected))
