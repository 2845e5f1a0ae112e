"""What a worker costs in memory that it shares with nobody."""

import asyncio
import sys
from contextlib import closing
from pathlib import Path
from statistics import median

from aaos.sandbox.session import WorkerSession
from tests.kernel.harness import Stand, boot_script, request
from worker import memory

WORKERS = 16


def private_kib(stand: Stand) -> float:
    """Of idle workers, the mean. Source: proc_pid_smaps(5), smaps_rollup."""

    async def launched() -> list[WorkerSession]:
        return [await stand.launcher.launch(request()) for _ in range(WORKERS)]

    async def closed(sessions: list[WorkerSession]) -> None:
        await asyncio.gather(*(session.close("measured") for session in sessions))

    sessions = stand.run(launched())
    texts = [Path(f"/proc/{session.attestation.pid}/smaps_rollup").read_text() for session in sessions]
    stand.run(closed(sessions))
    lines = [line.split() for text in texts for line in text.splitlines()]
    return sum(int(line[1]) for line in lines if line[0] == "Private_Dirty:") / WORKERS


def test_what_code_refers_to_is_reached_too() -> None:
    """The collector knows no constants of functions: each use of one that counts would be a page of its own."""

    def function() -> tuple[str, float]:
        return "no name", 0.25

    consts = function.__code__.co_consts
    reached = {id(thing) for thing in memory._reachable()}
    assert {id(function.__code__), id(consts), *map(id, consts)} <= reached


def test_a_settled_zygote_makes_smaller_workers(tmp_path: Path) -> None:
    """Garbage gone, holes filled, caches emptied; less than 2 MiB. Where objects can be immortal it is far less. Where
    they cannot, it is some 40 KiB of 1,900, and two zygotes differ by half of that: so three of each, and a margin."""
    is_immortal = sys.version_info[:2] in memory._IMMORTAL_VERSIONS
    unsettled = boot_script(tmp_path, "from worker import memory\nmemory.settle = lambda: __import__('gc').freeze()")
    settled_kib, unsettled_kib = list[float](), list[float]()
    for _ in range(3):
        with closing(Stand()) as ours, closing(Stand(boot=unsettled)) as other:
            settled_kib.append(private_kib(ours))
            unsettled_kib.append(private_kib(other))
    assert median(settled_kib) < median(unsettled_kib) * (0.75 if is_immortal else 1.01), (settled_kib, unsettled_kib)
    assert median(settled_kib) < 2048
