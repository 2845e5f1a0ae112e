"""What a worker is handed, and never is (BRK-5)."""

import json
import os
import stat
from pathlib import Path

import pytest

from aaos.core.capability import Capability, Kind
from aaos.core.errors import AaosError, DeniedError, ToolError
from aaos.core.ports import Held
from aaos.tools.handout import MAX_FILES, Handout, Use, find_root, hand_out
from aaos.tools.spec import Access
from tests.unit.tools.scene import broker, root
from worker.transport import read_sealed


def out(path: Path, *uses: tuple[str, Access], held: Held = Held.GATE, pattern: str = "/**") -> Handout:
    capability = Capability(Kind.FILE_READ, f"{path}{pattern}")
    made = [Use(f"{path}{below}", access, capability, as_owner=True) for below, access in uses]
    return hand_out(made, [root(path, held=held)], broker())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    for name in ("a.md", "b.txt", "d/c.md"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize("held", Held)
def test_a_file_is_handed_as_an_fd_whoever_holds_the_grant(tree: Path, held: Held) -> None:
    made = out(tree, ("/a.md", Access.FILE), ("/d/c.md", Access.FILE), held=held)
    assert made.files == [
        {"path": f"{tree}/a.md", "use": "read", "fd": 0},
        {"path": f"{tree}/d/c.md", "use": "read", "fd": 1},
    ]
    assert [os.read(fd, 9) for fd in made.fds] == [b"a.md", b"d/c.md"]
    made.close()
    made.close()


def test_a_mounted_directory_is_only_named(tree: Path) -> None:
    for access in (Access.DIRECTORY, Access.WALK, Access.TREE):
        made = out(tree, ("/d", access), held=Held.KERNEL)
        assert (made.files, made.fds) == ([{"path": f"{tree}/d", "use": "root", "fd": -1}], [])


def test_no_directory_is_ever_handed_over(tree: Path) -> None:
    """H-SBX-05: from its fd the way up would be open."""
    for access in (Access.DIRECTORY, Access.WALK, Access.TREE):
        made = out(tree, ("", access))
        assert all(stat.S_ISREG(os.fstat(fd).st_mode) for fd in made.fds)
        made.close()


def listing(made: Handout) -> list[str]:
    names = [row[0] for row in json.loads(read_sealed(made.fds[0]))]
    made.close()
    return names


def test_a_listing_shows_what_the_grant_covers(tree: Path) -> None:
    assert listing(out(tree, ("", Access.DIRECTORY))) == ["a.md", "b.txt", "d"]
    assert listing(out(tree, ("", Access.WALK))) == ["a.md", "b.txt", "d", "d/c.md"]
    assert listing(out(tree, ("", Access.WALK), pattern="/**/*.md")) == ["a.md", "d/c.md"]
    assert listing(out(tree, ("", Access.DIRECTORY), pattern="/d")) == ["d"]


def test_a_tree_is_its_covered_files(tree: Path) -> None:
    (tree / "link.md").symlink_to("/etc/passwd")
    os.mkfifo(tree / "fifo.md")
    made = out(tree, ("", Access.TREE), pattern="/**/*.md")
    assert [file["path"] for file in made.files] == [f"{tree}/a.md", f"{tree}/d/c.md"]
    made.close()
    made = out(tree, ("/a.md", Access.TREE))
    assert [file["use"] for file in made.files] == ["read"]
    made.close()


def test_a_tree_of_too_many_files_is_refused_with_the_grant_that_would_do(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 1):
        (tmp_path / str(number)).touch()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ToolError) as error:
        out(tmp_path, ("", Access.TREE))
    assert f"--read {tmp_path}/**" in error.value.remedy
    assert len(os.listdir("/proc/self/fd")) == before + 1, "only the root of this test stays open"


def test_what_is_written_to_is_a_buffer(tree: Path) -> None:
    made = out(tree, ("/new", Access.REPLACE))
    assert [file["use"] for file in made.files] == ["write"]
    assert os.readlink(f"/proc/self/fd/{made.fds[0]}").startswith("/memfd:")
    made.discard()
    made = out(tree, ("/a.md", Access.EDIT))
    assert [file["use"] for file in made.files] == ["read", "write"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(made.fds[0], b"x")
    made.discard()
    assert made.pending is not None
    assert made.pending.is_closed


def test_when_one_cannot_be_opened_nothing_stays_open(tree: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for last in (("/none", Access.FILE), ("/d", Access.FILE), ("/.git/x", Access.REPLACE), ("/none", Access.EDIT)):
        with pytest.raises(AaosError):
            out(tree, ("/a.md", Access.FILE), ("/new", Access.REPLACE), last)
    assert len(os.listdir("/proc/self/fd")) == before + 4, "only the roots of this test stay open"


def test_the_nearest_root_that_may_is_used(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    outer, inner = root(tmp_path, held=Held.GATE), root(tmp_path / "d", held=Held.KERNEL, writable=False)
    assert find_root([outer, inner], f"{tmp_path}/d/f", writable=False) is inner
    assert find_root([outer, inner], f"{tmp_path}/d/f", writable=True) is outer
    with pytest.raises(DeniedError):
        find_root([inner], f"{tmp_path}/d/f", writable=True)
    with pytest.raises(DeniedError):
        find_root([inner], f"{tmp_path}/d-evil", writable=False)
