"""Rates and expiry: the clocks may jump, the limits hold."""

import pytest

from aaos.core.capability import Kind
from aaos.core.errors import DeniedError
from aaos.core.token import TokenBox
from tests.unit.core.test_token import CHILD, ROOT, caps, in_threads, new_box, uses


@pytest.mark.parametrize("edge_s", [0.0, 0.001, 59.999, 60.0])
def test_no_window_ever_holds_more_than_the_rate(edge_s: float) -> None:
    """H-CAP-07: across the edge of the window"""
    box, clock = new_box("capability://tool/grep?rate=5/min")
    times: list[float] = []
    for step in (0.0, 30.0, edge_s, 0.5, 29.0, 1.0, 60.0, 59.9):
        clock.pass_s(step)
        times += [clock.monotonic] * uses(box, ROOT, 7)
    assert all(sum(start <= t < start + 60 for t in times) <= 5 for start in times)
    assert len(times) > 5


def test_sixteen_threads_do_not_outrun_a_rate() -> None:
    """H-CAP-07"""
    box, clock = new_box("capability://tool/grep?rate=10/min")
    assert sum(in_threads(16, lambda _: uses(box, ROOT, 10))) == 10
    clock.pass_s(60)
    assert sum(in_threads(16, lambda _: uses(box, ROOT, 10))) == 10


@pytest.mark.parametrize("jump_s", [-3600.0, 10 * 365 * 86_400.0])
def test_setting_the_clock_gives_nouses(jump_s: float) -> None:
    """H-CAP-07: rates live on the monotonic clock"""
    box, clock = new_box("capability://tool/grep?rate=5/min")
    assert uses(box, ROOT, 10) == 5
    clock.now += jump_s
    assert uses(box, ROOT, 10) == 0


def test_an_expiry_holds_when_the_clock_is_set_back() -> None:
    """H-CAP-07, H-CAP-09: the monotonic clock goes on"""
    box, clock = new_box("capability://tool/grep?expires=2h")
    clock.monotonic += 7200
    clock.now -= 3600
    _expect_expired(box)


@pytest.mark.parametrize("seconds", [7200.0, 10 * 365 * 86_400.0])
def test_an_expiry_holds_when_only_the_utc_clock_goes_on(seconds: float) -> None:
    """H-CAP-07: set forward, or the machine was suspended"""
    box, clock = new_box("capability://tool/grep?expires=2h")
    clock.now += seconds
    _expect_expired(box)


def test_a_child_granted_after_the_clock_was_set_back_lives_no_longer() -> None:
    """H-CAP-07"""
    box, clock = new_box("capability://tool/grep?expires=2h")
    clock.now -= 86_400
    box.grant(CHILD, caps("tool: grep"), parent=ROOT)
    clock.monotonic += 7200
    with pytest.raises(DeniedError, match="expired"):
        box.charge(CHILD, Kind.TOOL, "grep")


def test_nothing_is_narrowed_from_an_expired_token() -> None:
    """H-CAP-09"""
    box, clock = new_box("capability://tool/grep?expires=2h")
    clock.pass_s(7199)
    box.charge(ROOT, Kind.TOOL, "grep")
    clock.pass_s(1)
    _expect_expired(box)
    with pytest.raises(DeniedError):
        box.grant(CHILD, caps("tool: grep"), parent=ROOT)


def _expect_expired(box: TokenBox) -> None:
    assert box.capabilities(ROOT) == ()
    assert not box.allows(ROOT, Kind.TOOL, "grep")
    with pytest.raises(DeniedError, match="expired"):
        box.charge(ROOT, Kind.TOOL, "grep")
