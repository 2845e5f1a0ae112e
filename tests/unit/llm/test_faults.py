"""Refusals of providers as errors: what happened, what to do, and whether another attempt is worth it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import AaosError, LimitError, ProviderError
from aaos.llm.faults import (
    Asked,
    NoModelError,
    TransientError,
    http_fault,
    redirect_fault,
    stream_fault,
    told,
    with_known,
)

Json = Any  # a JSON value
ASKED = Asked("cloud", "https://models.example/v1", "big-7b", key="cloud")


def fault(status: int, document: Json) -> AaosError:
    return http_fault(status, document, ASKED, after_s=7.0)


def openai(message: str, **fields: Json) -> Json:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "document", "kind", "remedy"),
    [
        (401, openai("Incorrect API key provided"), ProviderError, "sudo agentd configure --provider cloud"),
        (403, openai("Country not supported"), ProviderError, "sudo agentd configure --provider cloud"),
        (402, openai("Insufficient Balance"), ProviderError, "account of key cloud"),
        (429, openai("You exceeded your quota", code="insufficient_quota"), ProviderError, "account of key cloud"),
        (400, openai("Your credit balance is too low"), ProviderError, "account"),
        (404, openai("The model `big-7b` does not exist"), NoModelError, "models.yaml"),
        (404, "404 page not found", NoModelError, "models.yaml"),
        (400, {"error": "model 'big-7b' not found, try pulling it first"}, NoModelError, "models.yaml"),
        (400, openai("This model's maximum context length is 8192 tokens"), LimitError, "context_tokens"),
        (400, openai("x", code="context_length_exceeded"), LimitError, "context_tokens"),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}},
         LimitError, "context_tokens"),
        (400, openai("too large", type="exceed_context_size_error"), LimitError, "context_tokens"),
        (413, "Request Entity Too Large", LimitError, "context_tokens"),
        (400, openai("Invalid parameter: tools"), ProviderError, "models.yaml"),
        (422, {"detail": "no"}, ProviderError, "models.yaml"),
        (451, "", ProviderError, "models.yaml"),
        (204, "", ProviderError, "models.yaml"),
    ],
)  # fmt: skip
def test_a_refusal_is_its_error_with_its_remedy(
    status: int, document: Json, kind: type[AaosError], remedy: str
) -> None:
    """LLM-1"""
    error = fault(status, document)
    assert type(error) is kind
    assert remedy in error.remedy
    assert error.remedy
    assert "cloud" in error.message


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_worth_another_attempt(status: int) -> None:
    """H-LLM-01"""
    error = fault(status, openai("busy"))
    assert isinstance(error, TransientError)
    assert error.after_s == 7.0


def test_a_provider_without_a_key_is_told_to_be_given_one() -> None:
    error = http_fault(401, "", Asked("local", "http://127.0.0.1:1/v1", "m"), after_s=None)
    assert error.remedy == "name a key for provider local in models.yaml: key: local"


def test_a_redirect_names_where_it_points_and_that_no_key_went_there() -> None:
    """H-LLM-11"""
    error = redirect_fault(302, "https://evil.example/\x1b[2J" + "x" * 9999, ASKED)
    assert "https://evil.example/" in error.message
    assert "the key was not sent there" in error.message
    assert "\x1b" not in error.message
    assert len(error.message) < 400


@pytest.mark.parametrize("text", ["<html>" * 10_000, "\x1b]52;c;x\x07\r\n\u202e" * 5000, "a\nb"])
def test_what_a_provider_says_is_bounded_and_harmless(text: str) -> None:
    """H-SEC-09"""
    for error in (fault(400, openai(text)), fault(500, text), stream_fault({"message": text}, "cloud", has_begun=True)):
        assert len(error.message) < 600
        assert error.message.isprintable()


def test_the_model_that_was_meant_is_named() -> None:
    error = with_known(NoModelError("no", "look"), ASKED, ["large-70b", "big-7c", "tiny"])
    assert error.remedy == "did you mean 'big-7c'?"
    assert len(with_known(NoModelError("no", "look"), ASKED, [f"{at}" * 99 for at in range(999)]).remedy) < 9999
    assert with_known(NoModelError("no", "look"), ASKED, []).remedy == "look"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "status"]), inner)
        ),
        max_leaves=10,
    ),
    st.sampled_from([400, 401, 404, 429, 500]),
)
def test_every_refusal_is_told_somehow(document: Json, status: int) -> None:
    """H-FUZZ-10"""
    for error in (fault(status, document), stream_fault(document, "cloud", has_begun=False)):
        assert error.message
        assert error.remedy
    told(document)
