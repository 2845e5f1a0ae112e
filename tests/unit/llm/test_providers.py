"""Models behind HTTP: attempts and waits, keys that show up nowhere, choice by the settings alone."""

import asyncio
import traceback
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from aaos.core.config import ModelSettings
from aaos.core.errors import AaosError, LimitError, ProviderError, SettingsError
from aaos.core.role import Tier
from aaos.llm.backoff import MAX_ATTEMPTS
from aaos.llm.http import Deadlines
from aaos.llm.keys import Key, Keys
from aaos.llm.providers import chosen, providers_from
from aaos.llm.quirks import Kind
from aaos.llm.types import AssistantMessage, ModelTerms, Stop, ToolResultMessage, UserMessage
from tests.unit.llm.servers import (
    DONE,
    SECRET,
    Pieces,
    Scene,
    answered,
    asking,
    call,
    chunk,
    event,
    streamed,
)

HELLO = (chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop"), DONE)
TABLE = Path(__file__).parents[3] / "etc" / "aaos" / "models.yaml"


def refused(status: int = 503, message: str = "busy", **headers: str) -> httpx.Response:
    return answered({"error": {"message": message}}, status, **headers)


def test_a_turn_is_asked_with_the_key_and_answered() -> None:
    """LLM-1"""
    scene = Scene([streamed(*HELLO)])
    assert scene.ask().text == "Hello"
    (request,) = scene.requests
    assert str(request.url) == "https://models.example/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["accept-encoding"] == "identity"
    assert (scene.provider.name, scene.provider.tier) == ("big", Tier.T2)


def test_anthropic_is_asked_at_its_own_address_with_its_own_header() -> None:
    stop = event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}})
    scene = Scene([streamed(stop)], kind=Kind.ANTHROPIC)
    assert scene.ask().stop is Stop.ANSWER
    assert str(scene.requests[0].url) == "https://models.example/v1/messages"
    assert scene.requests[0].headers["x-api-key"] == SECRET
    assert "authorization" not in scene.requests[0].headers


def test_no_cookie_comes_back() -> None:
    scene = Scene([answered({"error": "busy"}, 503, **{"set-cookie": "a=b"}), streamed(*HELLO)])
    scene.ask()
    assert "cookie" not in scene.requests[1].headers


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
def test_what_may_pass_is_asked_again_and_the_wait_is_told(status: int) -> None:
    """H-LLM-01"""
    scene = Scene([refused(status), refused(status, **{"retry-after": "7"}), streamed(*HELLO)])
    assert scene.ask().text == "Hello"
    assert [(one.wait_s, one.attempt) for one in scene.waits] == [(0.25, 2), (7.0, 3)]
    assert f"answered {status}" in scene.waits[0].reason
    assert len({request.content for request in scene.requests}) == 1


def test_attempts_are_counted() -> None:
    """H-LLM-01"""
    scene = Scene([refused() for _ in range(MAX_ATTEMPTS)])
    with pytest.raises(ProviderError, match=f"{MAX_ATTEMPTS} attempts were made"):
        scene.ask()
    assert len(scene.requests) == MAX_ATTEMPTS


def test_a_kept_connection_that_was_given_up_is_replaced_at_once() -> None:
    scene = Scene([httpx.RemoteProtocolError("Server disconnected without sending a response."), streamed(*HELLO)])
    assert scene.ask().text == "Hello"
    assert scene.waits == []


def test_nobody_there_is_told_within_two_seconds() -> None:
    """H-API-14"""
    slept: list[float] = []
    scene = Scene(lambda _: httpx.ConnectError("refused"), slept=slept)
    with pytest.raises(ProviderError, match="cannot be reached: refused; 3 attempts were made"):
        scene.ask()
    assert 2 * sum(slept) < 2  # when chance has it, waits are twice as long


@pytest.mark.parametrize("asked", ["1000000000", "60"])
def test_no_wait_goes_beyond_the_deadline_of_all_attempts(asked: str) -> None:
    """H-LLM-01: Retry-After beyond what is left of the time."""
    scene = Scene([refused(429, **{"retry-after": asked})], deadlines=Deadlines(total_s=30))
    with pytest.raises(ProviderError, match="the time for another attempt is over"):
        scene.ask()
    assert scene.waits == []


@pytest.mark.parametrize("asked", ["-1", "soon", "NaN", "x" * 9999])
def test_a_retry_after_of_nonsense_is_left_out(asked: str) -> None:
    """H-LLM-01"""
    scene = Scene([refused(429, **{"retry-after": asked}), streamed(*HELLO)])
    assert scene.ask().text == "Hello"
    assert scene.waits[0].wait_s == 0.25


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_what_does_not_pass_is_not_asked_again(status: int) -> None:
    scene = Scene(lambda request: refused(status, "no") if request.content else refused(404))
    with pytest.raises(AaosError):
        scene.ask()
    assert len([request for request in scene.requests if request.method == "POST"]) == 1
    assert scene.waits == []


def test_nothing_is_asked_again_once_the_model_has_begun() -> None:
    """LLM-4: it costs twice."""
    scene = Scene([streamed(chunk({"content": "x"}), httpx.ReadError("reset"))])
    with pytest.raises(ProviderError, match="cut off"):
        scene.ask()
    assert len(scene.requests) == 1


def test_all_attempts_together_have_a_deadline() -> None:
    """H-LLM-02"""
    slow: list[bytes | float] = [one for _ in range(100) for one in (chunk({"content": "x"}), 0.02)]
    scene = Scene([streamed(*slow)], deadlines=Deadlines(total_s=0.1))
    with pytest.raises(ProviderError, match=r"was not done in 0.1 s"):
        scene.ask()


def test_a_model_that_does_not_exist_is_told_with_the_nearest_that_does() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            assert request.url.path == "/v1/models"
            return answered({"data": [{"id": "mm"}, {"id": "other"}]})
        return refused(404, "The model `m` does not exist")

    with pytest.raises(ProviderError) as caught:
        Scene(respond).ask()
    assert caught.value.remedy == "did you mean 'mm'?"


def test_a_key_that_is_not_there_is_an_error_of_the_turn_with_its_remedy() -> None:
    """LLM-6"""
    missing = ProviderError("/etc/aaos/keys/cloud: the key cannot be opened", "write it")
    scene = Scene([], keys=Keys(errors=[("cloud", missing)]))
    with pytest.raises(ProviderError, match="cannot be opened") as caught:
        scene.ask()
    assert caught.value.remedy == "write it"
    assert scene.requests == []


@pytest.mark.parametrize(
    "response",
    [
        lambda: refused(401, f"Incorrect API key provided: {SECRET}"),
        lambda: refused(401, f"Incorrect API key provided: {SECRET[:12]}***{SECRET[-9:]}"),
        lambda: refused(500, SECRET),
        lambda: httpx.Response(302, headers={"location": f"https://evil.example/{SECRET}"}, stream=Pieces([])),
        lambda: httpx.Response(200, headers={"content-type": f"x/{SECRET}"}, stream=Pieces([SECRET.encode()])),
        lambda: streamed(event({"error": {"message": SECRET}})),
        lambda: streamed(event({"error": {"message": f"a\n{SECRET}", "code": 429}})),
        lambda: streamed(event(f"{{{SECRET}")),
        lambda: streamed(event({"model": SECRET, "choices": [{}]})),
        lambda: streamed(chunk({}, SECRET)),
        lambda: httpx.ConnectError(SECRET),
        lambda: httpx.RemoteProtocolError(f"illegal header value {SECRET!r}"),
    ],
    ids=range(12),
)  # fmt: skip
def test_no_error_holds_the_key(response: object, capfd: pytest.CaptureFixture[str]) -> None:
    """H-SEC-03, H-SEC-04: not in message, remedy, cause, waits or on the terminal."""
    scene = Scene(lambda _: response())  # type: ignore[operator]  # a function of no arguments
    with pytest.raises(AaosError) as caught:
        scene.ask()
    error: BaseException | None = caught.value
    seen = [waiting.reason for waiting in scene.waits]
    while error is not None:
        seen += [str(error), repr(error), getattr(error, "remedy", "")]
        error = error.__cause__
    seen += traceback.format_exception(caught.value)
    text = "".join(seen) + "".join(capfd.readouterr())
    assert not [part for at in range(len(SECRET) - 8) if (part := SECRET[at : at + 8]) in text]


def test_an_answer_that_holds_the_key_loses_it_and_its_calls_are_not_made() -> None:
    """H-SEC-03: transcript and stream."""
    pieces = [chunk({"content": part}) for part in ("It is ", SECRET[:9], SECRET[9:], ".")]
    calls = [
        chunk(call(0, f'{{"path": "{SECRET}"}}', "x", "y")),
        chunk(call(1, "{}", "z", "w")),
        chunk(call(2, "{}", f"{SECRET}_read", "v")),
        chunk(call(3, "{}", f"read_{SECRET[:12]}", "u")),
        chunk({}, "tool_calls"),
    ]
    scene, heard = Scene([streamed(*pieces, *calls, DONE)]), list[str]()
    answer = scene.ask(on_text=heard.append)
    assert answer.text == "It is [key]."
    assert "".join(heard) == answer.text
    assert [bool(one.error) for one in answer.calls] == [True, False, True, True]
    assert [one.tool for one in answer.calls] == ["x", "z", "unnamed", "unnamed"]
    assert SECRET not in repr(answer)


def test_a_longer_conversation_sends_what_was_sent_and_more() -> None:
    """LLM-7"""
    scene = Scene(lambda _: streamed(*HELLO))
    messages: tuple[object, ...] = (UserMessage("go"),)
    for turn in range(4):
        scene.ask(asking(messages))  # type: ignore[arg-type]  # messages
        messages = (*messages, AssistantMessage("Hello"), ToolResultMessage(f"a-{turn}", "r"))
    starts = [request.content.partition(b"],")[0].rstrip(b"]}") for request in scene.requests]
    assert all(later.startswith(start) for start, later in pairwise(starts))


@pytest.mark.parametrize(("held", "most", "sent"), [(0, 0, None), (0, 9, 9), (7, 0, 7), (7, 9, 7), (9, 7, 7)])
def test_an_answer_is_bounded_by_the_model_and_by_what_the_account_holds(
    held: int, most: int, sent: int | None
) -> None:
    """LLM-4, H-LLM-15"""
    scene = Scene([streamed(*HELLO)], terms=ModelTerms(max_output_tokens=most))
    scene.ask(replace(asking(), max_output_tokens=held))
    assert scene.bodies[0].get("max_completion_tokens") == sent


def test_nothing_is_chosen_unless_the_settings_name_it(tmp_path: Path) -> None:
    assert chosen(ModelSettings(table=tmp_path / "none.yaml")) == ()
    entries = chosen(ModelSettings(table=TABLE, T1="local-small", T3="claude-opus"))
    assert [(entry.tier, entry.name) for entry in entries] == [(Tier.T1, "local-small"), (Tier.T3, "claude-opus")]
    with pytest.raises(SettingsError, match="T2: 'claude-sonet' is not in") as caught:
        chosen(ModelSettings(table=TABLE, T2="claude-sonet"))
    assert caught.value.remedy == "did you mean 'claude-sonnet'?"
    with pytest.raises(SettingsError, match="is of tier T2"):
        chosen(ModelSettings(table=TABLE, T1="claude-sonnet"))
    with pytest.raises(SettingsError, match="cannot be opened"):
        chosen(ModelSettings(table=tmp_path / "none.yaml", T1="x"))


def test_each_choice_becomes_a_provider_with_its_terms() -> None:
    entries = chosen(ModelSettings(table=TABLE, T1="local-small", T2="claude-sonnet"))
    small, sonnet = providers_from(entries, Keys([Key("anthropic", SECRET)]))
    assert small.terms == ModelTerms(context_tokens=32768, max_output_tokens=4096, max_parallel=2)
    assert (sonnet.terms.input_usd, sonnet.terms.cached_usd, sonnet.terms.output_usd) == (2.5, 0.2, 10.0)
    for one in (small, sonnet):
        asyncio.run(one.close())


def test_a_conversation_that_is_too_large_is_a_limit() -> None:
    """H-LLM-12"""
    with pytest.raises(LimitError):
        Scene([refused(400, "This model's maximum context length is 8192 tokens")]).ask()
