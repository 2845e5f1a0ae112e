"""Work in a thread never outlives its caller (what it reads from is closed by then)."""

import asyncio
import threading

import pytest

from aaos.core.threads import in_thread


def test_what_it_returns_and_raises_comes_back() -> None:
    assert asyncio.run(in_thread(lambda: 7)) == 7

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(in_thread(fail))


@pytest.mark.parametrize("ends_badly", [False, True])
def test_a_caller_that_is_cancelled_twice_waits_for_the_thread(ends_badly: bool) -> None:
    stopped, let_go, ended = threading.Event(), threading.Event(), []

    def work() -> None:
        assert let_go.wait(10)
        ended.append(1)
        if ends_badly:
            raise ValueError("late")

    async def main() -> None:
        task = asyncio.ensure_future(in_thread(work, stop=stopped.set))
        await asyncio.sleep(0.01)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.01)
            assert not task.done()
        assert stopped.is_set()
        let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [1]

    asyncio.run(main())
