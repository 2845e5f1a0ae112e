"""The order of frames, checked as a state machine."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.agent.order import AbiBrokenError, Order


def test_ids_must_rise_and_none_is_used_twice() -> None:
    """BRK-1, H-BRK-05"""
    order = Order(4)
    order.call(3)
    for reused in (3, 2, 0):
        with pytest.raises(AbiBrokenError):
            order.call(reused)


def test_more_open_calls_than_credits_end_the_session() -> None:
    """BRK-9, H-BRK-10"""
    order = Order(2)
    order.call(0)
    order.call(1)
    order.permitted(1, "p", deadline_s=1.0)
    with pytest.raises(AbiBrokenError, match="2 are allowed"):
        order.call(2)


def test_an_answered_call_gives_its_credit_back() -> None:
    order = Order(1)
    order.call(0)
    assert order.settled(0)
    order.call(1)
    assert order.open_calls == 1


def test_a_request_is_settled_once() -> None:
    """H-BRK-05: an answer is never given twice."""
    order = Order(1)
    order.call(0)
    assert order.settled(0)
    assert not order.settled(0)


def test_a_permit_keeps_its_call_open_until_it_is_done() -> None:
    order = Order(1)
    order.call(0)
    order.permitted(0, "p", deadline_s=1.0)
    order.done(1, "p")
    assert order.open_calls == 1
    order.settled(1)
    assert order.open_calls == 0


@pytest.mark.parametrize("permit", ["", "q", "p" * 1000])
def test_done_for_a_permit_that_is_not_open_ends_the_session(permit: str) -> None:
    """BRK-1: also a permit of another agent, or one already done."""
    order = Order(2)
    order.call(0)
    order.permitted(0, "p", deadline_s=1.0)
    with pytest.raises(AbiBrokenError):
        order.done(1, permit)


def test_a_permit_is_done_once() -> None:
    order = Order(2)
    order.call(0)
    order.permitted(0, "p", deadline_s=1.0)
    order.done(1, "p")
    with pytest.raises(AbiBrokenError):
        order.done(2, "p")


def test_one_model_turn_at_a_time() -> None:
    order = Order(4)
    order.model_call(0)
    with pytest.raises(AbiBrokenError, match="no answer yet"):
        order.model_call(1)


def test_a_model_turn_waits_for_open_tool_calls() -> None:
    order = Order(4)
    order.call(0)
    with pytest.raises(AbiBrokenError, match="are open"):
        order.model_call(1)


def test_nothing_comes_after_finish() -> None:
    order = Order(4)
    order.finish()
    breaches: list[Callable[[], None]] = [
        lambda: order.call(1),
        lambda: order.model_call(1),
        order.finish,
        lambda: order.not_finished("log"),
    ]
    for breach in breaches:
        with pytest.raises(AbiBrokenError):
            breach()


def test_finish_with_an_open_call_is_a_breach() -> None:
    order = Order(4)
    order.call(0)
    with pytest.raises(AbiBrokenError):
        order.finish()


def test_the_first_deadline_is_that_of_the_oldest_open_permit() -> None:
    order = Order(4)
    assert order.first_deadline_s() is None
    for number, name in enumerate("ab"):
        order.call(number)
        order.permitted(number, name, deadline_s=10.0 + number)
    assert order.first_deadline_s() == 10.0
    order.done(2, "a")
    assert order.first_deadline_s() == 11.0


@given(st.lists(st.tuples(st.sampled_from(["call", "model", "done", "settle"]), st.integers(0, 40))))
def test_no_sequence_opens_more_calls_than_credits(steps: list[tuple[str, int]]) -> None:
    """H-FUZZ-11: whatever a worker sends, the bound of open calls holds."""
    order, allowed = Order(3), 3
    for kind, number in steps:
        try:
            match kind:
                case "call":
                    order.call(number)
                    order.permitted(number, f"p{number % 5}", deadline_s=1.0)
                case "model":
                    order.model_call(number)
                case "done":
                    order.done(number, f"p{number % 5}")
                case _:
                    order.settled(number)
        except AbiBrokenError:
            pass
        assert 0 <= order.open_calls <= allowed
