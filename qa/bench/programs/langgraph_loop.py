"""The same agent on LangGraph's prebuilt loop. usage: langgraph_loop.py URL turns|tasks GOAL COUNT PARALLEL"""

import asyncio
import sys
import warnings
from pathlib import Path

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent

warnings.simplefilter("ignore")


@tool
def file_read(path: str) -> str:
    """Read a file."""
    return Path(path).read_text()


def main():
    url, what, goal, count, parallel = sys.argv[1:]
    model = ChatOpenAI(model="m", base_url=f"{url}/v1", api_key="none", max_retries=0)
    agent = create_react_agent(model, [file_read])
    config = {"recursion_limit": 1000}
    if what == "turns":
        agent.invoke({"messages": [("user", goal)]}, config)
    else:
        asyncio.run(tasks(agent, goal, int(count), int(parallel)))


async def tasks(agent, goal, count, parallel):
    slots = asyncio.Semaphore(parallel)

    async def one(number):
        async with slots:
            await agent.ainvoke({"messages": [("user", f"{goal} {number}")]})

    await asyncio.gather(*(one(number) for number in range(count)))


main()
