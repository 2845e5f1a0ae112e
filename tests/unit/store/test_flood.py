import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.events import Event, EventKind
from aaos.core.ids import AgentId, RunId
from aaos.store.flood import PER_SECOND, Flood, Suppressed

DENIED = Event(EventKind.TOOL_DENIED, RunId("r-1"), agent=AgentId("a-1"))
OTHER = Event(EventKind.TOOL_DENIED, RunId("r-1"), agent=AgentId("a-2"))


def test_so_many_are_written_in_a_second_and_the_rest_is_counted() -> None:
    """H-RES-14"""
    flood = Flood()
    admitted = [flood.admits(DENIED, 5.0 + n / 100_000) for n in range(100_000)]
    assert sum(admitted) == PER_SECOND
    assert flood.pending() == (Suppressed(DENIED.kind, RunId("r-1"), AgentId("a-1"), 100_000 - PER_SECOND),)
    assert flood.admits(DENIED, 6.0)


def test_a_flood_of_one_agent_takes_nothing_from_another() -> None:
    """H-RES-14"""
    flood = Flood()
    assert not all(flood.admits(DENIED, 1.0) for _ in range(1000))
    assert all(flood.admits(OTHER, 1.0) for _ in range(PER_SECOND))


NOISY = {EventKind.TOOL_DENIED, EventKind.AGENT_LOG, EventKind.ABI_BUSY, EventKind.NETWORK_REFUSED}


@pytest.mark.parametrize("kind", set(EventKind) - NOISY)
def test_what_agents_cannot_cause_at_will_is_never_suppressed(kind: EventKind) -> None:
    """H-RES-14: events that matter are not dropped in favour of noise."""
    flood = Flood()
    assert all(flood.admits(Event(kind, agent=AgentId("a-1")), 1.0) for _ in range(PER_SECOND * 3))


def test_what_was_told_is_not_told_again_and_what_came_since_is() -> None:
    flood = Flood()
    for _ in range(PER_SECOND + 3):
        flood.admits(DENIED, 1.0)
    (told,) = flood.pending()
    flood.admits(DENIED, 1.0)
    flood.told(told)
    assert [one.count for one in flood.pending()] == [1]


def test_the_silent_are_forgotten_and_the_counted_are_not() -> None:
    """H-RES-11: the counters do not grow with the number of agents that ever were."""
    flood = Flood()
    for number in range(1000):
        flood.admits(Event(EventKind.AGENT_LOG, agent=AgentId(f"a-{number}")), 1.0)
    for _ in range(PER_SECOND + 1):
        flood.admits(DENIED, 1.0)
    flood.forget_idle(2.5)
    assert len(flood._windows) == 1
    assert [one.count for one in flood.pending()] == [1]


@given(st.lists(st.tuples(st.sampled_from([DENIED, OTHER]), st.floats(0, 0.3)), max_size=400))
def test_every_event_is_written_or_counted(events: list[tuple[Event, float]]) -> None:
    """R17"""
    flood, now_s, written, told = Flood(), 0.0, 0, 0
    for number, (event, step_s) in enumerate(events):
        now_s += step_s
        written += flood.admits(event, now_s)
        if number % 7 == 0:
            for one in flood.pending():
                told += one.count
                flood.told(one)
            flood.forget_idle(now_s)
    assert written + told + sum(one.count for one in flood.pending()) == len(events)
