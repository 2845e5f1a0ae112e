"""A script is strict: what is wrong is named with its line and the nearest right name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import SettingsError
from aaos.devprovider.script import Hang, line_of, load_script, read_script
from tests.unit.devprovider.asking import script, step


def test_a_small_script() -> None:
    read = script("steps:\n  - text: hello\n  - when: {turn: 2}\n    hang: mid-stream\n    delay_s: 1\n")
    assert [s.text for s in read.steps] == ["hello", ""]
    assert read.steps[1].hang is Hang.MID_STREAM
    assert read.steps[1].delay_s == 1.0
    assert read.models == ("scripted",)


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("steps:\n - text: a\n - txt: b\n", "s.yaml, line 3: steps.1.txt: unknown key", "did you mean 'text'?"),
        ("steps:\n - text: a\n   calls:\n    - tol: x\n", "line 4", "did you mean 'tool'?"),
        ("steps:\n - when:\n     trun: 1\n", "line 3: steps.0.when.trun", "did you mean 'turn'?"),
        ("steps:\n - hang: midstream\n", "line 2: steps.0.hang", "correct steps.0.hang"),
        ("steps:\n - text: a\n\n - status: 200\n", "line 4: steps.1.status", "correct steps.1.status"),
        ("steps: []\n", "line 1: steps", "at least one"),
        ("stepz: []\n", "line 1", ""),
        ("steps:\n - calls:\n   - {args: {}}\n", "line 3: steps.0.calls.0.tool: is missing", "name the tool"),
        ("", "line 1: the document", ""),
        ("steps:\n - text: a\n - text: 5\n", "line 3", ""),
        ("steps:\n - text: 'a {last_reslt}'\n", "line 2: '{last_reslt}' is not", "{last_result}, or {{last_reslt}}"),
        ("steps:\n - calls:\n   - {tool: t, args: {a: [{b: '{x}'}]}}\n", "line 2: '{x}'", "known: "),
        ("steps: [*a]\n", "s.yaml, line 1", ""),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as error:
        script(text)
    assert message in error.value.message
    assert remedy in error.value.remedy


def test_braces_that_are_no_placeholder_stay() -> None:
    assert step("""text: '{"a": {"b": 1}} {} {{user}}'""").text


@pytest.mark.parametrize(
    "fault",
    [
        "status: 429",
        "hang: connect",
        "cut: 0",
        "redirect: http://h/",
        "html: true",
        "wrong_json: true",
        "error_body_200: true",
        "error_event: true",
        "echo_key: true",
    ],
)
def test_what_a_client_asks_again_after_is_a_fault(fault: str) -> None:
    assert step(fault).is_fault


@pytest.mark.parametrize(
    "answer", ["text: a", "no_usage: true", "duplicate_ids: true", "bad_arguments: true", "delay_s: 1"]
)
def test_what_a_client_goes_on_after_is_none(answer: str) -> None:
    assert not step(answer).is_fault


def test_a_script_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("steps: [{text: a}]")
    assert load_script(file).steps[0].text == "a"
    with pytest.raises(SettingsError, match="cannot be opened"):
        load_script(tmp_path / "none.yaml")


def test_the_line_of_what_is_not_there_is_that_of_what_is_around_it() -> None:
    data = b"a:\n  - b: 1\n    c: 2\n"
    assert [line_of(data, place) for place in (("a",), ("a", 0), ("a", 0, "c"), ("a", 0, "d", "e"), ("x",))] == [
        1,
        2,
        3,
        2,
        1,
    ]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_script_or_an_error(data: bytes) -> None:
    """H-FUZZ-01"""
    try:
        read_script(data, "s.yaml")
    except SettingsError as error:
        assert error.message.startswith("s.yaml")  # noqa: PT017  # some are scripts
