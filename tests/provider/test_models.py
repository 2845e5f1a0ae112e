"""Our providers ask a scripted model over real HTTP on loopback, in both wire formats, well and with every fault."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from aaos.core.errors import AaosError, LimitError, ProviderError
from aaos.core.ids import AgentId, RoleName
from aaos.core.role import Tier
from aaos.devprovider.server import ScriptedProvider
from aaos.llm.keys import Key, Keys
from aaos.llm.providers import HttpProvider, Waiting, providers_from
from aaos.llm.table import read_table
from aaos.llm.types import (
    AskedCall,
    AssistantMessage,
    Message,
    ModelAnswer,
    ModelRequest,
    Stop,
    ToolResultMessage,
    ToolSchema,
    Usage,
    UserMessage,
)

SECRET = "sk-canary-0123456789abcdef"
TOOLS = tuple(ToolSchema(name, name, {"type": "object", "properties": {}}) for name in ("file_read", "file_list"))
BOTH = pytest.mark.parametrize("kind", ["openai", "anthropic"])
HASTE = "connect_s: 0.5, first_token_s: 0.5, idle_s: 0.5, total_s: 5"


class Asking:
    """A provider at a scripted server, what it waited for, and what was heard of its answers."""

    def __init__(self, provider: HttpProvider, server: ScriptedProvider, waits: list[Waiting]) -> None:
        self.provider = provider
        self.server = server
        self.waits = waits
        self.heard: list[str] = []

    async def turn(self, *messages: Message, agent: str = "a-one", goal: str = "the goal") -> ModelAnswer:
        """One turn of an agent."""
        request = ModelRequest(
            AgentId(agent), RoleName("writer"), {}, "be brief", (UserMessage(goal), *messages), TOOLS
        )
        return await self.provider.complete(request, on_text=self.heard.append)


@asynccontextmanager
async def asking(script: str, kind: str, *, deadlines: str = HASTE, model: str = "scripted") -> AsyncIterator[Asking]:
    """A provider of this kind, at a server that plays the script."""
    async with asyncio.timeout(30), ScriptedProvider(script) as server:
        provider, waits = made(server.url, kind, deadlines=deadlines, model=model)
        try:
            yield Asking(provider, server, waits)
        finally:
            await provider.close()


def made(url: str, kind: str, *, deadlines: str = HASTE, model: str = "scripted") -> tuple[HttpProvider, list[Waiting]]:
    """The provider that a table with these lines makes."""
    providers = f"providers: {{p: {{kind: {kind}, url: {url}/v1, key: k, {deadlines}}}}}\n"
    table = read_table(f"{providers}models: {{m: {{provider: p, model: {model}, tier: T2}}}}".encode(), "models.yaml")
    waits: list[Waiting] = []
    keys = Keys([Key("k", SECRET)])
    entries = (table.choose("m", Tier.T2),)
    (provider,) = providers_from(entries, keys, on_wait=lambda _, waiting: waits.append(waiting))
    return provider, waits


def run(script: str, kind: str, check: Callable[[Asking], object]) -> None:
    async def play() -> None:
        async with asking(script, kind) as one:
            await check(one)  # type: ignore[misc]  # an async function

    asyncio.run(play())


def refused(script: str, kind: str, *, deadlines: str = HASTE, model: str = "scripted") -> tuple[AaosError, int]:
    """The error of a turn, and how many requests were made."""

    async def play() -> tuple[AaosError, int]:
        async with asking(script, kind, deadlines=deadlines, model=model) as one:
            with pytest.raises(AaosError) as caught:
                await one.turn()
            assert caught.value.remedy
            assert SECRET not in caught.value.message + caught.value.remedy
            return caught.value, len(one.server.requests)

    return asyncio.run(play())


TURNS = """
steps:
  - text: I look at both
    calls: [{tool: file_read, args: {path: /a, deep: [1, {"é": null}]}}, {tool: file_list}]
    usage: {input: 20, output: 5, cached: 8}
  - text: "found {results}"
"""


@BOTH
def test_a_conversation_with_parallel_calls(kind: str) -> None:
    """LLM-1, LLM-7: text as it comes, calls in order, usage with what was cached, results paired."""

    async def check(one: Asking) -> None:
        first = await one.turn()
        assert (first.text, "".join(one.heard), len(one.heard) > 1) == ("I look at both", "I look at both", True)
        assert [(call.tool, call.args) for call in first.calls] == [
            ("file_read", {"path": "/a", "deep": [1, {"é": None}]}),
            ("file_list", {}),
        ]
        assert (first.stop, first.usage) == (Stop.CALLS, Usage(20, 5, 8))
        calls = tuple(replace(call, id=f"a-one-1-{at}") for at, call in enumerate(first.calls))
        results = (ToolResultMessage("a-one-1-0", "first"), ToolResultMessage("a-one-1-1", "second"))
        second = await one.turn(AssistantMessage(first.text, calls, carried=first.carried), *results)
        assert (second.text, second.stop) == ("found first\nsecond", Stop.ANSWER)

    run(TURNS, kind, check)


@BOTH
def test_connections_are_used_again(kind: str) -> None:
    async def check(one: Asking) -> None:
        for at in range(5):
            await one.turn(agent=f"a-{at}", goal=f"goal {at}")
        pool = one.provider._connections._pool  # type: ignore[attr-defined]  # what keeps them
        assert len(pool.connections) == 1

    run("steps: [{when: {turn: 1}, text: x}]", kind, check)


@BOTH
def test_refusals_that_pass_are_waited_for(kind: str) -> None:
    """H-LLM-01"""
    script = """
steps:
  - {when: {turn: 1}, status: 429, retry_after: 0.05, times: 1}
  - {when: {turn: 1}, status: 529, retry_after: 0.01, times: 1}
  - {when: {turn: 1}, status: 503, retry_after: soon, times: 1}
  - {when: {turn: 1}, text: at last}
"""

    async def check(one: Asking) -> None:
        assert (await one.turn()).text == "at last"
        assert [waiting.attempt for waiting in one.waits] == [2, 3, 4]
        assert "answered 429" in one.waits[0].reason
        assert 0.05 <= one.waits[0].wait_s < 0.1

    run(script, kind, check)


@BOTH
@pytest.mark.parametrize(
    ("fault", "words", "kind_of_error"),
    [
        ("echo_key: true", "answered 401", ProviderError),
        ("status: 404, message: model not found", "answered 404", ProviderError),
        ("status: 400, message: prompt is too long", "larger than the model", LimitError),
        ("status: 418", "answered 418", ProviderError),
        ("status: 429, retry_after: 1000000000", "time for another attempt is over", ProviderError),
        ("html: true", "text/html", ProviderError),
        ("wrong_json: true, text: abcdef", "not JSON", ProviderError),
        ("redirect: 'http://127.0.0.1:9/steal'", "the key was not sent there", ProviderError),
        ("wrong_content_type: true, text: x", "text/plain", ProviderError),
        ("model: another-model, text: x", "answered as 'another-model'", ProviderError),
        ("text: a long answer of many words, chunks: 20, cut: 1500", "cut off", ProviderError),
        ("error_event: true, text: a long answer of many words", "broke off", ProviderError),
        ("hang: head", "did not begin to answer", ProviderError),
        ("hang: first-token, text: x", "did not begin to answer", ProviderError),
        ("hang: mid-stream, text: a long answer, chunks: 20", "did not go on", ProviderError),
        ("trickle: 10, text: x", "did not", ProviderError),
        ("finish: something, text: x", "it ended with", ProviderError),
    ],
)  # fmt: skip
def test_every_fault_is_an_error_with_a_remedy(
    kind: str, fault: str, words: str, kind_of_error: type[AaosError]
) -> None:
    """LLM-1, H-LLM-02, H-LLM-11, H-SEC-03"""
    error, requests = refused(f"steps: [{{when: {{turn: 1}}, {fault}}}]", kind)
    assert words in error.message
    assert type(error) is kind_of_error
    assert requests == 1


@BOTH
@pytest.mark.parametrize("fault", ["error_body_200: true, message: no such luck", "cut: 0", "status: 500"])
def test_what_fails_before_the_model_begins_is_tried_again_and_then_told(kind: str, fault: str) -> None:
    """H-LLM-01, H-LLM-11: also status 200 with an error body."""
    error, requests = refused(f"steps: [{{when: {{turn: 1}}, {fault}}}]", kind)
    assert type(error) is ProviderError
    assert "attempt" in error.message
    assert requests > 2


@BOTH
def test_nobody_there_is_tried_a_few_times_and_then_told(kind: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can listen there meanwhile
        provider, waits = made(f"http://127.0.0.1:{taken.getsockname()[1]}", kind)
        request = ModelRequest(AgentId("a"), RoleName("r"), {}, "", (UserMessage("x"),), ())

        async def check() -> None:
            with pytest.raises(ProviderError, match="cannot be reached"):
                await provider.complete(request)

        asyncio.run(check())
    assert len(waits) >= 2


@BOTH
def test_nobody_who_accepts_is_given_up_at_the_deadline_for_connections(kind: str) -> None:
    """H-LLM-02: connect hang."""
    error, _ = refused("steps: [{hang: connect}]", kind, deadlines="connect_s: 0.1, total_s: 0.3")
    assert "no connection in 0.1 s" in error.message


@BOTH
def test_all_of_it_has_a_deadline(kind: str) -> None:
    """H-LLM-02"""
    script = "steps: [{when: {turn: 1}, trickle: 400, text: a long answer of many words}]"
    error, _ = refused(script, kind, deadlines="first_token_s: 9, idle_s: 9, total_s: 0.5")
    assert "was not done in 0.5 s" in error.message


@BOTH
def test_a_model_that_is_not_there_is_told_with_one_that_is(kind: str) -> None:
    """LLM-1"""
    script = "models: [scripted-7b, other]\nsteps: [{when: {turn: 1}, status: 404, message: no such model}]"
    assert refused(script, kind, model="scripted")[0].remedy == "did you mean 'scripted-7b'?"


@BOTH
def test_a_stop_ends_the_stream_and_the_next_turn_goes_on(kind: str) -> None:
    """H-LLM-02: cancel frees the slot."""

    async def check(one: Asking) -> None:
        pool = one.provider._connections._pool  # type: ignore[attr-defined]  # what keeps them
        tasks = [asyncio.ensure_future(one.turn(agent=f"a-{at}", goal="hang")) for at in range(16)]
        while len(one.server.requests) < 16:  # noqa: ASYNC110  # the server has nothing to wait for
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one_end, asyncio.CancelledError) for one_end in ended)
        assert pool.connections == []
        assert (await one.turn(goal="go")).text == "x"

    script = (
        "steps: [{when: {goal: hang}, hang: mid-stream, text: a long answer, chunks: 20}, {when: {goal: go}, text: x}]"
    )
    run(script, kind, check)


@BOTH
def test_calls_that_are_wrong_or_many_are_told_apart(kind: str) -> None:
    """H-LLM-04, H-LLM-06"""
    script = """
steps:
  - {when: {goal: bad}, calls: [{tool: file_read}], bad_arguments: true}
  - {when: {goal: twice}, calls: [{tool: file_read}], bad_arguments: '{"path": "/a", "path": "/etc/shadow"}'}
  - {when: {goal: same}, calls: [{tool: file_read, args: {path: "{n}"}, repeat: 3}], duplicate_ids: true}
  - {when: {goal: many}, calls: [{tool: file_read, args: {path: "{n}"}, repeat: 1000}]}
"""

    async def check(one: Asking) -> None:
        (bad,) = (await one.turn(goal="bad")).calls
        assert bad.error.startswith("This call was not made")
        (twice,) = (await one.turn(goal="twice")).calls
        assert (dict(twice.args), "duplicate key" in twice.error) == ({}, True)
        assert [call.args["path"] for call in (await one.turn(goal="same")).calls] == ["1", "2", "3"]
        many = (await one.turn(goal="many")).calls
        assert [call.args["path"] for call in many] == [str(at + 1) for at in range(1000)]

    run(script, kind, check)


@BOTH
@pytest.mark.parametrize(
    "usage", ["no_usage: true", "usage: {input: -5, output: 3}", "usage: {input: 1.5}", "usage: {input: 1.0e+18}"]
)
def test_odd_usage_is_none(kind: str, usage: str) -> None:
    """H-LLM-09"""

    async def check(one: Asking) -> None:
        assert (await one.turn()).usage == Usage()

    run(f"steps: [{{when: {{turn: 1}}, text: x, {usage}}}]", kind, check)


@BOTH
def test_an_answer_that_ran_into_its_limit_makes_no_calls(kind: str) -> None:
    finish = {"openai": "length", "anthropic": "max_tokens"}[kind]

    async def check(one: Asking) -> None:
        answer = await one.turn()
        assert (answer.stop, answer.calls) == (Stop.LIMIT, ())

    run(f"steps: [{{when: {{turn: 1}}, calls: [{{tool: file_read}}], finish: {finish}}}]", kind, check)


@BOTH
def test_a_long_conversation_is_sent_as_the_server_demands_it(kind: str) -> None:
    """The scripted server refuses calls without results, results without calls, and ids that come twice."""
    script = 'steps: [{calls: [{tool: file_read, args: {path: "{turn}"}, repeat: 2}], times: 30}, {text: done}]'

    async def check(one: Asking) -> None:
        messages: list[Message] = []
        for turn in range(30):
            answer = await one.turn(*messages)
            calls = tuple(AskedCall(f"a-one-{turn}-{at}", call.tool, call.args) for at, call in enumerate(answer.calls))
            results = (ToolResultMessage(call.id, "r", ok=at == 0) for at, call in enumerate(calls))
            messages += [AssistantMessage(answer.text, calls, carried=answer.carried), *results]
        assert (await one.turn(*messages)).text == "done"
        assert json.dumps(one.server.requests[-1].body).count("a-one-") == 30 * 2 * 2

    run(script, kind, check)


@BOTH
@pytest.mark.parametrize("script", ["steps: [{echo_key: true}]", "steps: [{status: 500}]", "steps: [{text: x}]"])
def test_no_log_holds_the_key_at_the_most_talkative_level(
    kind: str, script: str, caplog: pytest.LogCaptureFixture
) -> None:
    """H-SEC-04: the HTTP libraries write down what they do."""
    caplog.set_level(logging.DEBUG)

    async def check(one: Asking) -> None:
        with contextlib.suppress(AaosError):
            await one.turn()

    run(script, kind, check)
    told = "".join(f"{record.getMessage()}{record.args!r}{record.exc_text}" for record in caplog.records)
    assert "httpcore" in {record.name.partition(".")[0] for record in caplog.records}
    assert SECRET not in told
