"""Keys are taken out of what providers say, in every form they give them."""

import base64
import json
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.llm.redact import SHOWN, RedactedStream, Redactor

SECRET = 'sk-A1/b2+c3"d4\\e5=f6~g7'
FORMS = {
    "raw": SECRET,
    "json": json.dumps(SECRET)[1:-1],
    "slashes": SECRET.replace("/", "\\/"),
    "percent": quote(SECRET, safe=""),
    "hex": SECRET.encode().hex(),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "basic": base64.b64encode(b"user:" + SECRET.encode()).decode(),
    "bearer": base64.b64encode(b"Bearer " + SECRET.encode() + b"\n").decode(),
    "urlsafe": base64.urlsafe_b64encode(b"xy" + SECRET.encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_error_text_loses_the_key_in_every_form(form: str) -> None:
    """H-SEC-03"""
    text = Redactor([SECRET]).error(f"Incorrect API key provided: {FORMS[form]}. See the documents.")
    assert SHOWN in text
    assert text.startswith("Incorrect API key provided: ")
    assert text.endswith(". See the documents.")
    for length in (8, 12):
        assert not any(FORMS[form][at : at + length] in text for at in range(4, len(FORMS[form]) - length - 4))


@given(st.text(max_size=200), st.integers(0, 15), st.integers(8, 23))
def test_no_part_of_eight_characters_stays(text: str, start: int, length: int) -> None:
    """H-SEC-03"""
    part = SECRET[start : start + length]
    shown = Redactor([SECRET]).error(f"{text}{part}{text}")
    assert len(part) < 8 or part not in shown


def test_a_text_without_a_key_is_left_alone() -> None:
    assert Redactor([SECRET]).error("rate limit reached for requests") == "rate limit reached for requests"
    assert Redactor().error("anything") == "anything"
    assert Redactor([SECRET]).answer("x" * 100) == "x" * 100


@pytest.mark.parametrize("form", ["raw", "json", "percent", "hex", "slashes"])
def test_an_answer_loses_whole_keys(form: str) -> None:
    assert Redactor([SECRET]).answer(f"it is {FORMS[form]}!") == f"it is {SHOWN}!"


@given(st.lists(st.integers(1, 60), max_size=8))
def test_a_key_in_pieces_is_not_heard_however_it_is_cut(cuts: list[int]) -> None:
    """H-SEC-03: the stream to the operator."""
    whole = f"the key is {SECRET} and {SECRET[:9]} is a part"
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    stream = RedactedStream([SECRET])
    heard = [stream.feed(whole[start:end]) for start, end in pairwise(places)]
    assert "".join([*heard, stream.end()]) == whole.replace(SECRET, SHOWN)


def test_a_stream_without_keys_holds_nothing_back() -> None:
    assert RedactedStream(()).feed("sk-") == "sk-"
