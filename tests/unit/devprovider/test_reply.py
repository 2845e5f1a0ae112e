"""A step becomes a response: status, headers, body, and where it goes wrong."""

import json

import pytest

from aaos.devprovider.asked import Asked, Wire, read_chat
from aaos.devprovider.reply import listing, refusal
from aaos.devprovider.script import Hang
from tests.unit.devprovider.asking import USER, body, chat, message, said

STREAM = {"stream": True}


def test_an_answer_is_ok_and_of_known_length() -> None:
    answer = said("text: a")
    head = answer.head().decode()
    assert head.startswith("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
    assert f"content-length: {len(body(answer))}\r\n" in head
    assert head.endswith("\r\n\r\n")
    assert answer.is_plain


def test_a_stream_is_chunked() -> None:
    answer = said("text: a", chat(**STREAM))
    assert b"content-type: text/event-stream" in answer.head()
    assert b"transfer-encoding: chunked" in answer.head()
    assert answer.framed(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"
    assert answer.end() == b"0\r\n\r\n"


@pytest.mark.parametrize("status", [429, 500, 503, 529])
@pytest.mark.parametrize("asked", [chat(), chat(**STREAM), message(), message(**STREAM)])
def test_a_status_is_an_error_of_the_format(status: int, asked: Asked) -> None:
    answer = said(f"status: {status}, retry_after: 5", asked)
    assert (answer.status, answer.is_stream, answer.headers["retry-after"]) == (status, False, "5")
    assert json.loads(body(answer))["error"]["message"]
    assert answer.head().startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize("value", ["-1", "garbage", "'Fri, 31 Dec 1999 23:59:59 GMT'", "1000000000", "1.5"])
def test_retry_after_is_whatever_the_script_says(value: str) -> None:
    assert said(f"status: 429, retry_after: {value}").headers["retry-after"] == value.strip("'")


def test_a_redirect_says_where_to() -> None:
    answer = said("redirect: 'http://evil/'")
    assert (answer.status, answer.headers["location"], body(answer)) == (307, "http://evil/", b"")


def test_html_comes_with_a_good_status() -> None:
    answer = said("html: true", chat(**STREAM))
    assert (answer.status, answer.content_type.split(";")[0]) == (200, "text/html")
    assert body(answer).startswith(b"<!doctype html>")


def test_wrong_json_breaks_off() -> None:
    for asked in (chat(), message()):
        with pytest.raises(json.JSONDecodeError):
            json.loads(body(said("wrong_json: true, text: hello", asked)))


def test_a_stream_of_wrong_json_has_good_events_and_then_a_broken_one() -> None:
    for asked in (chat(**STREAM), message(**STREAM)):
        *good, broken = said("wrong_json: true, text: hello", asked).pieces
        assert [json.loads(_data(piece)) for piece in good]
        with pytest.raises(json.JSONDecodeError):
            json.loads(_data(broken))


def test_an_error_with_a_good_status() -> None:
    for asked in (chat(), chat(**STREAM), message()):
        answer = said("error_body_200: true", asked)
        assert (answer.status, answer.is_stream) == (200, False)
        assert json.loads(body(answer))["error"]["message"] == "the model is overloaded"


def test_an_error_in_the_middle_of_a_stream() -> None:
    for asked in (chat(**STREAM), message(**STREAM)):
        answer = said("error_event: true, text: hello, message: sorry", asked)
        assert len(answer.pieces) > 2
        assert json.loads(_data(answer.pieces[-1]))["error"]["message"] == "sorry"
    assert json.loads(body(said("error_event: true, message: sorry")))["error"]["message"] == "sorry"


def test_a_key_is_echoed_to_who_sent_it() -> None:
    asked = read_chat({"model": "m", "messages": [USER]}, {"authorization": "Bearer sk-canary"})
    answer = said("echo_key: true", asked)
    assert answer.status == 401
    assert "sk-canary" in json.loads(body(answer))["error"]["message"]


def test_a_wrong_content_type_has_a_right_body() -> None:
    assert said("wrong_content_type: true, text: a").content_type == "text/plain"
    assert said("wrong_content_type: image/png, text: a", chat(**STREAM)).content_type == "image/png"
    assert json.loads(body(said("wrong_content_type: true, text: a")))["choices"]


def test_how_it_goes_wrong_is_handed_on() -> None:
    answer = said("text: a, hang: mid-stream, trickle: 5, cut: 3, delay_s: 1.5")
    assert (answer.hang, answer.trickle, answer.cut, answer.delay_s) == (Hang.MID_STREAM, 5.0, 3, 1.5)
    assert not answer.is_plain


def test_a_script_cannot_begin_another_header() -> None:
    head = said('redirect: "x\\r\\nset-cookie: a", text: a').head()
    assert b"\r\nset-cookie" not in head


def test_refusals_are_errors_of_the_format_that_was_spoken() -> None:
    assert json.loads(body(refusal(400, "no", wire=Wire.MESSAGES)))["type"] == "error"
    assert json.loads(body(refusal(404, "no", wire=None)))["error"]["message"] == "no"
    assert json.loads(body(listing(("a", "b"))))["data"][1]["id"] == "b"


def _data(piece: bytes) -> str:
    return next(line for line in piece.decode().split("\n") if line.startswith("data: "))[6:]
