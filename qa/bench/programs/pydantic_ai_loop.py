"""The same agent on pydantic-ai. usage: pydantic_ai_loop.py URL turns|tasks GOAL COUNT PARALLEL"""

import asyncio
import sys
from pathlib import Path

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits


def file_read(path: str) -> str:
    """Read a file."""
    return Path(path).read_text()


def main():
    url, what, goal, count, parallel = sys.argv[1:]
    model = OpenAIChatModel("m", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="none"))
    agent = Agent(model, tools=[file_read])
    if what == "turns":
        agent.run_sync(goal, usage_limits=UsageLimits(request_limit=1000))
    else:
        asyncio.run(tasks(agent, goal, int(count), int(parallel)))


async def tasks(agent, goal, count, parallel):
    slots = asyncio.Semaphore(parallel)

    async def one(number):
        async with slots:
            await agent.run(f"{goal} {number}")

    await asyncio.gather(*(one(number) for number in range(count)))


main()
