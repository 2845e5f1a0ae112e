"""Walks below a root: nothing is missed, nothing is followed, nothing is unbounded (TOL-2, H-FS-20)."""

import fnmatch
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.tasks import mounted, task
from worker.abi import Json
from worker.user import listing
from worker.user.granted import Granted, Output, ToolFailedError

_MARKER = "[cut: there may be more; continue with after="


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files, directories and what is neither."""
    for name in ("1.md", "b/5.md", "x/2.md", "x/4.txt", "x/y/3.md", "x-2/6.md", "x/y/z/.hidden"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    os.symlink("..", tmp_path / "x" / "loop")
    os.symlink("/etc/passwd", tmp_path / "link.md")
    os.mkfifo(tmp_path / "pipe.md")
    return tmp_path


def paged(call: object, root: Granted, **args: Json) -> list[str]:
    """All lines, page by page, as the markers say."""
    assert callable(call)
    lines: list[str] = []
    after = ""
    for _ in range(1_000):
        output = call(task("glob", root, **{**args, "after": after}))
        assert isinstance(output, Output)
        found = output.text.splitlines()
        if not output.truncated:
            return [*lines, *(line for line in found if line != "(nothing)")]
        assert found[-1].startswith(_MARKER)
        lines += [line for line in found[:-1] if line]
        after = json.loads(found[-1].removeprefix(_MARKER).removesuffix("]"))
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.md", ["1.md"]),
        ("**/*.md", ["1.md", "b/5.md", "x/2.md", "x/y/3.md", "x-2/6.md"]),
        ("**", ["1.md", "b/5.md", "x/2.md", "x/4.txt", "x/y/3.md", "x/y/z/.hidden", "x-2/6.md"]),
        ("x/**", ["x/2.md", "x/4.txt", "x/y/3.md", "x/y/z/.hidden"]),
        ("**/y/**/*", ["x/y/3.md", "x/y/z/.hidden"]),
        ("x/*/*.md", ["x/y/3.md"]),
        ("[!x]*/*", ["b/5.md"]),
        ("[bx]/[0-4].*", ["x/2.md", "x/4.txt"]),
        ("?.md", ["1.md"]),
        ("nothing", []),
        ("../*", []),
        ("/x/2.md", ["x/2.md"]),
    ],
)
def test_glob_gives_regular_files_in_one_order(tree: Path, pattern: str, expected: list[str]) -> None:
    in_order = sorted(expected, key=lambda path: path.split("/"))
    for limit in (1, 2, 100):
        assert paged(listing.glob, mounted(tree), pattern=pattern, limit=limit) == in_order


def test_a_listing_made_by_agentd_gives_the_same(tree: Path) -> None:
    rows = sorted(
        [str(path.relative_to(tree)), "file" if path.is_file() and not path.is_symlink() else "other", 1]
        for path in tree.rglob("*")
    )
    rows.sort(key=lambda row: str(row[0]).split("/"))
    fd = os.memfd_create("test")
    os.write(fd, json.dumps(rows).encode())
    seen = paged(listing.glob, Granted("/data", "listing", fd), pattern="**/*.md", limit=2)
    assert seen == paged(listing.glob, mounted(tree), pattern="**/*.md", limit=2)
    shallow = json.dumps([row for row in rows if "/" not in str(row[0])]).encode()
    fd = os.memfd_create("test")
    os.write(fd, shallow)
    names = [line.split()[-1] for line in paged(listing.file_list, Granted("/data", "listing", fd), limit=2)]
    assert names == sorted(os.listdir(tree))


@given(st.text("ab*?[]!.-", min_size=1, max_size=8), st.text("ab.-]!", min_size=1, max_size=6))
def test_a_name_pattern_matches_as_fnmatch_does(pattern: str, name: str) -> None:
    try:
        found = listing.segment(pattern).search(name)
    except ToolFailedError:
        return
    assert found is fnmatch.fnmatchcase(name, pattern)


def test_list_tells_kind_size_and_name(tree: Path) -> None:
    lines = paged(listing.file_list, mounted(tree), limit=3)
    assert [line.split() for line in lines if not line.startswith("dir")] == [
        ["file", "4", "1.md"],
        ["link", "11", "link.md"],
        ["other", "0", "pipe.md"],
    ]
    assert [line.split()[-1] for line in lines] == sorted(os.listdir(tree))


def test_odd_names_come_back_as_they_must_be_written(tmp_path: Path) -> None:
    """H-FS-10: what is shown in quotes is the JSON text of the name."""
    names = ["new\nline", "esc\x1b[31m", "rtl\u202eevil", "-rf", ' "quoted"', "ü" * 127, "back\\slash", " lead", "ok"]
    for name in names:
        (tmp_path / name).write_text("x")
    lines = paged(listing.file_list, mounted(tmp_path), limit=2)
    shown = [line[19:] for line in lines]
    assert [json.loads(name) if name.startswith('"') else name for name in shown] == sorted(names)
    assert all(line.isprintable() for line in lines)


def test_a_name_that_is_not_utf8_is_told_apart(tmp_path: Path) -> None:
    """H-FS-10: it cannot be named in a call, and paging goes past it."""
    for name in (b"a", b"bad\xff", b"c\xfe", b"d"):
        (tmp_path / os.fsdecode(name)).write_text("x")
    lines = paged(listing.file_list, mounted(tmp_path), limit=3)
    assert [line[19:].split(" ")[0] for line in lines if "UTF-8" in line][:2] == ['"bad\\udcff"', '"c\\udcfe"']
    assert lines[-1].endswith(" d")


def test_a_directory_with_many_entries_is_paged_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-FS-20: also when no page can hold a directory, and when nothing matches."""
    monkeypatch.setattr(listing, "MAX_DIRECTORY", 50)
    for number in range(320):
        (tmp_path / f"{number:03}").touch()
    (tmp_path / "100.d").mkdir()
    (tmp_path / "100.d" / "inner").touch()
    assert len(paged(listing.glob, mounted(tmp_path), pattern="**", limit=30)) == 321
    assert paged(listing.glob, mounted(tmp_path), pattern="3[01]9", limit=30) == ["309", "319"]
    assert len(paged(listing.file_list, mounted(tmp_path), limit=30)) == 321


def test_depth_and_unreadable_directories_are_told(tmp_path: Path) -> None:
    deep = tmp_path
    for number in range(listing.MAX_DEPTH + 3):
        deep = deep / f"d{number}"
        deep.mkdir()
    (deep / "bottom").touch()
    (tmp_path / "top").touch()
    output = listing.glob(task("glob", mounted(tmp_path), pattern="**"))
    assert output == Output("(1 directories were not read)\ntop", truncated=False)


def test_a_result_is_bounded_in_bytes(tmp_path: Path) -> None:
    """TOL-6"""
    for number in range(200):
        (tmp_path / f"{number:0200}").touch()
    output = listing.file_list(task("list", mounted(tmp_path), limit_bytes=3_000))
    assert output.truncated
    assert len(output.text) < 3_400


def test_the_time_of_a_walk_is_bounded(tree: Path) -> None:
    bounds = listing.Bounds(until_s=0.0)
    with pytest.raises(ToolFailedError, match="too many entries"):
        list(listing.walk(str(tree), bounds))
    assert bounds.is_cut


@pytest.mark.parametrize("pattern", ["[z-a]", "[" + "a" * 600 + "]?" * 300])
def test_a_wrong_pattern_is_an_error_of_the_call(tree: Path, pattern: str) -> None:
    with pytest.raises(ToolFailedError, match="not a file name pattern"):
        listing.glob(task("glob", mounted(tree), pattern=pattern))
