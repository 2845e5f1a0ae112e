"""Structured tasks and their parameters."""

from collections.abc import Callable
from enum import StrEnum

import pytest

from aaos.core.errors import ProviderError
from aaos.llm.rules_talk import Trouble
from aaos.llm.rules_tasks import Task, TaskName, bare, is_tree, read_task, told
from tests.unit.llm.harness import request


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def test_parameters_have_their_types() -> None:
    task = read_task(request({"task": "count", "paths": ("/a", "/d/**"), "n": 3, "noun": "x", "colour": "red"}))
    assert task.name is TaskName.COUNT
    assert task.paths() == ("/a", "/d/**")
    assert (task.number("n"), task.number("none"), task.text("noun"), task.text("none", "d")) == (3, 0, "x", "d")
    assert task.choice("colour", Colour, Colour.BLUE) is Colour.RED
    assert task.choice("none", Colour, Colour.BLUE) is Colour.BLUE


@pytest.mark.parametrize(
    "read",
    [
        lambda task: task.number("n"),
        lambda task: task.text("noun"),
        lambda task: task.paths(),
        lambda task: task.choice("colour", Colour, Colour.BLUE),
    ],
)
def test_a_wrong_parameter_is_named(read: Callable[[Task], object]) -> None:
    task = read_task(request({"task": "count", "n": "three", "noun": 3, "colour": "rd"}))
    with pytest.raises(ProviderError) as caught:
        read(task)
    assert caught.value.remedy


def test_a_free_task_is_refused_with_the_tier_that_could() -> None:
    """LLM-2."""
    with pytest.raises(ProviderError, match="T1, T2 or T3") as caught:
        read_task(request({"goal": "write a poem"}))
    assert "summarise" in caught.value.remedy


def test_trees_and_troubles() -> None:
    assert is_tree("/d/**")
    assert not is_tree("/d")
    assert (bare("/d/**"), bare("/**"), bare("/d")) == ("/d", "/", "/d")
    error = told([Trouble(f"/{at}", f"no\n such {at}") for at in range(7)])
    assert "/0: no; such 0; /1: no; such 1" in error.message
    assert "(and 2 more)" in error.message
    assert "/0" in error.remedy
    refused = told([Trouble("/a", "may not be used\nchange its permissions\n")])
    assert refused.message == "could not read /a: may not be used; change its permissions"
