"""Processor time from files that look like those of the kernel."""

import os
from pathlib import Path

from aaos.sandbox.cgroup import Leaf
from aaos.sandbox.usage import cpu_us

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


def _process(proc: Path, pid: int, *ticks: int, name: str = "a", tasks: dict[int, str] | None = None) -> None:
    directory = proc / str(pid)
    for task, children in (tasks or {pid: ""}).items():
        (directory / "task" / str(task)).mkdir(parents=True)
        (directory / "task" / str(task) / "children").write_text(children)
    fields = ["S", *["0"] * 10, *map(str, ticks), *["0"] * 20]
    (directory / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")


def test_all_below_the_first_process_is_counted(tmp_path: Path) -> None:
    """ISO-12: children of every thread, what was waited for, and a name that is meant to deceive."""
    _process(tmp_path, 10, 1, 2, 3, 4, tasks={10: "11 12", 13: "14"})
    _process(tmp_path, 11, 10, 0, 0, 0, name="x) S 0 0 0 0 0 0 0 0 0 0 999 999 999")
    _process(tmp_path, 12, 0, 100, 0, 0)
    _process(tmp_path, 14, 0, 0, 1000, 0)
    _process(tmp_path, 99, 7, 7, 7, 7)
    assert cpu_us(10, None, max_processes=9, proc=tmp_path) == 1120 * TICK_US


def test_one_that_has_just_ended_counts_nothing(tmp_path: Path) -> None:
    """ISO-12"""
    _process(tmp_path, 10, 1, 0, 0, 0, tasks={10: "11"})
    assert cpu_us(10, None, max_processes=9, proc=tmp_path) == TICK_US
    assert cpu_us(12, None, max_processes=9, proc=tmp_path) == 0


def test_a_look_is_bounded(tmp_path: Path) -> None:
    """H-RES-01: however many there are."""
    _process(tmp_path, 10, 1, 0, 0, 0, tasks={10: " ".join(map(str, range(11, 111)))})
    for pid in range(11, 111):
        _process(tmp_path, pid, 1, 0, 0, 0)
    assert cpu_us(10, None, max_processes=5, proc=tmp_path) == 5 * TICK_US


def test_a_leaf_knows_it_exactly(tmp_path: Path) -> None:
    """ISO-7"""
    (tmp_path / "cpu.stat").write_text("usage_usec 123\nuser_usec 100\n")
    assert cpu_us(10, Leaf(tmp_path), max_processes=5) == 123
