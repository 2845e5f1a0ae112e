"""The log of steps: whole records of this boot, this database and this batch, and nothing else."""

import errno
import os
import tracemalloc
from pathlib import Path

import pytest

from aaos.core.events import EventKind
from aaos.store import redo
from aaos.store.redo import LOG_BYTES, Redo, Statement, left_over
from aaos.store.statedir import StateDir

DATABASE = "0123456789abcdef" * 2
OTHER = "f" * 32
STEPS: tuple[list[Statement], ...] = (
    [("INSERT a", ("text", 1, 2.5, None))],
    [("INSERT b", (b"\0\xff", "é\0")), ("UPDATE c", ())],
    [("INSERT d", ("x" * 5_000,))],
)
ALL = [statement for step in STEPS for statement in step]


@pytest.fixture
def log(state_dir: Path) -> Redo:
    state = StateDir.open(state_dir)
    opened = Redo.open(state, DATABASE, 7)
    state.close()
    return opened


def write(log: Redo, steps: tuple[list[Statement], ...] = STEPS) -> None:
    for step in steps:
        log.append(step)


def test_what_was_written_is_found_in_order(log: Redo, state_dir: Path) -> None:
    write(log)
    assert left_over(state_dir / "redo", DATABASE, 7) == ALL
    log.close()


def test_a_member_of_an_enumeration_is_its_text(log: Redo, state_dir: Path) -> None:
    log.append([("INSERT", (EventKind.TOOL_DONE, 1))])
    assert left_over(state_dir / "redo", DATABASE, 7) == [("INSERT", ("tool.done", 1))]
    log.close()


def test_no_more_is_read_than_a_log_may_have(log: Redo, state_dir: Path) -> None:
    """H-FUZZ-10: a file of any size, which nobody of ours wrote."""
    write(log)
    log.close()
    os.truncate(state_dir / "redo", 2**26)
    tracemalloc.start()
    try:
        assert left_over(state_dir / "redo", DATABASE, 7) == ALL
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 4 * LOG_BYTES


def test_what_is_torn_at_any_byte_is_found_up_to_the_last_whole_step(log: Redo, state_dir: Path) -> None:
    """H-DUR-01: a kill in the middle of a write."""
    ends = [0]
    for step in STEPS:
        log.append(step)
        ends.append((state_dir / "redo").stat().st_size)
    log.close()
    data = (state_dir / "redo").read_bytes()
    for size in range(len(data) + 1):
        (state_dir / "torn").write_bytes(data[:size])
        whole = sum(end <= size for end in ends) - 1
        assert left_over(state_dir / "torn", DATABASE, 7) == [one for step in STEPS[:whole] for one in step]


def test_a_step_with_a_wrong_bit_ends_what_is_found(log: Redo, state_dir: Path) -> None:
    write(log)
    log.close()
    data = (state_dir / "redo").read_bytes()
    for at in range(len(data)):
        wrong = bytearray(data)
        wrong[at] ^= 0x10
        (state_dir / "wrong").write_bytes(wrong)
        found = left_over(state_dir / "wrong", DATABASE, 7)
        assert found == ALL[: len(found)]
        assert len(found) < len(ALL)


def test_another_batch_database_or_boot_is_passed_over(
    log: Redo, state_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(log)
    log.close()
    path = state_dir / "redo"
    assert left_over(path, DATABASE, 6) == left_over(path, DATABASE, 8) == left_over(path, OTHER, 7) == []
    (tmp_path / "boot").write_text("00000000-0000-4000-8000-000000000000\n")
    monkeypatch.setattr(redo, "BOOT_ID", tmp_path / "boot")
    assert left_over(path, DATABASE, 7) == []


def test_the_next_batch_is_written_over_the_last_and_finds_nothing_of_it(log: Redo, state_dir: Path) -> None:
    write(log)
    log.committed()
    assert log.batch == 8
    assert left_over(state_dir / "redo", DATABASE, 8) == []
    log.append(STEPS[0])
    assert left_over(state_dir / "redo", DATABASE, 8) == STEPS[0]
    log.close()


def test_a_full_log_takes_nothing_and_loses_nothing(log: Redo, state_dir: Path) -> None:
    large: list[Statement] = [("INSERT", ("x" * (LOG_BYTES // 3),))]
    write(log, (large, large))
    with pytest.raises(OSError, match="No space left") as full:
        log.append(large)
    assert full.value.errno == errno.ENOSPC
    assert left_over(state_dir / "redo", DATABASE, 7) == large + large
    log.close()


def test_a_new_log_is_empty_and_without_one_there_is_nothing(log: Redo, state_dir: Path) -> None:
    write(log)
    log.close()
    state = StateDir.open(state_dir)
    again = Redo.open(state, DATABASE, 7)
    assert left_over(state_dir / "redo", DATABASE, 7) == []
    again.close()
    again.discard()
    again.discard()
    state.close()
    assert left_over(state_dir / "redo", DATABASE, 7) == []
