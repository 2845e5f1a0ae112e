"""A private agentd, whole and confined, whose model is a script; goals are submitted to it as an operator does.

Every conversation of one stage is played by one script, told apart by the goal's first word. Beside the directory that
runs may use lie canaries: texts that no model may ever see, and names that no file may ever get.
"""

import asyncio
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aaos.devprovider.asked import Asked
from aaos.devprovider.script import Script, Step
from aaos.devprovider.server import ScriptedProvider
from qa.daemon import PrivateDaemon, private_daemon

Json = Any  # a JSON value
CANARY = "canary-7f3a91"
DEADLINE_S = 30

MODELS = """
providers:
  scripted: {{kind: vllm, url: "{url}/v1"}}
models:
  scripted: {{provider: scripted, model: scripted, tier: T2, max_parallel: 16}}
"""
SETTINGS = """
[models]
table = "{table}"
T2 = "scripted"
"""


@dataclass(frozen=True, slots=True)
class Played:
    """A run that has ended, and everything that its model was asked."""

    status: int
    document: Json
    events: Sequence[Json]
    asked: Sequence[Asked]

    @property
    def state(self) -> str:
        """How it ended, in the run's own word."""
        state: str = self.document["state"]
        return state

    @property
    def error(self) -> Mapping[str, str]:
        """Why it failed."""
        error: Mapping[str, str] = self.document["error"] or {}
        return error

    def kinds(self, kind: str) -> list[Json]:
        """The fields of all events of a kind."""
        return [event["fields"] for event in self.events if event["kind"] == kind]

    def results(self, turn: int) -> list[tuple[str, str]]:
        """The tool results that the model got after its answer in `turn`, each with the call it asked for."""
        asked = next(asked for asked in self.asked if asked.turn == turn + 1)
        *_, answer = [message for message in asked.messages if message["role"] == "assistant"]
        told = {m["tool_call_id"]: m["content"] for m in asked.messages if m["role"] == "tool"}
        return [(call["function"]["name"], told[call["id"]]) for call in answer["tool_calls"]]


@dataclass(slots=True)
class Stage:
    """`open_dir` may be read, `out_dir` written; what lies beside them may not be touched."""

    agentd: PrivateDaemon
    provider: ScriptedProvider
    place: Path
    shown: list[str] = field(default_factory=list)

    @property
    def open_dir(self) -> Path:
        """The directory that runs may read."""
        return self.place / "open"

    @property
    def out_dir(self) -> Path:
        """The directory that runs may write."""
        return self.place / "out"

    def play(self, word: str, *options: str) -> Played:
        """Submit the goal `word ...` and follow its run to the end."""
        self.provider.requests.clear()
        grants = ("--read", str(self.open_dir), "--write", str(self.out_dir))
        done = self.agentd.run("submit", "--json", *grants, *(options or ("--orchestration", "direct")), f"{word} now")
        documents = [json.loads(line) for line in done.output.splitlines()]
        self.shown.append(done.output)
        events = [document for document in documents if "kind" in document]
        return Played(done.status, documents[-1], events, tuple(self.provider.requests))

    def audit(self, run: str) -> list[Json]:
        """The run's events as an operator reads them later, without the run itself, which comes last."""
        told = self.agentd.run("logs", "--json", "--all", run)
        documents = [json.loads(line) for line in told.output.splitlines()]
        return [document for document in documents if "kind" in document]

    def is_untouched(self) -> bool:
        """Whether everything outside is as it was."""
        outside = {path.name: path.read_text() for path in (self.place / "closed").iterdir()}
        return outside == {"secret.txt": CANARY} and sorted(p.name for p in self.place.iterdir()) == PLACES


PLACES = ["closed", "models.yaml", "open", "out"]


@contextmanager
def stage(steps: Sequence[Step], place: Path) -> Iterator[Stage]:
    """A daemon and its scripted model for the length of a block; everything of theirs is in `place`."""
    assert os.geteuid() == 0, "a daemon needs root; try: sudo ./dev test"
    place.chmod(0o755)
    for name in ("open", "out", "closed"):
        (place / name).mkdir()
    (place / "open" / "a.txt").write_text("the text of a\n")
    (place / "open" / "b.txt").write_text("the text of b\n")
    (place / "closed" / "secret.txt").write_text(CANARY)
    (place / "open" / "link.txt").symlink_to(place / "closed" / "secret.txt")
    with serving(Script(steps=tuple(steps))) as provider:
        (place / "models.yaml").write_text(MODELS.format(url=provider.url))
        with private_daemon(SETTINGS.format(table=place / "models.yaml")) as agentd:
            yield Stage(agentd, provider, place)


@contextmanager
def serving(script: Script) -> Iterator[ScriptedProvider]:
    """The provider on a thread of its own."""
    provider = ScriptedProvider(script)
    loop = asyncio.new_event_loop()
    is_up, is_over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with provider:
            is_up.set()
            await is_over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert is_up.wait(DEADLINE_S)
        yield provider
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join()
        loop.close()
