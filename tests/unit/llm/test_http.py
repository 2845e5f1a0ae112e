"""One exchange: what is sent, deadlines, and every way in which an answer can be none."""

import asyncio
import gzip
import ssl
from pathlib import Path

import httpx
import pytest

from aaos.core.errors import AaosError, LimitError, ProviderError
from aaos.llm.faults import Asked, TransientError
from aaos.llm.http import MAX_ANSWER_BYTES, Deadlines, Exchange, Question, transport, trusted
from aaos.llm.openai import ChatCompletions
from aaos.llm.types import ModelAnswer
from tests.unit.llm.servers import DONE, Pieces, answered, call, chunk, event, in_no_time, streamed, wire_model

ASKED = Asked("cloud", "https://models.example/v1", "m", key="cloud")
QUESTION = Question(
    httpx.URL("https://models.example/v1/chat/completions"), [(b"authorization", b"Bearer sk-x")], b"{}"
)
TRICKLE = [bytes([byte]) for byte in b"data: {"]
SHORT = Deadlines(connect_s=0.05, first_s=0.05, idle_s=0.05, total_s=1.0)


def exchange(
    response: httpx.Response | Exception, deadlines: Deadlines = SHORT, heard: list[str] | None = None
) -> ModelAnswer:
    async def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(response, Exception):
            raise response
        return response

    async def run() -> ModelAnswer:
        reader = ChatCompletions(wire_model()).reader()
        one = Exchange(ASKED, deadlines, redact=lambda text: text.replace("sk-x", "[key]"))
        on_text = None if heard is None else heard.append
        return await one.run(httpx.MockTransport(handle), QUESTION, reader=reader, on_text=on_text)

    return in_no_time(run())


def refusal(response: httpx.Response | Exception, deadlines: Deadlines = SHORT) -> AaosError:
    with pytest.raises(AaosError) as caught:
        exchange(response, deadlines)
    assert caught.value.remedy
    return caught.value


def test_an_answer_comes_in_pieces_and_is_heard_as_it_comes() -> None:
    """LLM-1"""
    heard: list[str] = []
    comment = b": OPENROUTER PROCESSING\n\n"
    answer = exchange(streamed(comment, chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop"), DONE),
                      heard=heard)  # fmt: skip
    assert (answer.text, heard) == ("Hello", ["Hel", "lo"])


def test_an_answer_that_was_not_streamed_is_an_answer() -> None:
    message = {"role": "assistant", "content": "Hello"}
    assert exchange(answered({"choices": [{"message": message, "finish_reason": "stop"}]})).text == "Hello"


def test_the_end_of_a_stream_without_a_mark_is_an_end_when_the_model_has_ended() -> None:
    assert exchange(streamed(chunk({"content": "x"}), chunk({}, "stop"))).text == "x"


@pytest.mark.parametrize("last", [None, httpx.ReadError("reset"), httpx.RemoteProtocolError("incomplete chunked read")])
def test_a_stream_that_is_cut_yields_an_error_and_no_call(last: Exception | None) -> None:
    """BRK-3, H-LLM-02"""
    pieces: list[bytes | Exception] = [chunk(call(0, '{"path": "/a"}', "file_read", "x")), *([last] if last else [])]
    error = refusal(streamed(*pieces))
    assert "cut off" in error.message
    assert type(error) is ProviderError


def test_a_stream_that_breaks_before_the_model_has_begun_may_be_tried_again() -> None:
    assert isinstance(refusal(streamed(httpx.ReadError("reset"))), TransientError)
    assert isinstance(refusal(httpx.RemoteProtocolError("Server disconnected")), TransientError)
    assert isinstance(refusal(httpx.ConnectError("refused")), TransientError)
    assert isinstance(refusal(httpx.ConnectTimeout("")), TransientError)


@pytest.mark.parametrize("end", [b"", 99.0, httpx.ReadError("reset"), httpx.RemoteProtocolError("incomplete")])
def test_an_answer_that_has_ended_needs_no_mark_of_the_end(end: bytes | float | Exception) -> None:
    """Some servers send none, some hold the connection open."""
    answer = exchange(streamed(chunk(call(0, '{"path": "/a"}', "file_read", "x")), chunk({}, "tool_calls"), end))
    assert answer.calls[0].args == {"path": "/a"}


def test_what_breaks_after_the_end_does_not_matter() -> None:
    assert exchange(streamed(chunk({"content": "x"}, "stop"), DONE, httpx.ReadError("reset"))).text == "x"
    assert exchange(streamed(chunk({"content": "x"}, "stop"), DONE, b"x" * 100_000)).text == "x"
    assert exchange(streamed(chunk({"content": "x"}, "stop"), DONE, 9.0)).text == "x"


@pytest.mark.parametrize(
    ("pieces", "phase"),
    [
        ([9.0], "begin"),
        ([event({"choices": []}), 9.0], "begin"),
        ([b": keep-alive\n\n", 0.02] * 9, "begin"),
        ([chunk({"content": "x"}), 9.0], "go on"),
        ([chunk({"content": "x"}), *[b": keep-alive\n\n", 0.02] * 9], "go on"),
        (
            [chunk({"content": "x"}), *TRICKLE, 0.02, b"x", 0.02, b"x", 0.02, b"x"],
            "go on",
        ),
    ],
)
def test_a_silence_is_ended_by_its_own_deadline(pieces: list[bytes | float], phase: str) -> None:
    """H-LLM-02: first-byte hang, stall in the middle, trickle; comments are no sign of life."""
    response = streamed(*pieces)
    error = refusal(response)
    assert f"did not {phase}" in error.message
    assert isinstance(response.stream, Pieces)
    assert response.stream.is_closed


def test_a_slow_answer_is_no_silence() -> None:
    pieces: list[bytes | float] = [one for _ in range(8) for one in (chunk({"content": "x"}), 0.02)]
    assert exchange(streamed(*pieces, chunk({}, "stop"), DONE)).text == "x" * 8


def test_a_server_that_says_nothing_at_all_is_given_up() -> None:
    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(9)
        raise AssertionError("unreachable")

    async def run() -> None:
        reader = ChatCompletions(wire_model()).reader()
        await Exchange(ASKED, SHORT, redact=str).run(httpx.MockTransport(hang), QUESTION, reader=reader, on_text=None)

    with pytest.raises(ProviderError, match=r"did not begin to answer in 0.05 s"):
        in_no_time(run())


def test_cancelling_closes_the_stream() -> None:
    """H-LLM-02"""
    response = streamed(chunk({"content": "x"}), 9.0)

    async def handle(request: httpx.Request) -> httpx.Response:
        return response

    async def run() -> None:
        reader = ChatCompletions(wire_model()).reader()
        long = Deadlines()
        one = Exchange(ASKED, long, redact=str)
        task = asyncio.ensure_future(one.run(httpx.MockTransport(handle), QUESTION, reader=reader, on_text=None))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_no_time(run())
    assert isinstance(response.stream, Pieces)
    assert response.stream.is_closed


def html(status: int = 200, text: str = "<html>sk-x Bad Gateway</html>") -> httpx.Response:
    return httpx.Response(status, headers={"content-type": "text/html"}, stream=Pieces([text.encode()]))


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (html(), "'text/html'"),
        (streamed(chunk({}, "stop"), kind="application/octet-stream"), "octet-stream"),
        (httpx.Response(200, stream=Pieces([b"x"])), "no content type"),
        (streamed(b"data: {\n\n"), "not JSON"),
        (streamed(b"data: <html>\n\n"), "not JSON"),
        (streamed(b"data: \xff\n\n"), "not UTF-8"),
        (answered({"error": {"message": "no such thing"}}), "no such thing"),
        (answered([]), "wrong document"),
        (answered({}), "cut off"),
        (httpx.Response(200, headers={"content-type": "application/json"}, stream=Pieces([b"{}{}"])), "not JSON"),
        (httpx.Response(200, headers={"content-type": "text/event-stream", "content-encoding": "gzip"},
                        stream=Pieces([gzip.compress(DONE)])), "compressed"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_answer_is_an_error(response: httpx.Response, words: str) -> None:
    """H-LLM-11: HTML, wrong content type, 200 with an error body, wrong JSON."""
    error = refusal(response)
    assert words in error.message
    assert "sk-x" not in error.message
    assert len(error.message) < 600


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    """H-LLM-11"""
    error = refusal(httpx.Response(status, headers={"location": "https://evil.example/?k=sk-x"}, stream=Pieces([])))
    assert "https://evil.example/?k=[key]" in error.message
    assert "url" in error.remedy


def test_the_text_of_a_refusal_holds_no_key_and_is_bounded() -> None:
    """H-SEC-03"""
    error = refusal(answered({"error": {"message": "Incorrect API key: sk-x" + "y" * 100_000}}, status=401))
    assert "Incorrect API key: [key]" in error.message
    assert len(error.message) < 600
    assert "[key] Bad Gateway" in refusal(html(502)).message


def test_a_flood_is_ended_at_its_bound() -> None:
    """H-NET-10"""
    flood = [chunk({"reasoning_content": "x" * 65_536})] * (MAX_ANSWER_BYTES // 65_536 + 1)
    assert isinstance(refusal(streamed(*flood)), LimitError)
    many = Pieces([b'{"a":"', *[b"x" * 65_536] * 300, b'"}'])
    assert isinstance(
        refusal(httpx.Response(200, headers={"content-type": "application/json"}, stream=many)), LimitError
    )
    endless = Pieces([b"x" * 65_536] * 100_000)
    assert len(refusal(httpx.Response(500, stream=endless)).message) < 600


def test_ten_megabytes_of_arguments_are_an_error_for_the_model() -> None:
    """H-LLM-04"""
    answer = exchange(streamed(chunk(call(0, "x" * 10_000_000, "file_write", "x")), chunk({}, "tool_calls"), DONE))
    assert "10000000 characters" in answer.calls[0].error


def test_a_question_does_not_show_its_headers() -> None:
    """H-SEC-04"""
    assert "sk-x" not in repr(QUESTION)
    assert repr(QUESTION) == "<question to models.example, 2 bytes>"


def test_the_models_that_a_server_lists_are_found_and_nothing_else_is_raised() -> None:
    async def run(response: httpx.Response | Exception) -> tuple[str, ...]:
        async def handle(request: httpx.Request) -> httpx.Response:
            if isinstance(response, Exception):
                raise response
            return response

        return await Exchange(ASKED, SHORT, redact=str).models(httpx.MockTransport(handle), QUESTION)

    assert asyncio.run(run(answered({"data": [{"id": "a"}, {"id": 1}, 2, {"id": "b" * 999}]}))) == ("a", "b" * 200)
    for response in (answered([]), answered({"data": 1}), html(), html(302), httpx.ConnectError("x"), html(404)):
        assert asyncio.run(run(response)) == ()


def test_certificates_are_checked_and_the_environment_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """H-NET-09, H-NET-13"""
    log = tmp_path / "keys.log"
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://evil.example:1")
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    pool = transport(trusted(), max_connections=3)._pool
    context = pool._ssl_context
    assert type(pool).__name__ == "AsyncConnectionPool"  # not one that speaks to a proxy
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.keylog_filename is None
    assert context.cert_store_stats()["x509_ca"] > 50
    assert pool._max_connections == 3
    assert not log.exists()
