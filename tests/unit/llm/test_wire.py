"""What all wire formats share: strict JSON of providers, and whose answer it is."""

import json

import pytest

from aaos.core.errors import ProviderError
from aaos.llm.quirks import QUIRKS, Kind
from aaos.llm.wire import WireModel, dumped, malformed, parsed
from tests.unit.llm.servers import wire_model


@pytest.mark.parametrize(
    ("model", "is_same"),
    [("m", True), ("M", True), ("m-2026-01-01", True), ("m:latest", True), ("", True), (None, True), (7, True),
     ("mm", False), ("other", False), ("gpt-m", False), ("x" * 9999, False)],
)  # fmt: skip
def test_another_model_than_the_asked_is_an_error(model: object, is_same: bool) -> None:
    """H-LLM-11"""
    if is_same:
        wire_model().check_echo(model)
        return
    with pytest.raises(ProviderError, match="answered as") as caught:
        wire_model().check_echo(model)
    assert "answers_as" in caught.value.remedy
    assert len(caught.value.message) < 300
    wire_model(answers_as=(str(model),)).check_echo(model)
    wire_model(Kind.LLAMACPP).check_echo(model)


def test_a_name_without_its_publisher_is_the_same_model() -> None:
    WireModel("router", "openai/gpt-x", QUIRKS[Kind.OPENROUTER]).check_echo("gpt-x-2026")


NOT_STRICT = ["", "{", "[1,]", '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100_000, "1e999", "9" * 5000, "\ufeff{}"]


@pytest.mark.parametrize("text", NOT_STRICT, ids=range(len(NOT_STRICT)))
def test_what_is_not_strict_json_is_an_error(text: str) -> None:
    with pytest.raises(ProviderError, match="not JSON"):
        parsed(text)


def test_bytes_that_are_no_text_are_an_error() -> None:
    with pytest.raises(ProviderError, match="not JSON"):
        parsed(b"\xff")


def test_everything_that_is_text_can_be_sent() -> None:
    assert json.loads(dumped({"a": "é😀\ud800\0"})) == {"a": "é😀?\0"}


def test_a_wrong_value_is_told_short_and_harmless() -> None:
    error = malformed("choice", "\x1b[2J" * 9999)
    assert len(error.message) < 200
    assert error.message.isprintable()
