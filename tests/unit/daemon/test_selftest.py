"""What is remembered of a self-test."""

import asyncio
import os
from pathlib import Path

import pytest

from aaos.core.errors import ConfinementError
from aaos.core.ports import LaunchRequest, Session
from aaos.daemon.doctor import self_test
from aaos.daemon.selftest import KEPT, Kept, SelfTest, keep, last
from tests.fakes import MemoryAudit

GOOD = Kept(1000.0, "1", 203, 0, ())


def test_the_last_one_is_remembered(tmp_path: Path) -> None:
    """ISO-10"""
    assert last(tmp_path) is None
    keep(tmp_path, Kept(1.0, "1", 203, 1, ("files: read",)))
    keep(tmp_path, GOOD)
    assert last(tmp_path) == GOOD
    assert (tmp_path / KEPT).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{", '{"time_s": 1}', "[" * 100_000, '{"named": 1}', "\udcff"])
def test_what_cannot_be_read_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / KEPT).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert last(tmp_path) is None


def test_the_doctor_tells_what_it_came_to(tmp_path: Path) -> None:
    """OPS-4, ISO-10"""
    assert "sudo agentd selftest" in self_test(tmp_path, 0.0).detail
    keep(tmp_path, GOOD)
    assert self_test(tmp_path, 8200.0).detail == "203 probes, all stopped, 2 h ago, by version 1"
    keep(tmp_path, Kept(1000.0, "1", 203, 2, ("files: read", "kernel: bpf")))
    finding = self_test(tmp_path, 1000.0)
    assert not finding.is_ok
    assert "2 of 203" in finding.detail
    assert "kernel: bpf" in finding.detail
    assert "sudo agentd selftest" in finding.remedy


def test_a_self_test_without_a_probe_is_no_pass(tmp_path: Path) -> None:
    keep(tmp_path, Kept(1000.0, "1", 0, 0, ()))
    assert not self_test(tmp_path, 1000.0).is_ok


@pytest.mark.parametrize(
    ("place", "remedy"), [("", "put daemon.state_dir on ext4, xfs, btrfs or tmpfs"), ("/elsewhere", "grant another")]
)
def test_a_state_on_a_file_system_of_no_use_is_told_as_such(tmp_path: Path, place: str, remedy: str) -> None:
    """ISO-2, ISO-10: what the self-test was granted is no grant of the operator's."""

    class Overlaid:
        async def launch(self, request: LaunchRequest) -> Session:
            message = f"{place or request.roots[0].path}: its file system cannot show its owner to a worker"
            raise ConfinementError(message, "grant another")

    tried = SelfTest(
        Overlaid(),
        None,  # type: ignore[arg-type]  # no cell is reached
        MemoryAudit(),
        state_dir=tmp_path,
        socket=tmp_path / "s",
        owner=lambda: (os.getuid(), os.getgid()),
    )
    with pytest.raises(ConfinementError, match="cannot show its owner") as caught:
        asyncio.run(tried.run())
    assert caught.value.remedy == remedy
    assert list(tmp_path.iterdir()) == []
