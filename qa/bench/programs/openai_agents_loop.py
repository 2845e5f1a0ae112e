"""The same agent on openai-agents. usage: openai_agents_loop.py URL turns|tasks GOAL COUNT PARALLEL"""

import asyncio
import sys
from pathlib import Path

import openai
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled


@function_tool
def file_read(path: str) -> str:
    """Read a file."""
    return Path(path).read_text()


async def main():
    url, what, goal, count, parallel = sys.argv[1:]
    set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    agent = Agent(name="a", model=OpenAIChatCompletionsModel(model="m", openai_client=client), tools=[file_read])
    if what == "turns":
        await Runner.run(agent, goal, max_turns=1000)
    else:
        await tasks(agent, goal, int(count), int(parallel))


async def tasks(agent, goal, count, parallel):
    slots = asyncio.Semaphore(parallel)

    async def one(number):
        async with slots:
            await Runner.run(agent, f"{goal} {number}")

    await asyncio.gather(*(one(number) for number in range(count)))


asyncio.run(main())
