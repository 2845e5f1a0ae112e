"""What is read of a process that is looked at from outside; the looks themselves: tests/kernel/test_attest.py."""

from pathlib import Path

import pytest

from aaos.sandbox.attest import _has_ended

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
