"""Our side of the benchmark of turns: a private agentd with the scripted model as tier T2, used as an operator does."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qa.bench.talk import Model
from qa.daemon import PrivateDaemon, private_daemon

MODELS = """
providers:
  scripted: {{kind: vllm, url: "{url}/v1"}}
models:
  scripted: {{provider: scripted, model: m, tier: T2, max_parallel: {parallel}}}
"""
SUBTASKS, PARALLEL = 100, 16
SETTINGS = """
[models]
table = "{directory}/models.yaml"
T2 = "scripted"
[limits]
max_turns = 200
max_parallel = {parallel}
"""
ROLE = """
name: reader
summary: Reads files, as its model asks.
entry: loop
tiers: [T2]
parameters:
  instruction: {type: string}
  reads: {type: paths, required: false}
capabilities:
  - tool: file_read
  - file_read: "{reads}"
message: "{instruction}"
limits: {iterations: 200}
"""


def plan() -> str:
    """What the planner's model answers: SUBTASKS readers that do not need each other."""
    subtasks = [{"id": f"s{n}", "role": "reader", "params": {"instruction": f"many {n}"}} for n in range(SUBTASKS)]
    return json.dumps({"kind": "plan", "subtasks": subtasks, "final": "s0"})


@contextmanager
def running(url: str, directory: Path) -> Iterator["Ours"]:
    """A daemon for the length of a block; its runs may read `directory`, which also holds its settings."""
    (directory / "roles").mkdir()
    (directory / "roles" / "reader.yaml").write_text(ROLE)
    (directory / "models.yaml").write_text(MODELS.format(url=url, parallel=PARALLEL))
    settings = SETTINGS.format(directory=directory, parallel=PARALLEL)
    with private_daemon(settings, roles=(directory / "roles",)) as agentd:
        yield Ours(agentd, directory)


@dataclass(frozen=True, slots=True)
class Ours:
    """The daemon, and a directory that its runs may read."""

    agentd: PrivateDaemon
    directory: Path
    name: str = "aaOS (confined, audited, durable)"

    async def talk(self, model: Model, goal: str) -> None:
        """One run with one agent."""
        model.pid = self.agentd.process.pid
        await self._submit("--role", "reader", "--max-tokens", "100000000", "--read", str(self.directory), goal)

    async def work(self, model: Model, goal: str, count: int, *, parallel: int) -> float:
        """One run of many agents; seconds from its plan to its end."""
        assert (count, parallel) == (SUBTASKS, PARALLEL), "the plan and the settings say otherwise"
        model.pid = self.agentd.process.pid
        events = await self._submit("--orchestration", "plan", "--read", str(self.directory), goal)
        times = {event["kind"]: float(event["time_s"]) for event in events if "kind" in event}
        return times["run.completed"] - times["run.planned"]

    async def _submit(self, *words: str) -> list[dict[str, str]]:
        done = await asyncio.to_thread(self.agentd.run, "submit", "--json", *words)
        assert done.status == 0, done.output
        return [json.loads(line) for line in done.output.splitlines()]
