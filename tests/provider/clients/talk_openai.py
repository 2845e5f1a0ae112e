"""The official openai client talks to the server at argv[1]; prints what it understood as one JSON document."""

import asyncio
import json
import sys

import openai

GOAL = [{"role": "user", "content": "the goal"}]
TOOLS = [
    {"type": "function", "function": {"name": name, "description": name, "parameters": {"type": "object"}}}
    for name in ("file_read", "file_list")
]


def said(completion):
    message, usage = completion.choices[0].message, completion.usage
    calls = message.tool_calls or []
    return {
        "text": message.content,
        "calls": [[call.id, call.function.name, call.function.arguments] for call in calls],
        "finish": completion.choices[0].finish_reason,
        "usage": [usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens_details.cached_tokens],
        "model": completion.model,
    }


def whole(client):
    messages = list(GOAL)
    first = client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
    answer = first.choices[0].message
    messages.append(answer)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": f"of {call.id}"} for call in answer.tool_calls]
    second = client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
    return [said(first), said(second)]


def streamed(client):
    """With the client's own accumulator, which checks every chunk."""
    options = {"include_usage": True}
    with client.chat.completions.stream(model="m", messages=GOAL, tools=TOOLS, stream_options=options) as stream:
        kinds = [event.type for event in stream]
        return {**said(stream.get_final_completion()), "kinds": sorted(set(kinds))}


async def in_async(url):
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0) as client:
        chunks = await client.chat.completions.create(model="m", messages=GOAL, stream=True)
        return [chunk.choices[0].delta.content or "" async for chunk in chunks]


def failed(client):
    """How the client names what went wrong, for the models that the script makes fail."""
    names = {}
    for model in ("busy", "broken", "denied", "gone"):
        try:
            client.chat.completions.create(model=model, messages=GOAL)
        except openai.APIError as error:
            names[model] = [
                type(error).__name__,
                getattr(error, "status_code", None),
                str(error.body and error.message),
            ]
    return names


def main():
    url = sys.argv[1]
    with openai.OpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0) as client:
        patient = client.with_options(max_retries=2)
        document = {
            "models": [model.id for model in client.models.list()],
            "whole": whole(client),
            "streamed": streamed(client),
            "async": asyncio.run(in_async(url)),
            "failed": failed(client),
            "retried": said(patient.chat.completions.create(model="retry", messages=GOAL)),
        }
    print(json.dumps(document))


main()
