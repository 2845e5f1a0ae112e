import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.core.events import Event, EventKind, Recorded
from aaos.core.ids import AgentId, RunId, SubtaskId
from aaos.store.copies import Copied, Lost
from aaos.store.eventtext import fields_to_json
from aaos.store.jsonl import JsonlCopy


def _copied(seq: int, text: str = "x") -> Copied:
    event = Event(EventKind.TOOL_DONE, RunId("r-1"), SubtaskId("s"), AgentId("a-1"), {"text": text})
    return Copied(Recorded(seq, 1.5, event), fields_to_json(event.fields))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def copy(path: Path) -> Iterator[JsonlCopy]:
    made = JsonlCopy(path)
    yield made
    made.close()
    made.close()


def _seqs(path: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in path.read_text().splitlines()]


def test_an_event_is_a_line(copy: JsonlCopy, path: Path) -> None:
    """AUD-1"""
    assert copy.write([_copied(1, "\n\x1b[2J\udcff")]) is None
    assert path.read_bytes().isascii()
    assert json.loads(path.read_text()) == {
        "seq": 1,
        "time_s": 1.5,
        "kind": "tool.done",
        "run": "r-1",
        "subtask": "s",
        "agent": "a-1",
        "fields": {"text": "\n\x1b[2J\udcff"},
    }


def test_the_file_is_private_whatever_the_umask(copy: JsonlCopy, path: Path) -> None:
    """H-SEC-10"""
    before = os.umask(0)
    copy.write([_copied(1)])
    os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    copy.close()
    path.chmod(0o644)
    copy.write([_copied(2)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_record_is_never_split_over_two_writes(copy: JsonlCopy, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-DUR-07"""
    true_write, pieces = os.write, list[bytes]()

    def write(fd: int, data: bytes) -> int:
        pieces.append(data)
        return true_write(fd, data)

    monkeypatch.setattr(os, "write", write)
    copy.write([_copied(seq, "x" * (seq * 100)) for seq in range(200)])
    monkeypatch.undo()
    assert len(pieces) < 100
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert all(json.loads(line) for piece in pieces for line in piece.splitlines())
    assert _seqs(path) == list(range(200))


def test_two_writers_do_not_tear_each_others_lines(path: Path) -> None:
    """H-DUR-07"""
    one, two = JsonlCopy(path), JsonlCopy(path)
    for seq in range(0, 100, 2):
        one.write([_copied(seq)])
        two.write([_copied(seq + 1)])
    one.close()
    two.close()
    assert _seqs(path) == list(range(100))


@pytest.mark.parametrize("torn", [b'{"seq":3,"ti', b"\0" * 5000, b"x" * 70_000])
def test_a_torn_last_line_is_cut_off_and_told(copy: JsonlCopy, path: Path, torn: bytes) -> None:
    """H-DUR-07"""
    copy.write([_copied(1), _copied(2)])
    copy.close()
    with path.open("ab") as file:
        file.write(torn)
    assert copy.write([_copied(3)]) == Lost("jsonl", 1, f"{path}: cut off a torn last line of {len(torn)} bytes")
    assert _seqs(path) == [1, 2, 3]
    assert copy.write([_copied(4)]) is None


def test_a_file_that_is_one_torn_line_is_emptied(copy: JsonlCopy, path: Path) -> None:
    """H-DUR-07"""
    path.write_bytes(b'{"seq":')
    copy.write([_copied(1)])
    assert _seqs(path) == [1]


def test_a_huge_file_without_lines_is_left_alone(copy: JsonlCopy, path: Path) -> None:
    """H-DUR-07: nobody reads 10 GiB for the end of a line."""
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    lost = copy.write([_copied(1), _copied(2)])
    assert lost is not None
    assert (lost.count, "not a file of ours" in lost.reason) == (2, True)
    assert path.stat().st_size == 10 * 2**30


def test_what_a_full_disk_took_in_part_is_cut_off_and_the_rest_counted(
    copy: JsonlCopy, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-DUR-04"""
    true_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: true_write(fd, data[: len(data) // 2]))
    lost = copy.write([_copied(seq) for seq in range(10)])
    monkeypatch.undo()
    assert lost == Lost("jsonl", 5, f"{path}: {os.strerror(errno.ENOSPC)}")
    assert copy.write([_copied(10)]) is None
    assert _seqs(path) == [0, 1, 2, 3, 4, 10]


def test_it_recovers_when_space_returns(copy: JsonlCopy, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-DUR-04"""

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    copy.write([_copied(1)])
    monkeypatch.setattr(os, "write", full)
    lost = copy.write([_copied(2), _copied(3)])
    assert lost is not None
    assert lost.count == 2
    monkeypatch.undo()
    assert copy.write([_copied(4)]) is None
    assert _seqs(path) == [1, 4]


def test_a_file_that_was_moved_away_or_deleted_is_made_again(copy: JsonlCopy, path: Path) -> None:
    copy.write([_copied(1)])
    path.rename(path.with_suffix(".1"))
    copy.write([_copied(2)])
    path.unlink()
    copy.write([_copied(3)])
    assert (_seqs(path.with_suffix(".1")), _seqs(path)) == ([1], [3])


@pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "directory"])
def test_anything_but_a_plain_file_is_refused_without_waiting(copy: JsonlCopy, path: Path, kind: str) -> None:
    """H-SEC-10, H-FS-08"""
    victim = path.with_name("victim")
    victim.write_text("precious\n")
    match kind:
        case "link":
            path.symlink_to(victim)
        case "hard link":
            path.hardlink_to(victim)
        case "fifo":
            os.mkfifo(path)
        case _:
            path.mkdir()
    lost = copy.write([_copied(1)])
    assert lost is not None
    assert lost.count == 1
    assert victim.read_text() == "precious\n"
