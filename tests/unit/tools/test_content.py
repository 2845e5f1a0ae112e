"""A worker can make a write fail; it cannot make it something else."""

import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import ToolError
from aaos.tools.content import check_edit, check_write, is_edit_done, is_write_done

TEXT = st.text("ab\nä", max_size=20)
SHORT = st.text("ab", min_size=1, max_size=3)


def memory(data: bytes) -> int:
    fd = os.memfd_create("test")
    os.write(fd, data)
    return fd


@given(TEXT, TEXT)
def test_only_the_argument_is_written(wanted: str, written: str) -> None:
    fd = memory(written.encode())
    if wanted == written:
        check_write({"content": wanted}, fd, -1)
    else:
        with pytest.raises(ToolError, match="something else"):
            check_write({"content": wanted}, fd, -1)
    os.close(fd)


@given(TEXT, SHORT, TEXT, st.integers(-1, 30), SHORT)
def test_only_the_edit_is_written(before: str, old: str, new: str, place: int, other: str) -> None:
    """BRK-6"""
    content = before.replace(old, new, 1)
    if place >= 0:
        content = content[:place] + other + content[place + len(other) :]
    places = [i for i in range(len(before)) if before.startswith(old, i)]
    fds = memory(content.encode()), memory(before.encode())
    args = {"old": old, "new": new}
    if len(places) == 1 and content == before.replace(old, new):
        check_edit(args, *fds)
    else:
        with pytest.raises(ToolError):
            check_edit(args, *fds)
    for fd in fds:
        os.close(fd)


def test_a_long_file_is_compared_whole() -> None:
    before = b"x" * 3_000_000 + b"OLD" + b"y" * 3_000_000
    right = before.replace(b"OLD", b"NEWER")
    args = {"old": "OLD", "new": "NEWER"}
    check_edit(args, memory(right), memory(before))
    for place in (0, 1_500_000, 2_999_999, 3_000_001, 3_000_005, len(right) - 1):
        wrong = bytearray(right)
        wrong[place] ^= 1
        with pytest.raises(ToolError, match="something else"):
            check_edit(args, memory(bytes(wrong)), memory(before))
    with pytest.raises(ToolError, match="something else"):
        check_edit(args, memory(right + b"y"), memory(before))


@given(TEXT, SHORT, SHORT)
def test_an_edit_that_was_done_can_be_told_afterwards(before: str, old: str, new: str) -> None:
    """BRK-8"""
    pre_hash = hashlib.sha256(before.encode()).hexdigest()
    args = {"old": old, "new": new}
    if before.count(old) == 1:
        assert is_edit_done(args, before.replace(old, new).encode(), pre_hash)
    assert not is_edit_done(args, before.encode() + b"!", pre_hash)
    assert not is_edit_done({"old": old, "new": ""}, before.replace(old, "").encode(), pre_hash), "it cannot be told"


def test_a_write_that_was_done_can_be_told_afterwards() -> None:
    assert is_write_done({"content": "ä"}, "ä".encode())
    assert not is_write_done({"content": "ä"}, b"a")
