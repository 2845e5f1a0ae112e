"""What a call costs the agent: a bare ABI round trip, and a permitted 4 KiB file_read through the whole gate.

Both are timed inside a confined worker by a program that uses the product's own client, as all agents do: the round
trip against a session that answers at once, on agentd's event loop; the read against a private agentd that nobody
watches (schema, capability, path, ledger, audit, permit with its fd, read, `tool.done`). Each is run several times and
the run in the middle counts: a virtual machine can be half as fast again for a second as in the next.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aaos.daemon.polling import make_loop
from qa.bench.kit import awake, bench, missing_layers
from qa.bench.report import Report
from qa.daemon import PrivateDaemon, private_daemon
from worker import abi

ROUNDS = 4000
READS = 2000
RUNS = 5
BLOCK = 4096

MEASURED = """
times.sort()
text = json.dumps({"p50": times[len(times) // 2] / 1e3, "p99": times[len(times) * 99 // 100] / 1e3})
agentd.finish(text)
"""
BEGIN = """
import json, socket, time
from worker.user.client import Abi
agentd = Abi(socket.socket(fileno=3))
agentd.start()
times = []
"""
ROUND_TRIP = f"""{BEGIN}
for _ in range({ROUNDS}):
    begun = time.perf_counter_ns()
    agentd.complete()
    times.append(time.perf_counter_ns() - begun)
{MEASURED}""".encode()
READ = f"""{BEGIN}
for number in range({READS}):
    begun = time.perf_counter_ns()
    result = agentd.call("file_read", {{"path": f"DIRECTORY/{{number}}"}})
    times.append(time.perf_counter_ns() - begun)
    assert len(result.text) >= {BLOCK}, result
{MEASURED}"""


async def round_trip() -> dict[str, float]:
    """p50 and p99 in microseconds of a request that is answered at once."""
    async with bench(missing_layers()) as kit:
        session = await kit.launcher.launch(kit.request(1, "program", ROUND_TRIP))
        finished: list[str] = []

        def answer(frame: abi.FromWorker) -> None:
            if isinstance(frame, abi.ModelComplete):
                session.send(abi.Reply(id=frame.id, value={}))
            elif isinstance(frame, abi.Finish):
                finished.append(frame.text)

        await session.serve(abi.Start(abi.VERSION, session.agent, "", {}, (), (), credits=1), answer)
        await session.close("bench")
    figures: dict[str, float] = json.loads(finished[0])
    return figures


def permitted_read() -> dict[str, float]:
    """p50 and p99 in microseconds of a whole permitted read."""
    with tempfile.TemporaryDirectory(prefix="aaos-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for number in range(READS):
            (directory / str(number)).write_bytes(os.urandom(BLOCK // 2).hex().encode())
        program = READ.replace("DIRECTORY", name)
        with private_daemon() as agentd:
            agentd.write("read.py", program)
            told = agentd.run(
                "submit", "--detach", "--json", "--read", name, "--program", agentd.path("read.py"), "read"
            )
            figures: dict[str, float] = json.loads(_result(agentd, json.loads(told.output.splitlines()[0])["run"]))
    return figures


def _result(agentd: PrivateDaemon, run: str) -> str:
    """What the run ended with; looked at twice a second, since who follows it would share the processors with it."""
    while True:
        time.sleep(0.5)
        seen = json.loads(agentd.run("status", "--json", run).output)
        if seen["result"] is not None or seen["error"] is not None:
            return str(seen["result"])


def take(report: Report) -> None:
    """Run and tell."""
    trip, read = typical(_in_loop), typical(permitted_read)
    with awake():
        awake_trip, awake_read = typical(_in_loop), typical(permitted_read)
    rows = (
        ("ABI round trip", trip),
        ("permitted 4 KiB file_read", read),
        ("ABI round trip, processors kept awake", awake_trip),
        ("permitted 4 KiB file_read, processors kept awake", awake_read),
    )
    report.table(
        f"the agent's side of a call (n={ROUNDS} round trips, {READS} reads; the middle one of {RUNS} runs)",
        [("", "p50 µs", "p99 µs"), *((name, f"{taken['p50']:.0f}", f"{taken['p99']:.0f}") for name, taken in rows)],
    )
    report.judge({"trip": trip["p50"], "read": read["p50"]})


def typical(run: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The run in the middle, by its p50."""
    return sorted((run() for _ in range(RUNS)), key=lambda taken: taken["p50"])[RUNS // 2]


def _in_loop() -> dict[str, float]:
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(round_trip())


if __name__ == "__main__":
    take(Report())
