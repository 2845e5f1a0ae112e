"""The script in docs/dev-provider.md does what the page says, and the page names everything that a script can say."""

import asyncio
import json
import re
from pathlib import Path

from aaos.devprovider.script import PLACEHOLDERS, Call, Hang, Script, Step, Usage, When, read_script
from tests.provider.raw import Json, Raw, playing

PAGE = (Path(__file__).parents[2] / "docs" / "dev-provider.md").read_text()
(EXAMPLE,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NAMES = set(re.findall(r"`\{?([a-z][a-z0-9_-]*)", PAGE))


async def _message(raw: Raw, *messages: Json) -> Json:
    raw.ask(messages=list(messages))
    head, body = await raw.answer()
    document = json.loads(body)
    return document["choices"][0]["message"] if head.startswith("HTTP/1.1 200 ") else (head, document["error"])


def test_the_example_does_what_it_says() -> None:
    goal = {"role": "user", "content": "compare them"}

    async def play() -> None:
        async with playing(EXAMPLE) as (_, raw):
            planned = await _message(raw, {"role": "system", "content": "you plan"}, goal)
            assert json.loads(planned["content"])["subtasks"][0]["task"] == "compare them"
            head, error = await _message(raw, goal)
            assert "\r\nretry-after: 0.1\r\n" in head
            assert error["code"] == "rate_limit_exceeded"
            looked = await _message(raw, goal)
            paths = [json.loads(call["function"]["arguments"])["path"] for call in looked["tool_calls"]]
            assert paths == ["/data/a.txt", "/data/b.txt"]
            results = [
                {"role": "tool", "tool_call_id": call["id"], "content": f"text {n}"}
                for n, call in enumerate(looked["tool_calls"])
            ]
            found = await _message(raw, goal, looked, *results)
            assert found["content"] == "The second file says: text 1"

    asyncio.run(play())


def test_the_page_names_every_key_and_placeholder() -> None:
    keys = {key for model in (Script, Step, When, Call, Usage) for key in model.model_fields}
    in_text = {"message", "retry_after", "when", "steps"}
    assert sorted((keys | set(PLACEHOLDERS)) - NAMES - in_text) == []
    assert [hang for hang in Hang if f"`hang: {hang}`" not in PAGE] == []


def test_the_example_is_a_script() -> None:
    assert len(read_script(EXAMPLE.encode(), "the page").steps) == 4
