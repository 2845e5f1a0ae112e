"""What is read of a process that is looked at from outside; the looks themselves: tests/kernel/test_attest.py."""

import os
from pathlib import Path
from typing import cast

import pytest

from aaos.core.errors import ConfinementError
from aaos.sandbox.attest import Expected, _has_ended, attest_started

STAT = "7 (a) R) {state} 1 7 7 0 -1 {flags} 90 0 0 0 1 2 0 0 20 0 1 0 5000 1 1 18446744073709551615\n"


@pytest.mark.parametrize(
    ("state", "flags", "has_ended"),
    [("S", 0x400040, False), ("R", 0x400044, True), ("Z", 0x40, True), ("X", 0x40, True), ("t", 0x4000_0000, False)],
)
def test_what_is_ending_has_not_changed(tmp_path: Path, state: str, flags: int, has_ended: bool) -> None:
    """ISO-9: its namespaces are gone before it is a zombie; that is no breach."""
    (tmp_path / "stat").write_text(STAT.format(state=state, flags=flags))
    assert _has_ended(str(tmp_path)) is has_ended


def test_what_is_not_there_has_ended(tmp_path: Path) -> None:
    assert _has_ended(str(tmp_path / "gone"))


def test_a_process_outlives_the_namespaces_of_its_first_one_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """ISO-9: PID 1 of a cell has lost them before the kernel ends the others; that is an end, and no breach."""
    expected = cast(Expected, None)  # it does not come to that
    readlink = os.readlink

    def of_an_end(path: str) -> str:
        if path.startswith("/proc/1/ns/"):
            raise FileNotFoundError(path)
        return readlink(path)

    monkeypatch.setattr(os, "readlink", of_an_end)
    monkeypatch.setattr("aaos.sandbox.attest._has_ended", lambda proc: proc == "/proc/1")
    attest_started(os.getpid(), 1, expected)
    monkeypatch.setattr("aaos.sandbox.attest._has_ended", lambda proc: False)
    with pytest.raises(ConfinementError):
        attest_started(os.getpid(), 1, expected)
