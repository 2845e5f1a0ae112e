"""grep: the right lines of the right files, whatever the files and patterns are (TOL-2, H-FS-08, H-FS-09)."""

import os
import re
import time
from pathlib import Path

import pytest

from tests.unit.worker.tasks import granted, mounted, task
from worker.abi import Json
from worker.user import grep as room
from worker.user.granted import Granted, Output, ToolFailedError


def grep(*files: Granted, **args: Json) -> Output:
    return room.grep(task("grep", *files, **args))


def paged(*files: Granted, **args: Json) -> list[str]:
    lines: list[str] = []
    while True:
        output = grep(*files, **args, offset=len(lines))
        found = output.text.splitlines()
        if not output.truncated:
            return lines + [line for line in found if not line.startswith("(no match")]
        assert found[-1] == f"[cut: there is more; continue with offset={len(lines) + len(found) - 1}]"
        lines += found[:-1]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.py").write_text("import os\n# TODAY\nprint('x')\n")
    (tmp_path / "sub" / "b.py").write_text("Import re\nimport json\nlast import")
    (tmp_path / "c.txt").write_text("import nothing\n")
    (tmp_path / "bin").write_bytes(b"import\0import\n")
    os.symlink("/etc/passwd", tmp_path / "passwd")
    os.symlink("..", tmp_path / "sub" / "up")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def test_lines_are_named_by_path_and_number(tree: Path) -> None:
    assert paged(mounted(tree), pattern="^import", files="*.py") == [
        f"{tree}/a.py:1: import os",
        f"{tree}/sub/b.py:2: import json",
    ]
    assert paged(mounted(tree), pattern="IMPORT", ignore_case=True, files="*.py", limit=1) == [
        f"{tree}/a.py:1: import os",
        f"{tree}/sub/b.py:1: Import re",
        f"{tree}/sub/b.py:2: import json",
        f"{tree}/sub/b.py:3: last import",
    ]


def test_no_link_fifo_or_binary_file_is_searched(tree: Path) -> None:
    """H-FS-08: and nothing waits for a writer."""
    started_s = time.monotonic()
    assert grep(mounted(tree), pattern="root:|^$").text == "(no match; 1 binary files were not searched)"
    assert time.monotonic() - started_s < 1


def test_files_of_a_permit_are_searched_in_order(tree: Path) -> None:
    files = [granted(tree / "c.txt"), granted(tree / "a.py")]
    assert paged(*files, pattern="import") == [f"{tree}/c.txt:1: import nothing", f"{tree}/a.py:1: import os"]
    assert paged(*files, pattern="import", files="*.py") == [f"{tree}/a.py:1: import os"]
    assert paged(granted(tree / "c.txt"), pattern="import", files="*.py"), "a file that is named is searched"


@pytest.mark.parametrize("text", ["a.b", "[x]", "$1^", "(", "a\\", "*"])
def test_plain_text_is_plain(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f"
    path.write_text(f"axb\nx\n{text}\n")
    for ignore_case in (False, True):
        assert paged(granted(path), pattern=text, fixed=True, ignore_case=ignore_case) == [f"{path}:3: {text}"]


@pytest.mark.parametrize("pattern", ["needle", "ne+dle", "[n]eedle", "needle$|x{3}"])
def test_what_is_found_does_not_depend_on_blocks(tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    lines = [f"line {i} {'needle' if i % 37 == 0 else 'hay' * (i % 50)}" for i in range(2_000)]
    path.write_text("\n".join(lines))
    expected = [f"{path}:{n}: {line}" for n, line in enumerate(lines, 1) if re.search(pattern, line)]
    for size in (61, 1_000, 262_144):
        monkeypatch.setattr(room, "CHUNK_BYTES", size)
        assert paged(granted(path), pattern=pattern, limit=7) == expected


def test_a_long_line_is_searched_at_its_start_and_shown_short(tmp_path: Path) -> None:
    """H-FS-09: a single line of any length; and what was not searched is told, so that nobody takes it for a no."""
    path = tmp_path / "f"
    path.write_text("needle" + "x" * 3_000_000 + "tail\nneedle 2\n")
    told = "[cut: of longer lines only the first 16384 bytes were searched; see file_read]"
    output = grep(granted(path), pattern="needle")
    assert [len(line) < 600 for line in output.text.splitlines()] == [True, True, True]
    assert (output.text.splitlines()[-1], output.truncated) == (told, True)
    for size in (20_000, 100_000, 3_000_000):
        path.write_text("x" * size + "tail")
        assert grep(granted(path), pattern="tail") == Output(told, truncated=True), size
    path.write_text("x" * 16_384 + "\n" + "y" * 16_384)
    assert grep(granted(path), pattern="tail") == Output("(no match)")


def test_the_time_of_a_search_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_text("hay\n" * 1_000)
    monkeypatch.setattr("worker.user.listing.SEARCH_S", 0.0)
    output = grep(granted(path), pattern="h[a]y")
    assert output == Output(
        "[cut: the search was stopped by its limits; narrow path, files or pattern]", truncated=True
    )


def test_a_result_is_bounded_in_bytes(tmp_path: Path) -> None:
    """TOL-6"""
    path = tmp_path / "f"
    path.write_text("hay\n" * 10_000)
    output = room.grep(task("grep", granted(path), pattern="hay", limit=2_000, limit_bytes=2_000))
    assert output.truncated
    assert len(output.text) < 2_300


def test_a_wrong_pattern_is_an_error_of_the_call(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match="unclosed"):
        grep(mounted(tmp_path), pattern="(")


def test_odd_bytes_never_leave_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "new\nline"
    path.write_bytes(b"x" * 9_000 + b"\nhit \xff\0 here\r\n")
    assert paged(granted(path), pattern="hit") == [f'"{tmp_path}/new\\nline":2: hit \ufffd\ufffd here']
