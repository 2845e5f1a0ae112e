"""Checks from annotations: each accepts what it says and answers for everything else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from worker.fields import MAX_INT, checkers


@dataclass(frozen=True, slots=True)
class Sample:
    """One field of each kind."""

    number: int
    text: str
    truth: bool
    words: tuple[str, ...]
    numbers: Mapping[str, int]
    anything: Mapping[str, Any]
    maybe: int | None


@dataclass(frozen=True, slots=True)
class Strange:
    """An annotation that nobody can check."""

    field: complex


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("number", [0, MAX_INT], [-1, MAX_INT + 1, True, 1.0, "1", None]),
        ("text", ["", "a"], [b"", 1, None]),
        ("truth", [True, False], [0, 1, "true", None]),
        ("words", [[], ["a"], ("a",)], ["a", [1], {"a": 1}, None]),
        ("numbers", [{}, {"a": 1}], [[], {"a": "1"}, {"a": -1}]),
        ("anything", [{}, {"a": object()}], [[], None]),
        ("maybe", [None, 3], ["3", -1]),
    ],
)
def test_a_field_takes_what_its_annotation_says(name: str, good: list[object], bad: list[object]) -> None:
    """BRK-1"""
    check = checkers(Sample)[name]
    assert [check(value) for value in good] == [True] * len(good)
    assert [check(value) for value in bad] == [False] * len(bad)


def test_an_annotation_without_a_check_is_an_error() -> None:
    with pytest.raises(TypeError, match="no checker"):
        checkers(Strange)
