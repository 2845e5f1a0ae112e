"""How work of an agent is begun that goes on beside its frames: in the group of the agent, while that takes any.

Invariant: what is begun while the agent is being ended never runs, and counts as cancelled like everything else of it;
a frame that comes in that moment is nobody's error.
"""

import asyncio
from collections.abc import Callable, Coroutine

Work = Coroutine[None, None, None]


def spawner(group: asyncio.TaskGroup) -> Callable[[Work], asyncio.Future[None]]:
    """Begin work in the group; in one that is ending, and so takes none, it is over before its first step."""

    def spawn(work: Work) -> asyncio.Future[None]:
        try:
            return group.create_task(work)
        except RuntimeError:  # it is shutting down
            work.close()
            late: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            late.cancel()
            return late

    return spawn
