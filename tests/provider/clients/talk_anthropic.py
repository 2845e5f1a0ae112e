"""The official anthropic client talks to the server at argv[1]; prints what it understood as one JSON document."""

import asyncio
import json
import sys

import anthropic

GOAL = [{"role": "user", "content": "the goal"}]
TOOLS = [{"name": name, "description": name, "input_schema": {"type": "object"}} for name in ("file_read", "file_list")]


def said(message):
    usage = message.usage
    return {
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "calls": [
            [block.id, block.name, json.dumps(block.input)] for block in message.content if block.type == "tool_use"
        ],
        "finish": message.stop_reason,
        "usage": [usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens],
        "model": message.model,
    }


def whole(client):
    messages = list(GOAL)
    first = client.messages.create(model="m", max_tokens=100, messages=messages, tools=TOOLS)
    calls = [block for block in first.content if block.type == "tool_use"]
    messages.append({"role": "assistant", "content": first.content})
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": f"of {call.id}"} for call in calls]
    messages.append({"role": "user", "content": results})
    second = client.messages.create(model="m", max_tokens=100, messages=messages, tools=TOOLS)
    return [said(first), said(second)]


def streamed(client):
    """With the client's own accumulator, which checks every event."""
    with client.messages.stream(model="m", max_tokens=100, messages=GOAL, tools=TOOLS) as stream:
        kinds = [event.type for event in stream]
        return {**said(stream.get_final_message()), "kinds": sorted(set(kinds))}


async def in_async(url):
    async with anthropic.AsyncAnthropic(base_url=url, api_key="sk-test", max_retries=0) as client:
        async with client.messages.stream(model="m", max_tokens=100, messages=GOAL) as stream:
            return [text async for text in stream.text_stream]


def failed(client):
    """How the client names what went wrong, for the models that the script makes fail."""
    names = {}
    for model in ("busy", "broken", "denied", "gone"):
        try:
            client.messages.create(model=model, max_tokens=100, messages=GOAL)
        except anthropic.APIError as error:
            names[model] = [
                type(error).__name__,
                getattr(error, "status_code", None),
                str(error.body and error.message),
            ]
    return names


def main():
    url = sys.argv[1]
    with anthropic.Anthropic(base_url=url, api_key="sk-test", max_retries=0) as client:
        patient = client.with_options(max_retries=2)
        document = {
            "whole": whole(client),
            "streamed": streamed(client),
            "async": asyncio.run(in_async(url)),
            "failed": failed(client),
            "retried": said(patient.messages.create(model="retry", max_tokens=100, messages=GOAL)),
        }
    print(json.dumps(document))


main()
