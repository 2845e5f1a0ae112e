"""What pydantic says becomes one line that names the place, the value and the nearest key."""

import pytest
from pydantic import BaseModel, ConfigDict

from aaos.core.errors import InputError, SettingsError
from aaos.core.schema import read_model, refuse_flood


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    timeout: int = 1
    wall: int = 1


class _Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    part: _Part = _Part()
    maybe: _Part | None = None
    parts: tuple[_Part, ...] = ()
    named: dict[str, _Part] = {}


def test_a_document_becomes_a_model() -> None:
    assert read_model(_Whole, {"name": "x", "parts": [{"wall": 2}]}, source="f") == _Whole(
        name="x", parts=(_Part(wall=2),)
    )


@pytest.mark.parametrize(
    ("document", "message", "remedy"),
    [
        ({}, "name: is missing", "correct name"),
        ({"name": 5}, "name: Input should be a valid string, not 5", "correct name"),
        ({"name": "x", "prat": 1}, "prat: unknown key", "did you mean 'part'?"),
        ({"name": "x", "part": {"time_out": 1}}, "part.time_out: unknown key", "did you mean 'timeout'?"),
        ({"name": "x", "maybe": {"wal": 1}}, "maybe.wal: unknown key", "did you mean 'wall'?"),
        ({"name": "x", "parts": [{}, {"wal": 1}]}, "parts.1.wal: unknown key", "did you mean 'wall'?"),
        ({"name": "x", "named": {"a": {"wal": 1}}}, "named.a.wal: unknown key", "did you mean 'wall'?"),
        (
            {"name": "x", "part": {"wall": True}},
            "part.wall: Input should be a valid integer, not True",
            "correct part.wall",
        ),
        ({"name": "x", "part": {"wall": "\x1b" * 500}}, "\\x1b...", "correct part.wall"),
        ({"name": "x", "\x1b]0;": 1}, "\\x1b]0;: unknown key", "known: maybe, name"),
        ([], "the document: Input should be an object, not a list of 0", "correct the document"),
        (None, "the document: ", "correct the document"),
        ({"name": {5}}, "which no key takes", "put quotes around it"),
        ({"name": "\ud800"}, "f: ", "correct"),
        ({f"k{i}": 1 for i in range(100)}, "and 96 more", ""),
    ],
    ids=range(15),
)
def test_each_problem_is_named(document: object, message: str, remedy: str) -> None:
    """H-FUZZ-05"""
    with pytest.raises(SettingsError) as caught:
        read_model(_Whole, document, source="f")
    assert caught.value.message.startswith("f: ")
    assert message in caught.value.message
    assert caught.value.remedy.startswith(remedy)
    assert len(caught.value.message) < 1000
    assert caught.value.message.isprintable()


def test_a_deep_document_is_refused() -> None:
    document: list[object] = []
    for _ in range(100_000):
        document = [document]
    with pytest.raises(SettingsError):
        read_model(_Whole, document, source="f")


def test_a_flood_of_keys_is_refused_with_those_that_are_known() -> None:
    """H-BRK-04: each unknown key of a million would become a problem of its own."""
    refuse_flood({f"k{n}": 1 for n in range(64)}, _Part)
    with pytest.raises(InputError, match="65 keys are too many") as caught:
        refuse_flood({f"k{n}": 1 for n in range(65)}, _Part)
    assert caught.value.remedy == "known: timeout, wall"
