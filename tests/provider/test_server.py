"""The server over real HTTP: both formats, connections that stay, and clients that misbehave."""

import asyncio
import json

import pytest

from aaos.core.errors import SettingsError
from aaos.devprovider.asked import Asked, Wire
from aaos.devprovider.reply import Reply
from aaos.devprovider.server import ScriptedProvider
from tests.provider.raw import CHAT, MESSAGES, connected, playing

HELLO = "steps: [{text: hello}]"


def test_both_formats_are_answered_on_one_connection() -> None:
    async def play() -> None:
        async with playing(HELLO) as (provider, raw):
            raw.ask(CHAT)
            assert json.loads((await raw.answer())[1])["choices"][0]["message"]["content"] == "hello"
            raw.ask(MESSAGES)
            assert json.loads((await raw.answer())[1])["content"][0]["text"] == "hello"
            raw.ask(CHAT, stream=True)
            assert (await raw.answer())[1].endswith(b"data: [DONE]\n\n")
            raw.ask(MESSAGES, stream=True)
            assert b"event: message_stop\n" in (await raw.answer())[1]
            assert [asked.wire for asked in provider.requests] == [Wire.CHAT, Wire.MESSAGES] * 2

    asyncio.run(play())


def test_models_are_listed() -> None:
    async def play() -> None:
        async with playing("{models: [a, b], steps: [{text: x}]}") as (_, raw):
            raw.writer.write(b"GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n")
            assert [row["id"] for row in json.loads((await raw.answer())[1])["data"]] == ["a", "b"]

    asyncio.run(play())


def test_what_was_asked_is_kept_with_its_times() -> None:
    async def play() -> None:
        async with playing(HELLO) as (provider, raw):
            raw.post(
                CHAT, b'{"model":"m","messages":[{"role":"user","content":"x"}]}', headers="Authorization: Bearer k\r\n"
            )
            await raw.answer()
            (asked,) = provider.requests
            assert (asked.goal, asked.key, asked.turn) == ("x", "k", 1)
            assert 0 < asked.arrived_s <= asked.answered_s

    asyncio.run(play())


def test_many_clients_are_answered_at_once() -> None:
    async def one(provider: ScriptedProvider, number: int) -> str:
        async with connected(provider) as raw:
            raw.ask(goal=f"goal {number}")
            content: str = json.loads((await raw.answer())[1])["choices"][0]["message"]["content"]
            return content

    async def play() -> None:
        async with ScriptedProvider("steps: [{text: '{goal}', delay_s: 0.2}]") as provider:
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(provider, n)) for n in range(100)]
            assert [task.result() for task in tasks] == [f"goal {n}" for n in range(100)]

    asyncio.run(play())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{]", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 1\r\n\r\n\xff", 400),
        (b"GET /v1/messages HTTP/1.1\r\n\r\n", 405),
        (b"POST /v1/nothing HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 404),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_an_error_and_the_server_goes_on(request_bytes: bytes, status: int) -> None:
    async def play() -> None:
        async with playing(HELLO) as (provider, raw):
            raw.writer.write(request_bytes)
            head, body = await raw.answer()
            assert head.startswith(f"HTTP/1.1 {status} ")
            assert json.loads(body)["error"]["message"]
            async with connected(provider) as other:
                other.ask()
                assert b"hello" in (await other.answer())[1]

    asyncio.run(play())


def test_nesting_beyond_reason_is_an_error() -> None:
    async def play() -> None:
        async with playing(HELLO) as (_, raw):
            raw.post(CHAT, b'{"model":"m","messages":' + b"[" * 1_000_000)
            assert (await raw.answer())[0].startswith("HTTP/1.1 400 ")

    asyncio.run(play())


def test_a_script_that_has_nothing_more_to_say_says_so() -> None:
    async def play() -> None:
        async with playing("steps: [{when: {turn: 5}, text: a}]") as (_, raw):
            raw.ask()
            head, body = await raw.answer()
            assert head.startswith("HTTP/1.1 400 ")
            assert "no step for turn 1" in json.loads(body)["error"]["message"]

    asyncio.run(play())


def test_a_client_that_expects_to_be_told_to_go_on_is_told() -> None:
    async def play() -> None:
        async with playing(HELLO) as (_, raw):
            raw.post(CHAT, b'{"model":"m","messages":[{"role":"user"}]}', headers="Expect: 100-continue\r\n")
            assert (await raw.head()).startswith("HTTP/1.1 100 ")
            assert b"hello" in (await raw.answer())[1]

    asyncio.run(play())


def test_who_watches_hears_of_every_answer() -> None:
    heard: list[tuple[Asked | None, Reply]] = []

    async def play() -> None:
        async with ScriptedProvider(HELLO, keep=0, on_answer=lambda *said: heard.append(said)) as provider:
            async with connected(provider) as raw:
                raw.ask()
                await raw.answer()
            assert not provider.requests

    asyncio.run(play())
    assert [(asked and asked.goal, reply.status) for asked, reply in heard] == [("the goal", 200)]


def test_leaving_ends_what_hangs() -> None:
    async def play() -> None:
        async with asyncio.timeout(10):
            async with playing("steps: [{hang: first-token}]") as (_, raw):
                raw.ask(stream=True)
                await raw.head()

    asyncio.run(play())


def test_an_error_within_is_not_swallowed() -> None:
    async def play() -> None:
        async with ScriptedProvider(HELLO):
            raise KeyError("mine")

    with pytest.raises(KeyError):
        asyncio.run(play())


def test_a_wrong_script_is_refused_before_anything_listens() -> None:
    with pytest.raises(SettingsError, match="line 1"):
        ScriptedProvider("stps: []")
