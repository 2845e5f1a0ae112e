"""Work is begun in the agent's group; what comes while the group ends is cancelled before it begins."""

import asyncio

import pytest

from aaos.agent.spawning import spawner


async def _noted(begun: list[str], name: str) -> None:
    begun.append(name)
    await asyncio.sleep(0)
    begun.append(f"{name} is done")


def test_work_is_begun_in_the_group() -> None:
    """RUN-6"""

    async def run() -> list[str]:
        begun: list[str] = []
        async with asyncio.TaskGroup() as group:
            spawner(group)(_noted(begun, "work"))
        return begun

    assert asyncio.run(run()) == ["work", "work is done"]


def test_a_frame_that_comes_while_the_agent_is_ended_is_no_error() -> None:
    """ISO-11: in the one turn of the loop in which the group has ended its tasks and the socket is still heard."""

    async def run() -> tuple[list[str], bool, list[str]]:
        begun: list[str] = []
        told: list[str] = []
        late: list[asyncio.Future[None]] = []

        async def heard(group: asyncio.TaskGroup) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                late.append(spawner(group)(_noted(begun, "late")))
                late[0].add_done_callback(lambda _: told.append("given back"))

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), asyncio.TaskGroup() as group:
                group.create_task(heard(group))
        await asyncio.wait(late)
        return begun, late[0].cancelled(), told

    assert asyncio.run(run()) == ([], True, ["given back"])
