"""A step with its templates filled."""

import json

from hypothesis import given
from hypothesis import strategies as st

from aaos.devprovider.answer import Answer, compose, fill, pieces_of
from aaos.devprovider.asked import Asked
from tests.unit.devprovider.asking import chat, message, step, turns


def _answer(text: str, asked: Asked | None = None) -> Answer:
    return compose(step(text), asked or turns(1), number=1)


def test_what_was_asked_can_be_said_again() -> None:
    said = _answer("""text: '{goal}|{user}|{last_result}|{results}|{turn}|{model}|{system}|{tools}'""")
    assert said.text == "the goal|the goal|result 0|result 0|2|m||"


def test_arguments_are_filled_however_deep() -> None:
    (call,) = _answer("calls: [{tool: t, args: {a: ['{goal}', {b: '{turn}'}], n: 1}}]").calls
    assert json.loads(call.arguments) == {"a": ["the goal", {"b": "2"}], "n": 1}


def test_what_is_put_in_is_never_a_template() -> None:
    assert _answer("text: '{user}'", chat({"role": "user", "content": "{model} {{"})).text == "{model} {{"


def test_json_in_a_text_stays_as_it_is() -> None:
    assert _answer("""text: '{"a": {"b": "{turn}"}} {{turn}}'""").text == '{"a": {"b": "2"}} {turn}'


def test_a_repeated_call_counts() -> None:
    calls = _answer("calls: [{tool: t, repeat: 3, args: {n: '{n}'}}, {tool: u}]").calls
    assert [(c.tool, c.arguments) for c in calls[:3]] == [("t", f'{{"n": "{n}"}}') for n in (1, 2, 3)]
    assert len({c.id for c in calls}) == 4


def test_ids_are_unique_between_answers_unless_the_script_says_otherwise() -> None:
    one = compose(step("calls: [{tool: t}]"), chat(), number=1)
    two = compose(step("calls: [{tool: t}]"), chat(), number=2)
    assert one.calls[0].id != two.calls[0].id
    assert [c.id for c in _answer("calls: [{tool: t, id: ''}, {tool: t, id: x}]").calls] == ["", "x"]
    assert len({c.id for c in _answer("calls: [{tool: t, repeat: 5}], duplicate_ids: true").calls}) == 1


def test_arguments_can_be_broken() -> None:
    assert _answer("calls: [{tool: t}], bad_arguments: true").calls[0].arguments == '{"path": "/tmp/'
    assert _answer("calls: [{tool: t}], bad_arguments: '{\"a\": NaN}'").calls[0].arguments == '{"a": NaN}'


def test_usage_is_counted_or_said_or_left_out() -> None:
    counted = _answer("text: 'twelve chars'").tokens
    assert counted is not None
    assert (counted.input, counted.output, counted.cached) == (1, 3, 0)
    said = _answer("usage: {input: -5, output: 1.5, cached: 1000000000000000000.0}").tokens
    assert said is not None
    assert (said.input, said.output, said.cached) == (-5, 1.5, 1e18)
    assert _answer("no_usage: true").tokens is None


def test_ids_look_like_those_of_the_format() -> None:
    assert compose(step("calls: [{tool: t}]"), chat(), number=3).calls[0].id == "call_00000003_1"
    assert compose(step("calls: [{tool: t}]"), message(), number=3).calls[0].id == "toolu_00000003_1"


def test_another_model_can_answer() -> None:
    assert _answer("model: other").model == "other"
    assert _answer("text: a").model == "m"


@given(st.text(), st.integers(1, 10))
def test_pieces_are_the_text(text: str, count: int) -> None:
    pieces = list(pieces_of(text, count))
    assert "".join(pieces) == text
    assert len(pieces) <= count
    assert all(pieces)


@given(st.text())
def test_filling_without_values_changes_only_doubled_braces(text: str) -> None:
    if "{{" not in text:
        assert fill(text, {}) == text
