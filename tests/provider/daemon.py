"""A daemon whose models are a script, behind real HTTP and the product's own providers; its workers are threads.

Invariant: everything is the product's but the wall (tests/kernel tries that) and the model's words.
"""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from aaos.core.config import LimitSettings, ModelSettings
from aaos.core.events import EventKind, Recorded
from aaos.core.ids import RunId
from aaos.daemon.wiring import Daemon, assembled
from aaos.devprovider.script import Call, Script, Step, When
from aaos.devprovider.server import ScriptedProvider
from tests.fakes import ScriptedWeb
from tests.kernel.operators import Client, options

Json = dict[str, Any]  # Any: a JSON value
WIRES = ("openai", "anthropic")
PLANS = "You plan work"  # how the planner's system prompt begins
DEADLINE_S = 60.0


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory with two files to read."""
    with tempfile.TemporaryDirectory(prefix="aaos-") as name:
        here = Path(name)
        here.chmod(0o755)
        (here / "a.txt").write_text("Alpha is glad.\n")
        (here / "b.txt").write_text("Beta is sad.\n")
        yield here


@dataclass(frozen=True)
class World:
    """A daemon, its client, its model and its place."""

    daemon: Daemon
    client: Client
    model: ScriptedProvider
    place: Path

    async def submit(self, goal: str, **params: object) -> Json:
        """What the daemon answers to a goal."""
        return await self.client.result("submit", goal=goal, cwd=str(self.place), **params)

    async def run(self, goal: str, **params: object) -> Json:
        """The run at its end, as `watch` gives it."""
        return await self.watch((await self.submit(goal, **params))["run"])

    async def watch(self, run: str) -> Json:
        """The run at its end."""
        return await self.client.result("watch", run=run)

    def events(self, run: Json, *kinds: EventKind) -> list[Recorded]:
        """What happened in a run, of these kinds."""
        found = self.daemon.audit.query(RunId(str(run["run"])), limit=10_000)
        return [one for one in found if not kinds or one.event.kind in kinds]


Check = Callable[[World], Awaitable[None]]


def with_models(
    place: Path,
    steps: Sequence[Step],
    check: Check,
    *,
    wire: str = "openai",
    limits: LimitSettings | None = None,
    web: ScriptedWeb | None = None,
) -> None:
    """Runs `check` beside a daemon whose tier T1 plays `steps`, and whose web is `web`."""

    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S), ScriptedProvider(Script(steps=tuple(steps))) as model:
            chosen = options(place)
            models = ModelSettings(table=_table(place, model.url, wire), keys_dir=place / "keys", T1="scripted")
            changed: Json = {"models": models, **({"limits": limits} if limits else {})}
            chosen = replace(chosen, settings=chosen.settings.model_copy(update=changed))
            chosen = replace(chosen, make_egress=lambda *_: web or ScriptedWeb())
            async with assembled(chosen) as daemon, asyncio.TaskGroup() as group:
                daemon.live.open(group)
                client = await Client.connect(chosen.socket)
                try:
                    await check(World(daemon, client, model, place))
                finally:
                    await Client.close_all()
                    await daemon.server.close()
                    await daemon.live.close()

    asyncio.run(main())


def _table(place: Path, url: str, wire: str) -> Path:
    (place / "keys").mkdir(mode=0o700)
    key = place / "keys" / "scripted"
    key.touch(mode=0o600)
    key.write_text("sk-not-a-secret\n")
    path = place / "models.yaml"
    path.write_text(
        f"providers: {{scripted: {{kind: {wire}, url: '{url}/v1', key: scripted}}}}\n"
        "models: {scripted: {provider: scripted, model: scripted, tier: T1, max_output_tokens: 4096,"
        " price_usd: {input: 1, output: 2}}}\n"
    )
    return path


# --- what the model says ------------------------------------------------------------------------------------------


def plans(*subtasks: Json, when: str | None = None, times: int | None = None) -> Step:
    """The planner answers with a plan; `when` is looked for in what it was told."""
    return says_plan(plan_of(*subtasks), when=when, times=times)


def plan_of(*subtasks: Json) -> str:
    """A plan as the planner is to answer it."""
    return json.dumps({"kind": "plan", "subtasks": subtasks, "final": subtasks[-1]["id"]})


def says_plan(text: str, *, when: str | None = None, times: int | None = None) -> Step:
    """The planner answers with any text."""
    return Step(when=When(system=PLANS, goal=when), text=text, times=times)


def node(name: str, role: str, *inputs: str, **params: object) -> Json:
    """A subtask of a plan; its instruction names it, so that `agent` finds it."""
    told = {"instruction": f"This is {name}.", **params}
    return {"id": name, "role": role, "params": told, "inputs": list(inputs)}


def asks(name: str, *calls: tuple[str, Json], turn: int = 1, delay_s: float = 0.0) -> Step:
    """The agent of that subtask asks for tools in one turn."""
    made = tuple(Call(tool=tool, args=args) for tool, args in calls)
    return Step(when=When(goal=f"This is {name}.", turn=turn), calls=made, delay_s=delay_s)


def says(name: str, text: str, *, turn: int | None = None, delay_s: float = 0.0) -> Step:
    """The agent of that subtask answers."""
    return Step(when=When(goal=f"This is {name}.", turn=turn), text=text, delay_s=delay_s)
