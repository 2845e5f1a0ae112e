"""The only way to the terminal (H-SEC-09, TOL-6)."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.cli.output import Output
from aaos.core.errors import DeniedError

HOSTILE = "\x1b]52;c;cm0gLXJm\x07 \x9b31m \u202egpj.exe \r\n[worker] file_read /ok\x00\u200b"


class Terminal(io.StringIO):
    """A stream that says it is a terminal; its width is the default."""

    def isatty(self) -> bool:
        return True


def outputs(*, is_json: bool = False, is_terminal: bool = False) -> tuple[Output, io.StringIO, io.StringIO]:
    out = Terminal() if is_terminal else io.StringIO()
    err = io.StringIO()
    return Output(out, err, is_json=is_json), out, err


def is_harmless(written: str) -> bool:
    return not any((ord(c) < 0x20 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u200b\u2028" for c in written)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_no_text_writes_a_control_character(text: str) -> None:
    output, out, err = outputs()
    output.line(text)
    output.quote(text)
    output.hint(text)
    output.document({"text": text, text: [text]})
    assert is_harmless(out.getvalue() + err.getvalue())


def test_a_hostile_text_cannot_pass_for_a_line_of_ours() -> None:
    output, out, _ = outputs()
    output.quote(HOSTILE)
    assert all(line.startswith("|") for line in out.getvalue().splitlines())
    output.line(HOSTILE)
    assert out.getvalue().count("\n") == HOSTILE.count("\n") + 1 + 1


def test_a_quoted_block_keeps_its_lines_and_shows_tabs_as_spaces() -> None:
    output, out, _ = outputs()
    output.quote("one\n\n\ttwo\n")
    assert out.getvalue() == "| one\n|\n|     two\n"


def test_an_error_says_what_to_type() -> None:
    output, out, err = outputs()
    output.error(DeniedError("no", "agentd submit --read /x"))
    assert err.getvalue() == "agentd: no\n  try: agentd submit --read /x\n"
    assert out.getvalue() == ""


def test_an_error_is_a_document_with_json() -> None:
    output, out, err = outputs(is_json=True)
    output.error(DeniedError("no", "grant"))
    assert json.loads(out.getvalue()) == {
        "error": {"code": "denied", "message": "no", "remedy": "grant", "exit_code": 3}
    }
    assert err.getvalue() == ""


def test_the_status_line_is_drawn_over_and_gone_before_a_line() -> None:
    output, out, _ = outputs(is_terminal=True)
    output.status("working hard")
    output.status("working hard")
    output.status("done")
    output.line("next")
    assert out.getvalue() == "\rworking hard\rdone        \r    \rnext\n"


@pytest.mark.parametrize(("is_json", "is_terminal"), [(True, True), (False, False)])
def test_no_status_line_where_nobody_watches(is_json: bool, is_terminal: bool) -> None:
    output, out, _ = outputs(is_json=is_json, is_terminal=is_terminal)
    output.status("working")
    output.clear_status()
    assert out.getvalue() == ""


def test_a_status_line_is_cut_to_the_terminal_and_harmless() -> None:
    output, out, _ = outputs(is_terminal=True)
    output.status("\x1b" + "x" * 500)
    assert len(out.getvalue()) == 1 + 79
    assert "\x1b" not in out.getvalue()


def test_answers_are_documents_or_the_lines_that_show_them() -> None:
    """Of both the terminal gets one."""
    for is_json, written in ((True, '{"a":1}\n{"a":2}\n'), (False, "one\ntwo\n")):
        output, out, _ = outputs(is_json=is_json)
        output.answers([{"a": 1}, {"a": 2}], ["one", "two"])
        assert out.getvalue() == written
