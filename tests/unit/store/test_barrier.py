import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.core.errors import StorageError
from aaos.store.barrier import SyncBarrier


class Disk:
    """A sync that counts, waits for leave and fails when told to."""

    def __init__(self) -> None:
        self.syncs = 0
        self.fails = False
        self.began = threading.Event()
        self.leave = threading.Event()
        self.leave.set()

    def sync(self, fd: int) -> None:
        os.fstat(fd)
        self.syncs += 1
        self.began.set()
        assert self.leave.wait(10)
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def barrier(disk: Disk, tmp_path: Path) -> Iterator[SyncBarrier]:
    path = tmp_path / "x-wal"
    made = SyncBarrier(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), path, sync=disk.sync)
    yield made
    made.close()
    made.close()


def test_many_waiters_share_one_sync(barrier: SyncBarrier, disk: Disk) -> None:
    """RUN-8"""

    async def main() -> None:
        disk.leave.clear()
        first = asyncio.ensure_future(barrier.wait(1))
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(barrier.wait(n)) for n in range(2, 50)]
        await asyncio.sleep(0)
        disk.leave.set()
        await asyncio.gather(first, *others)

    asyncio.run(main())
    assert disk.syncs == 2  # the one that ran already, and one for all who came after it began


def test_a_sync_that_has_begun_does_not_count_for_a_later_commit(barrier: SyncBarrier, disk: Disk) -> None:
    """RUN-8"""

    async def main() -> None:
        disk.leave.clear()
        first = asyncio.ensure_future(barrier.wait(1))
        await asyncio.to_thread(disk.began.wait, 10)
        second = asyncio.ensure_future(barrier.wait(2))
        await asyncio.sleep(0)
        disk.leave.set()
        await first
        seen = disk.syncs, second.done()
        await second
        assert seen == (1, False) or disk.syncs == 2

    asyncio.run(main())
    assert disk.syncs == 2


def test_what_is_on_the_disk_already_needs_no_sync(barrier: SyncBarrier, disk: Disk) -> None:
    async def main() -> None:
        await barrier.wait(5)
        await barrier.wait(5)
        await barrier.wait(3)

    asyncio.run(main())
    barrier.wait_blocking(5)
    assert disk.syncs == 1
    barrier.wait_blocking(6)
    assert disk.syncs == 2


def test_a_failed_sync_is_final(barrier: SyncBarrier, disk: Disk) -> None:
    """RUN-8, H-DUR-04: a later sync would succeed without the pages that were lost."""

    async def main() -> None:
        disk.fails = True
        results = await asyncio.gather(*(barrier.wait(n) for n in (1, 2, 3)), return_exceptions=True)
        assert [type(result) for result in results] == [StorageError] * 3
        disk.fails = False
        with pytest.raises(StorageError, match="the disk gave an error") as caught:
            await barrier.wait(4)
        assert "systemctl restart agentd" in caught.value.remedy

    asyncio.run(main())
    with pytest.raises(StorageError):
        barrier.wait_blocking(1)


def test_a_waiter_that_gives_up_does_not_take_the_others_with_it(barrier: SyncBarrier, disk: Disk) -> None:
    async def main() -> None:
        disk.leave.clear()
        impatient, patient = asyncio.ensure_future(barrier.wait(1)), asyncio.ensure_future(barrier.wait(1))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.sleep(0)
        disk.leave.set()
        await asyncio.wait_for(patient, 10)
        assert impatient.cancelled()

    asyncio.run(main())
    assert 1 <= disk.syncs <= 2


def test_the_event_loop_goes_on_during_a_sync(barrier: SyncBarrier, disk: Disk) -> None:
    async def main() -> None:
        disk.leave.clear()
        waiting = asyncio.ensure_future(barrier.wait(1))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        disk.leave.set()
        await asyncio.wait_for(waiting, 10)

    asyncio.run(main())
