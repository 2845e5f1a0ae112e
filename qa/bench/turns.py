"""One turn of an agent without the model: ours, confined, audited and durable, beside loops that are nothing of that.

A scripted model on loopback answers at once and asks for one read of a 4 KiB file in each turn. All take turns within
one run, so that a slow minute hits all of them alike. With --frameworks also LangGraph, pydantic-ai and openai-agents,
which are installed when they are missing.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from qa.bench import canonical
from qa.bench.kit import median, table
from qa.bench.loops import HAND, Loop, frameworks
from qa.bench.ours import PARALLEL, SUBTASKS, Ours, plan, running
from qa.bench.talk import Heard, Model, script

ROUNDS, LONG_ROUNDS = 7, 3
HEARD_S = 10.0  # what the model may take to count, after its last answer
SHORT, LONG, NEAR = 20, 100, 10
FIRST = (2, NEAR + 1)  # the very first turn also starts things
BLOCK = 4096

Agent = Ours | Loop
Runs = dict[str, list[Heard]]


async def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(prog="./dev bench turns")
    options.add_argument("--frameworks", action="store_true")
    loops = (HAND, *(frameworks() if options.parse_args().frameworks else ()))
    with tempfile.TemporaryDirectory(prefix="aaos-bench-") as name:
        directory = files(Path(name))
        model = Model(script(directory, (SHORT, LONG), plan=plan()))
        async with model.provider:
            with running(model.provider.url, directory) as ours:
                agents: tuple[Agent, ...] = (ours, *loops)
                show_turns(await talks(model, agents, length=SHORT, rounds=ROUNDS))
                long = await talks(model, agents, length=LONG, rounds=LONG_ROUNDS)
                show_growth(long)
                show_disk(long[ours.name])
                show_subtasks(await many(model, agents))
                canonical.show(await asyncio.to_thread(canonical.measured, ours.agentd, directory))


def files(directory: Path) -> Path:
    """Gives the directory a file for each turn."""
    directory.chmod(0o755)
    for number in range(1, LONG + 1):
        (directory / str(number)).write_text("x" * (BLOCK - 1) + "\n")
    return directory


async def talks(model: Model, agents: Sequence[Agent], *, length: int, rounds: int) -> Runs:
    """Conversations of `length` turns, everybody's in each round."""
    runs: Runs = {agent.name: [] for agent in agents}
    for number in range(rounds):
        goal = f"turns-{length} {number}"
        for agent in agents:
            heard = model.listen(2, NEAR + 2, length - NEAR + 1, length + 1)
            await agent.talk(model, goal)
            async with asyncio.timeout(HEARD_S):
                while len(heard.asked) <= length:  # noqa: ASYNC110  # the model counts after its last answer
                    await asyncio.sleep(0.005)
            assert len(heard.asked) == length + 1, f"{agent.name}: {len(heard.asked)} questions"
            runs[agent.name].append(heard)
    return runs


async def many(model: Model, agents: Sequence[Agent]) -> dict[str, list[float]]:
    """Seconds for SUBTASKS agents that ask once, PARALLEL at a time."""
    seconds: dict[str, list[float]] = {}
    for number in range(LONG_ROUNDS):
        for agent in agents:
            taken = await agent.work(model, f"many {number}", SUBTASKS, parallel=PARALLEL)
            seconds.setdefault(agent.name, []).append(taken)
    return seconds


def show_turns(runs: Runs) -> None:
    """A turn's time and processor time, and what it is to ours."""
    times = {name: median([ms for heard in of for ms in heard.turns_ms()]) for name, of in runs.items()}
    cpu = {name: median([heard.cpu_ms(2, SHORT) for heard in of]) for name, of in runs.items()}
    ours = next(iter(times))
    rows = [(name, f"{times[name]:.2f}", f"{times[name] / times[ours]:.2f}", f"{cpu[name]:.2f}") for name in runs]
    title = f"one turn without the model ({SHORT} turns, one read of {BLOCK} bytes in each, {ROUNDS} rounds)"
    table(title, [("", "p50 ms", "to ours", "processor ms"), *rows])


def show_growth(runs: Runs) -> None:
    """What the last turns take to the first."""
    rows = []
    for name, of in runs.items():
        near, far = FIRST, (LONG - NEAR + 1, LONG)
        first, last = (median([ms for heard in of for ms in heard.turns_ms(*span)]) for span in (near, far))
        cpu_first, cpu_last = (median([heard.cpu_ms(*span) for heard in of]) for span in (near, far))
        times = (f"{first:.2f}", f"{last:.2f}", f"{last / first:.2f}")
        rows.append((name, *times, f"{cpu_first:.2f}", f"{cpu_last:.2f}", f"{cpu_last / cpu_first:.2f}"))
    title = f"turns {LONG - NEAR + 1} to {LONG} beside turns {FIRST[0]} to {FIRST[1]} (p50 ms, {LONG_ROUNDS} rounds)"
    head = ("", "first", "last", "last/first", "processor: first", "last", "last/first")
    table(title, [head, *rows])


def show_disk(runs: list[Heard]) -> None:
    """What the daemon writes for a turn."""
    first = median([heard.written_bytes(*FIRST) for heard in runs])
    last = median([heard.written_bytes(LONG - NEAR + 1, LONG) for heard in runs])
    table("bytes that agentd writes for a turn", [("first", "last"), (f"{first:.0f}", f"{last:.0f}")])


def show_subtasks(seconds: dict[str, list[float]]) -> None:
    """Seconds for all subtasks."""
    ours = median(next(iter(seconds.values())))
    rows = [(name, f"{median(of):.2f}", f"{median(of) / ours:.2f}") for name, of in seconds.items()]
    table(f"{SUBTASKS} subtasks of one turn, {PARALLEL} at a time", [("", "s", "to ours"), *rows])


if __name__ == "__main__":
    asyncio.run(main())
