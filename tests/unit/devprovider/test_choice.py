"""Which step answers: in order by turn, or by what the request is; faults as often as the script says."""

import pytest

from aaos.devprovider.asked import Asked
from aaos.devprovider.choice import MAX_CONVERSATIONS, Chooser, fits
from aaos.devprovider.script import When
from tests.unit.devprovider.asking import USER, chat, script, turns


def _said(chooser: Chooser, asked: Asked) -> str | int | None:
    step = chooser.choose(asked)
    return None if step is None else step.status or step.text


def test_steps_without_when_take_turns() -> None:
    chooser = Chooser(script("steps: [{text: a}, {text: b, times: 2}, {text: c}]"))
    assert [_said(chooser, turns(n)) for n in range(5)] == ["a", "b", "b", "c", None]


def test_the_same_request_gets_the_same_answer() -> None:
    chooser = Chooser(script("steps: [{text: a}, {text: b}]"))
    assert [_said(chooser, turns(n)) for n in (0, 0, 1, 1, 0, 1)] == ["a", "a", "b", "b", "a", "b"]


def test_a_fault_is_met_once_and_again_when_the_conversation_begins_again() -> None:
    chooser = Chooser(script("steps: [{text: a}, {status: 429, times: 2}, {text: b}]"))
    for _ in range(2):
        assert [_said(chooser, turns(n)) for n in (0, 1, 1, 1)] == ["a", 429, 429, "b"]


def test_conversations_are_told_apart_by_model_system_and_goal() -> None:
    chooser = Chooser(script("steps: [{status: 500}, {text: a}]"))
    kinds = [
        chat(),
        chat(model="n"),
        chat({"role": "system", "content": "s"}, USER),
        chat({"role": "user", "content": "x"}),
    ]
    assert [_said(chooser, asked) for asked in kinds] == [500] * 4
    assert [_said(chooser, asked) for asked in kinds] == ["a"] * 4


def test_conversations_that_begin_alike_and_run_at_once_each_take_the_steps_in_order() -> None:
    chooser = Chooser(script("steps: [{text: a}, {text: b}, {text: c}]"))
    assert [_said(chooser, turns(n)) for n in (0, 0, 1, 0, 2, 1, 2)] == ["a", "a", "b", "a", "c", "b", "c"]


def test_a_rule_above_comes_first_and_does_not_use_up_a_step() -> None:
    chooser = Chooser(script("steps: [{when: {turn: 2}, text: rule}, {text: a}, {text: b}, {when: {}, text: rest}]"))
    assert [_said(chooser, turns(n)) for n in range(5)] == ["a", "rule", "b", "rest", "rest"]


def test_a_rule_with_times_ends_and_begins_again_with_the_conversation() -> None:
    chooser = Chooser(script("steps: [{when: {turn: 2}, status: 503, times: 1}, {text: a}, {text: b}]"))
    for _ in range(2):
        assert [_said(chooser, turns(n)) for n in (0, 1, 1)] == ["a", 503, "b"]


def test_a_rule_with_times_ends_in_the_first_turn_too() -> None:
    chooser = Chooser(script("steps: [{when: {turn: 1}, status: 503, times: 2}, {text: a}]"))
    for _ in range(3):
        assert [_said(chooser, turns(0)) for _ in range(3)] == [503, 503, "a"]


@pytest.mark.parametrize(
    ("when", "is_fit"),
    [
        (When(), True),
        (When(last="ult 1"), True),
        (When(last="goal"), False),
        (When(user="goal", goal="the"), True),
        (When(result="result 1"), True),
        (When(result="result 0"), False),
        (When(system="x"), False),
        (When(model="m"), True),
        (When(model="mm"), False),
        (When(has_results=True, turn=3), True),
        (When(has_results=False), False),
        (When(turn=2), False),
    ],
)
def test_when_is_all_of_what_it_says(when: When, is_fit: bool) -> None:
    assert fits(when, turns(2)) is is_fit


def test_what_is_remembered_is_bounded() -> None:
    chooser = Chooser(script("steps: [{text: a}]"))
    for n in range(MAX_CONVERSATIONS + 10):
        chooser.choose(chat({"role": "user", "content": str(n)}))
    assert len(chooser._conversations) == MAX_CONVERSATIONS
