"""Archives of hostile trees: nothing outside is read, nothing blocks, and what comes out is a tar archive."""

import io
import os
import socket
import subprocess
import tarfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aaos.broker import archive as archives
from aaos.broker.archive import PIECE_BYTES, Told, archive, list_entries
from aaos.core.ports import Root
from tests.kernel.spaces import root_at

MIB = 2**20


@contextmanager
def opened(path: Path) -> Iterator[Root]:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        yield root_at(path, fd)
    finally:
        os.close(fd)


def archived(path: Path) -> tuple[bytes, Told]:
    told = Told()
    with opened(path) as root:
        pieces = list(archive(root, "r-1", told))
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces), told


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as file:
        return {member.name: member for member in file}


def content(data: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as file:
        found = file.extractfile(name)
        assert found is not None
        return found.read()


def test_links_are_kept_as_links_and_never_followed(tmp_path: Path) -> None:
    """RUN-9, H-FS-17: to a file of root's, to a directory, to itself, out by many steps."""
    for number, target in enumerate(("/etc/shadow", "/", ".", "../../../../etc/shadow", "loop4")):
        (tmp_path / f"loop{number}").symlink_to(target)
    data, told = archived(tmp_path)
    found = members(data)
    assert [found[f"r-1/loop{n}"].type for n in range(5)] == [tarfile.SYMTYPE] * 5
    assert found["r-1/loop0"].linkname == "/etc/shadow"
    assert b"root:" not in data
    assert (told.entries, told.skipped) == (5, 0)


def test_what_is_no_file_is_left_out_and_counted(tmp_path: Path) -> None:
    """H-FS-23, H-FS-08: a pipe, a socket and a device; none is opened."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        os.mknod(tmp_path / "device", 0o600 | 0o020000, os.makedev(1, 5))
        data, told = archived(tmp_path)
    assert members(data) == {}
    assert (told.entries, told.skipped) == (0, 3)


def test_names_come_through_as_they_are(tmp_path: Path) -> None:
    """H-FS-10: line feeds, escapes, bytes that are no UTF-8, a name of 255 bytes, a leading hyphen."""
    names = [b"a\nb", b"\x1b[2J", b"\xff\xfe", b"n" * 255, b"-rf", "\u202ertl".encode()]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    data, told = archived(tmp_path)
    assert told.entries == len(names)
    found = {os.fsencode(name): member for name, member in members(data).items()}
    assert sorted(found) == sorted(b"r-1/" + name for name in names)


def test_a_giant_with_holes_stays_small_and_whole(tmp_path: Path) -> None:
    """H-FS-09, H-RES-03: a tebibyte without content; what GNU tar makes of it is the same file."""
    path = tmp_path / "giant"
    with path.open("wb") as file:
        file.seek(512 * MIB)
        file.write(b"middle")
        file.truncate(2**40)
    data, told = archived(tmp_path)
    assert len(data) < MIB
    assert told.entries == 1
    (out := tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", "-", "-C", str(out)], input=data, check=True, timeout=60)
    with (out / "r-1" / "giant").open("rb") as file:
        assert os.fstat(file.fileno()).st_size == 2**40
        file.seek(512 * MIB)
        assert file.read(7) == b"middle\0"
        assert os.fstat(file.fileno()).st_blocks * 512 < MIB


def test_a_file_of_many_pieces_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_PARTS", 3)
    with (tmp_path / "comb").open("wb") as file:
        for number in range(6):
            file.seek(number * MIB)
            file.write(b"x")
    data, told = archived(tmp_path)
    assert (members(data), told.skipped) == ({}, 1)


def test_a_second_name_is_a_link_to_the_first(tmp_path: Path) -> None:
    """So that a thousand names of one file do not make a thousand copies."""
    (tmp_path / "a").write_bytes(b"x" * MIB)
    for number in range(1000):
        os.link(tmp_path / "a", tmp_path / f"b{number}")
    data, _ = archived(tmp_path)
    assert len(data) < 2 * MIB
    found = members(data)
    assert found["r-1/b999"].type == tarfile.LNKTYPE
    assert found["r-1/b999"].linkname == "r-1/a"


def test_no_setuid_bit_leaves(tmp_path: Path) -> None:
    """H-FS-14"""
    (tmp_path / "a").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "a").chmod(0o6755)
    data, _ = archived(tmp_path)
    assert members(data)["r-1/a"].mode == 0o755


def test_directories_come_before_what_is_in_them_and_content_is_whole(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    text = os.urandom(3 * PIECE_BYTES + 17)
    (tmp_path / "d" / "e" / "f").write_bytes(text)
    (tmp_path / "d" / "empty").touch()
    data, told = archived(tmp_path)
    assert list(members(data)) == ["r-1/d", "r-1/d/e", "r-1/d/e/f", "r-1/d/empty"]
    assert content(data, "r-1/d/e/f") == text
    assert told.entries == 4
    assert len(data) % 512 == 0


def test_a_deep_tree_is_bounded_by_the_length_of_a_path(tmp_path: Path) -> None:
    """H-FS-17: two thousand directories below one another take no two thousand fds, and end."""
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2_100):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    _, told = archived(tmp_path)
    assert 1_000 < told.entries < 2_100
    assert told.skipped == 1
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True, timeout=60)


def test_a_file_that_becomes_shorter_is_filled_up(tmp_path: Path) -> None:
    """What was announced comes, so that the rest of the archive stays readable."""
    (tmp_path / "a").write_bytes(os.urandom(4 * PIECE_BYTES))
    (tmp_path / "b").write_bytes(b"b")
    told = Told()
    with opened(tmp_path) as root:
        pieces = archive(root, "r-1", told)
        first = next(pieces)
        os.truncate(tmp_path / "a", 10)
        data = first + b"".join(pieces)
    assert content(data, "r-1/b") == b"b"
    assert len(content(data, "r-1/a")) == 4 * PIECE_BYTES


def test_a_list_is_bounded_and_says_so(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"f{number}").write_text("x")
    (tmp_path / "z").symlink_to("f0")
    with opened(tmp_path) as root:
        some, is_whole = list_entries(root, 3)
        all_of_them, is_all = list_entries(root, 100)
    assert ([one.path for one in some], is_whole) == (["f0", "f1", "f2"], False)
    assert is_all
    assert (all_of_them[-1].path, all_of_them[-1].kind, all_of_them[0].size) == ("z", "link", 1)


def test_the_names_of_all_levels_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-FS-17, H-RES-03: what is left out is counted, once a directory; where levels are done there is room again."""
    monkeypatch.setattr(archives, "MAX_NAMES", 10)
    for path, count in (("", 4), ("a", 4), ("a/a", 3), ("zz", 6)):
        (tmp_path / path).mkdir(exist_ok=True)
        for number in range(count):
            (tmp_path / path / f"z{number}").touch()
    data, told = archived(tmp_path)
    found = members(data)
    assert (told.entries, told.skipped, len(found)) == (18, 1, 18)
    assert [sum(name.startswith(f"r-1/{path}/z") for name in found) for path in ("a", "a/a", "zz")] == [4, 1, 6]


def test_a_hostile_tree_takes_little_memory(tmp_path: Path) -> None:
    """H-RES-03: levels of long names, each with many siblings that stand behind it, and with two names each."""
    fd = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "one").touch()
    for _ in range(12):
        for number in range(400):
            os.link(tmp_path / "one", f"z{number:04}{'n' * 245}", dst_dir_fd=fd)
        os.mkdir("a" * 250, dir_fd=fd)
        below = os.open("a" * 250, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    tracemalloc.start()
    try:
        with opened(tmp_path) as root:
            assert sum(map(len, archive(root, "r-1", Told()))) > 12 * MIB
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def test_what_is_kept_of_first_names_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-RES-03: without room for its first name a file still comes once, and its further names are counted."""
    monkeypatch.setattr(archives, "MAX_LINKED", len("r-1/a0"))
    for name in ("a", "b"):
        (tmp_path / f"{name}0").write_text(name * 1_000)
        os.link(tmp_path / f"{name}0", tmp_path / f"{name}1")
        os.link(tmp_path / f"{name}0", tmp_path / f"{name}2")
    data, told = archived(tmp_path)
    assert list(members(data)) == ["r-1/a0", "r-1/a1", "r-1/a2", "r-1/b0"]
    assert content(data, "r-1/b0") == b"b" * 1_000
    assert (told.entries, told.skipped) == (4, 2)
