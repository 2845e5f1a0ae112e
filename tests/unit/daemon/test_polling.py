"""How the event loop waits."""

import os
import selectors
from collections.abc import Iterator
from itertools import count

import pytest

from aaos.daemon.polling import WINDOW_S, LingeringSelector


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def selector(pipe: tuple[int, int]) -> Iterator[LingeringSelector]:
    microseconds = count()
    with LingeringSelector(now_s=lambda: next(microseconds) * 1e-6) as made:
        made.register(pipe[0], selectors.EVENT_READ)
        yield made


def test_what_comes_is_seen_asleep_and_awake(selector: LingeringSelector, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"x")
    for _ in range(3):  # the first sleeps, and is short; the others look
        assert [key.fd for key, _ in selector.select(None)] == [pipe[0]]
    assert selector.looks == 2


def test_a_look_ends_with_its_window_and_with_the_time_that_was_given(
    selector: LingeringSelector, pipe: tuple[int, int]
) -> None:
    os.write(pipe[1], b"x")
    selector.select(None)
    os.read(pipe[0], 1)
    assert selector.select(WINDOW_S / 2) == []
    os.write(pipe[1], b"x")
    selector.select(None)
    os.read(pipe[0], 1)
    assert selector.select(WINDOW_S * 2) == []
    assert selector.looks == 2


def test_who_does_not_wait_does_not_look(selector: LingeringSelector, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"x")
    for _ in range(3):
        assert selector.select(0)
    assert selector.looks == 0
