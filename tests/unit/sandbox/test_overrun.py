"""What a worker ran into, told once each, from the counts of its leaf."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from aaos.core.config import WorkerSettings
from aaos.core.errors import LimitError
from aaos.core.events import EventKind, Scalar
from aaos.sandbox.cgroup import Leaf
from aaos.sandbox.overrun import Overrun

LIMITS = WorkerSettings(memory_bytes=64 * 2**20, pids=7)


class Told(list[tuple[EventKind, Mapping[str, Scalar]]]):
    """The events, in order."""

    def record(self, kind: EventKind, fields: Mapping[str, Scalar]) -> None:
        self.append((kind, fields))


@pytest.fixture
def leaf(tmp_path: Path) -> Leaf:
    _met(tmp_path)
    return Leaf(tmp_path)


def _met(path: Path, *, killed: int = 0, forks: int = 0) -> None:
    (path / "memory.events").write_text(f"low 0\nmax 90\noom 4\noom_kill {killed}\n")
    (path / "pids.events").write_text(f"max {forks}\n")


def test_a_leaf_that_met_nothing_tells_nothing(leaf: Leaf) -> None:
    """ISO-7: memory that was full and could be made free is no trouble."""
    told = Told()
    assert Overrun(leaf, LIMITS, told.record).look() is None
    assert told == []


def test_memory_that_ran_out_is_told_once_and_stays_the_reason(leaf: Leaf) -> None:
    """ISO-7, H-RES-02"""
    told = Told()
    overrun = Overrun(leaf, LIMITS, told.record)
    _met(leaf.path, killed=2)
    for _ in range(2):
        error = overrun.look()
        assert isinstance(error, LimitError)
        assert error.message == "the agent was ended at its memory limit of 64 MiB"
        assert "worker.memory_bytes" in error.remedy
    assert told == [(EventKind.AGENT_OOM, {"memory_bytes": 64 * 2**20})]


def test_a_process_that_was_not_made_is_told_once_and_ends_nothing(leaf: Leaf) -> None:
    """ISO-7, H-RES-01: a bomb is one event, not a flood."""
    told = Told()
    overrun = Overrun(leaf, LIMITS, told.record)
    for forks in (3, 9_000):
        _met(leaf.path, forks=forks)
        assert overrun.look() is None
    assert told == [(EventKind.LIMIT_REACHED, {"limit": "pids", "value": 7, "count": 3})]


def test_a_leaf_that_is_gone_has_nothing_to_tell(tmp_path: Path) -> None:
    told = Told()
    assert Overrun(Leaf(tmp_path / "gone"), LIMITS, told.record).look() is None
    assert told == []
