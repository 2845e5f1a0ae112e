"""Agent loops of others, each a program in `programs/` with the Python that has its packages.

Nothing of them is confined, audited or kept.
"""

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from qa.bench.talk import Model
from qa.daemon import REPOSITORY

DEADLINE_S = 300
PROGRAMS = Path(__file__).parent / "programs"
PINS = REPOSITORY / "requirements-frameworks.txt"
CLIENTS = Path(sys.prefix, "clients")  # of ./dev setup
FRAMEWORKS = Path(sys.prefix, "frameworks")


@dataclass(frozen=True, slots=True)
class Loop:
    """A program and the environment that it runs in."""

    name: str
    program: str
    environment: Path

    async def talk(self, model: Model, goal: str) -> None:
        """One agent, to its end."""
        await self._run(model, "turns", goal, "1", "1")

    async def work(self, model: Model, goal: str, count: int, *, parallel: int) -> float:
        """Many agents; seconds from the first question to the last answer."""
        heard = model.listen()
        await self._run(model, "tasks", goal, str(count), str(parallel))
        return heard.asked[-1].answered_s - heard.asked[0].arrived_s

    async def _run(self, model: Model, *words: str) -> None:
        python = str(self.environment / "bin" / "python")
        command = [python, "-I", str(PROGRAMS / self.program), model.provider.url, *words]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        model.pid = process.pid
        async with asyncio.timeout(DEADLINE_S):
            _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()


HAND = Loop("hand loop on the openai client", "hand.py", CLIENTS)


def frameworks() -> tuple[Loop, ...]:
    """The frameworks, installed when they are not there."""
    pins = PINS.read_text()
    stamp = FRAMEWORKS / "stamp"
    if not stamp.exists() or stamp.read_text() != pins:
        print(f"installing {PINS.name} into {FRAMEWORKS} (a minute)")
        pip = (sys.executable, "-I", "-m", "pip", "--python", str(FRAMEWORKS / "bin" / "python"))
        options = ("--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-compile", "-r", str(PINS))
        subprocess.run((sys.executable, "-I", "-m", "venv", "--clear", "--without-pip", str(FRAMEWORKS)), check=True)
        subprocess.run((*pip, *options), check=True)
        stamp.write_text(pins)
    return (
        Loop("LangGraph", "langgraph_loop.py", FRAMEWORKS),
        Loop("pydantic-ai", "pydantic_ai_loop.py", FRAMEWORKS),
        Loop("openai-agents", "openai_agents_loop.py", FRAMEWORKS),
    )
