"""A sample of the figures on a private daemon; the whole counts are those of `./dev reliability`."""

from pathlib import Path

from qa.reliability.__main__ import figures
from qa.reliability.load import planted
from qa.reliability.snapshot import left_behind

SHARE = 100


def test_a_sample_of_the_figures_is_as_promised(tmp_path: Path) -> None:
    """R1, R2, R10, R15, ISO-11, H-BRK-11, H-FS-05, H-SEC-01: cycles, kills, swaps, and a planted key after all that."""
    with planted(tmp_path) as agentd:
        parts = list(figures(agentd, tmp_path, share=SHARE))
    assert [part.figure for part in parts] == ["R1"] * 4 + ["R2", "R10", "R15"]
    assert [part for part in parts if not part.is_good] == []


def test_what_is_left_is_seen_and_what_is_gone_is_not_a_leak() -> None:
    """R1: a count that cannot fail would say nothing."""
    assert left_behind({"fds": 3, "mounts": 2}, {"fds": 4, "mounts": 1, "zombies": 1}) == {"fds": 1, "zombies": 1}
    assert left_behind({"fds": 3}, {"fds": 3}) == {}
