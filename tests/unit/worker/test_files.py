"""The tools on single files: every byte is reachable, nothing is unbounded, edits are exact (TOL-2, TOL-6)."""

import base64
import os
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.tasks import buffer, content, granted, task
from worker.abi import Json
from worker.user import files
from worker.user.granted import Granted, Output, ToolFailedError

_NEXT = re.compile(r"\n?\[cut [^\n]*; continue with (offset|byte_offset)=(\d+)\]$")


def memory_file(data: bytes) -> Granted:
    fd = os.memfd_create("test")
    os.write(fd, data)
    return Granted("/f", "read", fd)


def read(file: Granted, **args: Json) -> Output:
    return files.read(task("read", file, **args))


def joined(file: Granted, **args: Json) -> str:
    """The whole file, read as its own markers say."""
    parts: list[str] = []
    position: dict[str, Json] = {}
    for _ in range(10_000):
        page = read(file, **args, **position)
        if not page.truncated:
            return "".join([*parts, page.text])
        found = _NEXT.search(page.text)
        assert found is not None, page.text[-200:]
        body = page.text[: found.start()]
        parts.append(body if found[1] == "byte_offset" else f"{body}\n")
        position = {found[1]: int(found[2])}
    raise AssertionError("the pages do not end")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=400), st.integers(64, 200))
def test_pages_join_to_the_whole_file(text: str, max_bytes: int) -> None:
    file = memory_file(text.encode())
    assert joined(file, max_bytes=max_bytes) == text
    os.close(file.fd)


@pytest.mark.parametrize("limit", [1, 2, 7, 5_000])
def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "f"
    path.write_text("".join(f"line {i} with \x0c and \u2028 in it\r\n" for i in range(1, 101)) + "end")
    assert joined(granted(path), limit=limit) == path.read_bytes().decode()
    page = read(granted(path), offset=99, limit=2, numbered=True)
    assert page.text.startswith("    99\tline 99 with \x0c")
    assert "\n   100\tline 100 " in page.text
    assert page.text.endswith(f"[cut after line 100, byte {path.stat().st_size - 3} of {path.stat().st_size}; "
                              "continue with offset=101]")  # fmt: skip


def test_numbers_count_against_the_bound() -> None:
    page = read(memory_file(b"\n" * 100_000), numbered=True, max_bytes=1_000)
    assert page.truncated
    assert len(page.text) < 1_200


@pytest.mark.parametrize(("data", "lines"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\nb", 2), (b"a\nb\n", 2)])
def test_a_line_behind_the_end_is_an_error_with_the_count(data: bytes, lines: int) -> None:
    for line in (lines + 1, lines + 2, 10_000):
        if line > 1:
            with pytest.raises(ToolFailedError, match=f"has {lines} lines: there is no line {line}"):
                read(memory_file(data), offset=line)


def test_a_long_line_is_read_by_bytes_at_the_ends_of_characters() -> None:
    """H-FS-09: a single line of any length."""
    text = "äé\U0001f600" * 2_000
    for max_bytes in (64, 65, 66, 67):
        assert joined(memory_file(text.encode()), max_bytes=max_bytes) == text


@pytest.mark.parametrize("data", [b"\xff\xfe", b"abc\0def", b"a" * 50_000 + b"\xc3\n", b"\x80" * 100_000])
def test_binary_is_refused_and_given_on_request(data: bytes) -> None:
    """TOL-6"""
    file = memory_file(data)
    with pytest.raises(ToolFailedError, match="encoding=base64"):
        joined(file)
    whole, position = b"", 0
    while True:
        page = read(file, encoding="base64", byte_offset=position, max_bytes=1_000)
        body, _, marker = page.text.partition("\n")
        assert len(body) <= 1_000
        whole += base64.b64decode(body)
        if not page.truncated:
            break
        position = int(marker.removesuffix("]").rpartition("=")[2])
    assert whole == data


def test_a_sparse_file_of_ten_gib_costs_no_memory(tmp_path: Path) -> None:
    """H-FS-09"""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    tracemalloc.start()
    try:
        with pytest.raises(ToolFailedError, match="binary"):
            read(granted(path))
        assert read(granted(path), encoding="base64").truncated
        with pytest.raises(ToolFailedError, match="use byte_offset"):
            read(granted(path), offset=2)
        assert tracemalloc.get_traced_memory()[1] < 4 * files.CHUNK_BYTES
    finally:
        tracemalloc.stop()


def test_a_file_that_grows_without_end_gives_one_page() -> None:
    """H-FS-09: what is read is bounded by the call, not by the file."""
    zero = Granted("/dev/zero", "read", os.open("/dev/zero", os.O_RDONLY))
    assert len(read(zero, encoding="base64", max_bytes=1_000).text) < 1_200


def test_many_files_come_with_the_length_of_each(tmp_path: Path) -> None:
    names = ("a", "b\n--- fake (9 bytes) ---", "c")
    for name in names:
        (tmp_path / name).write_text(f"text of {name[0]}\n")
    (tmp_path / "bin").write_bytes(b"\0")
    paths = [tmp_path / name for name in (*names, "bin")]
    output = files.read_many(task("many", *map(granted, paths)))
    assert not output.truncated
    assert f"--- {tmp_path}/a (10 bytes) ---\ntext of a\n" in output.text
    assert '\\n--- fake (9 bytes) ---" (10 bytes) ---\ntext of b\n' in output.text
    assert "is binary" in output.text


def test_many_long_files_share_the_bound(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(f"{name}\n" * 10_000)
    output = files.read_many(task("many", *(granted(tmp_path / name) for name in "abc"), max_bytes=3_000))
    assert output.truncated
    assert len(output.text) < 4_000
    assert output.text.endswith("[cut: 3 of 3 files are not whole; continue with file_read of each]")


def test_write_puts_the_content_into_the_buffer() -> None:
    target = buffer()
    files.write(task("write", target, content="häß\n"))
    assert content(target) == "häß\n".encode()


def edited(before: str, old: str, new: str) -> str:
    target = buffer()
    files.edit(task("edit", memory_file(before.encode()), target, old=old, new=new))
    return content(target).decode()


@given(st.text("ab\n", max_size=30), st.text("ab", min_size=1, max_size=3), st.text("abc", max_size=3))
def test_an_edit_replaces_the_one_place_or_refuses(before: str, old: str, new: str) -> None:
    """H-FS-19"""
    places = [i for i in range(len(before)) if before.startswith(old, i)]
    if len(places) == 1:
        assert edited(before, old, new) == before.replace(old, new)
    else:
        with pytest.raises(ToolFailedError, match="more than once" if places else "does not occur"):
            edited(before, old, new)


def test_places_that_overlap_are_ambiguous() -> None:
    """H-FS-19: str.count would say 1."""
    with pytest.raises(ToolFailedError, match="more than once"):
        edited("aaa", "aa", "b")
