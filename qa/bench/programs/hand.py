"""An agent loop by hand on the openai client: no sandbox, no record, nothing kept.

usage: hand.py URL turns|tasks GOAL COUNT PARALLEL
"""

import asyncio
import json
import sys
from pathlib import Path

import openai

PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS = [
    {"type": "function", "function": {"name": "file_read", "description": "Read a file.", "parameters": PARAMETERS}}
]


def file_read(path):
    return Path(path).read_text()


def turns(url, goal):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    messages = [{"role": "user", "content": goal}]
    while True:
        answer = client.chat.completions.create(model="m", messages=messages, tools=TOOLS).choices[0].message
        if not answer.tool_calls:
            return answer.content
        messages.append(answer)
        for call in answer.tool_calls:
            result = file_read(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


async def tasks(url, goal, count, parallel):
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    slots = asyncio.Semaphore(parallel)

    async def one(number):
        async with slots:
            messages = [{"role": "user", "content": f"{goal} {number}"}]
            return await client.chat.completions.create(model="m", messages=messages, tools=TOOLS)

    await asyncio.gather(*(one(number) for number in range(count)))


def main():
    url, what, goal, count, parallel = sys.argv[1:]
    if what == "turns":
        turns(url, goal)
    else:
        asyncio.run(tasks(url, goal, int(count), int(parallel)))


main()
