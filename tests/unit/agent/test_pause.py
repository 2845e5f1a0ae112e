"""Clocks that can be stopped, and deadlines that are not met while they are."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from aaos.agent.pause import Pause, Pauses
from aaos.core.ids import AgentId, RunId

RUN, ONE, OTHER = RunId("r-1"), AgentId("a-1"), AgentId("a-2")


class Clock:
    """Seconds that pass when it is said."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_time_stands_still_while_it_is_paused() -> None:
    """BRK-9"""
    clock = Clock()
    pause = Pause(clock=clock)
    begin_s = pause.time_s()
    for passed_s, is_paused in ((5, False), (70, True), (2, False), (900, True), (1, False)):
        (pause.pause if is_paused else pause.go_on)()
        clock.now_s += passed_s
        assert pause.is_paused is is_paused
    assert pause.time_s() - begin_s == 8


def test_a_time_of_its_own_is_later_by_all_pauses() -> None:
    """BRK-9: also while one goes on."""
    clock = Clock()
    pause = Pause(clock=clock)
    deadline_s = pause.time_s() + 10
    assert pause.real_s(deadline_s) == 1_010
    pause.pause()
    clock.now_s += 30
    assert pause.real_s(deadline_s) == 1_040
    pause.go_on()
    clock.now_s += 3
    assert pause.real_s(deadline_s) == 1_040


def test_a_clock_that_is_held_stands_and_is_not_paused() -> None:
    """BRK-9, APR-3: several calls may wait at once, and a pause may come and go meanwhile."""

    async def main() -> None:
        clock = Clock()
        pause = Pause(clock=clock)
        begin_s = pause.time_s()
        with pause.held():
            clock.now_s += 5
            with pause.held():
                clock.now_s += 5
                assert (pause.is_standing, pause.is_paused) == (True, False)
                await asyncio.wait_for(pause.going(), 1)
                pause.pause()
                assert pause.is_paused
                clock.now_s += 5
            clock.now_s += 5
            assert pause.is_paused
            pause.go_on()
            assert (pause.is_standing, pause.is_paused) == (True, False)
            clock.now_s += 5
        assert not pause.is_standing
        clock.now_s += 2
        assert pause.time_s() - begin_s == 2

    asyncio.run(main())


def test_a_deadline_is_not_met_while_it_is_held() -> None:
    """BRK-9: and has then what was left of it."""

    async def main() -> None:
        pause = Pause()
        async with pause.timeout(0.02):
            with pause.held():
                await asyncio.sleep(0.1)
        with pytest.raises(TimeoutError):
            await held_then_waiting(pause)

    async def held_then_waiting(pause: Pause) -> None:
        async with pause.timeout(0.02):
            with pause.held():
                pass
            await asyncio.Event().wait()

    asyncio.run(main())


def test_paused_twice_is_paused_once() -> None:
    """RUN-5"""
    pause = Pause(clock=Clock())
    pause.pause()
    pause.pause()
    pause.go_on()
    assert not pause.is_paused
    pause.go_on()
    pause.pause()
    assert pause.is_paused


def test_a_run_pauses_its_agents_and_an_agent_only_itself() -> None:
    """RUN-5: those that come later, too."""
    pauses = Pauses()
    one = pauses.of_agent(RUN, ONE)
    pauses.of_run(RUN).pause()
    other = pauses.of_agent(RUN, OTHER)
    assert (one.is_paused, one.is_own, other.is_paused) == (True, False, True)
    one.pause()
    pauses.of_run(RUN).go_on()
    assert (one.is_paused, other.is_paused, pauses.of_run(RUN).is_paused) == (True, False, False)
    one.go_on()
    assert not one.is_paused
    assert not pauses.of_agent(RunId("r-2"), ONE).is_paused


def test_a_run_that_has_ended_leaves_nothing() -> None:
    pauses = Pauses()
    before = pauses.of_agent(RUN, ONE)
    before.pause()
    pauses.forget(RUN)
    pauses.forget(RUN)
    assert pauses.of_agent(RUN, ONE) is not before
    assert not pauses.of_agent(RUN, ONE).is_paused


def _within(check: Callable[[Pause], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await check(Pause())

    asyncio.run(main())


def test_a_deadline_is_met_when_it_goes_and_never_while_it_stands() -> None:
    """BRK-9: a deadline of no time at all, so that the pause alone keeps it away."""

    async def check(pause: Pause) -> None:
        met = asyncio.Event()

        async def wait() -> None:
            with pytest.raises(TimeoutError):
                async with pause.timeout(0.0):
                    await asyncio.Event().wait()
            met.set()

        pause.pause()
        waiting = asyncio.create_task(wait())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not met.is_set()
        pause.go_on()
        await waiting

    _within(check)


def test_a_deadline_that_was_running_is_stopped_by_a_pause() -> None:
    """BRK-9: the loop's own timer is taken back, and set again to what was left."""

    async def check(pause: Pause) -> None:
        loop = asyncio.get_running_loop()
        async with pause.timeout(60):
            (deadline,) = pause._deadlines
            first_s = deadline.timer.when()
            pause.pause()
            assert deadline.timer.when() is None
            pause.go_on()
            again_s = deadline.timer.when()
            assert first_s is not None
            assert again_s is not None
            assert first_s <= again_s <= loop.time() + 60
        assert not pause._deadlines

    _within(check)


def test_a_deadline_that_was_met_stays_met() -> None:
    """BRK-9: a pause in the same moment changes nothing any more."""

    async def late(pause: Pause) -> None:
        async with pause.timeout(0.0):
            try:
                await asyncio.Event().wait()
            finally:
                pause.pause()
                pause.go_on()

    async def check(pause: Pause) -> None:
        with pytest.raises(TimeoutError):
            await late(pause)
        assert not pause._deadlines

    _within(check)


def test_who_waits_goes_on_with_it() -> None:
    """RUN-5"""

    async def check(pause: Pause) -> None:
        await pause.going()
        pause.pause()
        waiting = asyncio.create_task(pause.going())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        pause.go_on()
        await waiting

    _within(check)
