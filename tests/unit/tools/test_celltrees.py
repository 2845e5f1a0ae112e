"""What a cell is shown lies within what its agent is shown."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.errors import AaosError, DeniedError, ToolError
from aaos.core.ports import Held, Root
from aaos.tools.celltrees import close_trees, open_trees
from aaos.tools.spec import Access
from tests.unit.tools.scene import broker, root


def shown(trees: list[Root]) -> list[tuple[str, bool]]:
    close_trees(trees)
    return [(tree.path, tree.writable) for tree in trees]


def opened(path: Path, access: Access, *roots: Root, trees: tuple[Root, ...] = ()) -> list[tuple[str, bool]]:
    return shown(open_trees(str(path), access, trees, roots=roots, files=broker()))


def test_a_granted_root_inside_keeps_its_own_rights(tmp_path: Path) -> None:
    """ISO-3, ISO-12"""
    (tmp_path / "w" / "ro").mkdir(parents=True)
    outer = root(tmp_path / "w", held=Held.KERNEL)
    inner = root(tmp_path / "w" / "ro", held=Held.KERNEL, writable=False)
    gate = replace(inner, path=f"{tmp_path}/w/gate", held=Held.GATE)
    found = opened(tmp_path / "w", Access.CHANGE, outer, inner, gate)
    assert found == [(f"{tmp_path}/w", True), (f"{tmp_path}/w/ro", False)]
    assert opened(tmp_path / "w", Access.SHOW, outer, inner) == [
        (f"{tmp_path}/w", False),
        (f"{tmp_path}/w/ro", False),
    ]
    with pytest.raises(DeniedError):
        opened(tmp_path / "w" / "ro", Access.CHANGE, outer, inner)
    with pytest.raises(DeniedError):
        opened(tmp_path / "w" / "ro" / "x", Access.MAKE, outer, inner)


def test_what_is_shown_already_is_not_shown_again(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    whole = root(tmp_path, held=Held.KERNEL)
    assert opened(tmp_path / "d", Access.SHOW, whole, trees=(whole,)) == []
    assert opened(tmp_path / "gone", Access.SHOW, whole, trees=(whole,)) == []
    assert opened(tmp_path / "d", Access.CHANGE, whole, trees=(replace(whole, writable=False),)) == [
        (f"{tmp_path}/d", True)
    ]


@pytest.mark.parametrize("access", [Access.SHOW, Access.CHANGE, Access.MAKE])
def test_what_is_outside_or_missing_is_refused(tmp_path: Path, access: Access) -> None:
    """CAP-6"""
    (tmp_path / "in").mkdir()
    (tmp_path / "in-not").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    inside = root(tmp_path / "in", held=Held.KERNEL)
    before = len(os.listdir("/proc/self/fd"))
    for path in (tmp_path / "in-not" / "x", tmp_path / "in" / "link" / "x", tmp_path / "in" / "none" / "x"):
        with pytest.raises(AaosError):
            opened(path, access, inside)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_is_no_directory_and_a_directory_no_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    whole = root(tmp_path, held=Held.KERNEL)
    with pytest.raises(ToolError):
        opened(tmp_path / "f", Access.CHANGE, whole)
    with pytest.raises(ToolError):
        opened(tmp_path, Access.MAKE, whole)
    assert opened(tmp_path / "f", Access.SHOW, whole) == [(str(tmp_path), False)]
