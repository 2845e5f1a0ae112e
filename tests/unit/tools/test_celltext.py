"""A result of a program: its output as the wrapper says, judged by how the cell ended."""

from dataclasses import replace

import pytest

from aaos.core.cell import CellEnd, CellResult
from aaos.tools.celltext import STDERR_BYTES, cell_text, exit_facts
from aaos.tools.wrapper import Parser, Wrapper

WRAPPER = Wrapper("tool", "s", "/usr/bin/tool", "p")
ENDED = CellResult(CellEnd.EXITED, 0, None, b"out\n", b"", False, False, 12.5, 3.25, 4096, "p" * 64, "f" * 64)


def told(result: CellResult = ENDED, *, wrapper: Wrapper = WRAPPER) -> tuple[str, bool, bool]:
    found = cell_text(wrapper, result, max_bytes=1_000)
    return found.text, found.is_ok, found.is_cut


def test_what_a_program_says_is_the_result() -> None:
    """TOL-4"""
    assert told() == ("out", True, False)
    assert told(replace(ENDED, stderr=b"warn\n")) == ("out\n[standard error]\nwarn", True, False)
    assert told(replace(ENDED, stdout=b" \n")) == ("[no output]", True, False)
    assert told(replace(ENDED, stdout=b"\xff\xfe")) == ("\ufffd\ufffd", True, False)


def test_an_exit_status_is_judged_by_the_wrapper() -> None:
    """TOL-4"""
    failed = replace(ENDED, exit_code=1, stderr=b"no")
    assert told(failed) == ("tool failed: exit status 1\nout\n[standard error]\nno", False, False)
    assert told(failed, wrapper=replace(WRAPPER, success=(0, 1)))[1]


@pytest.mark.parametrize("end", [end for end in CellEnd if end is not CellEnd.EXITED])
def test_every_other_end_is_a_failure(end: CellEnd) -> None:
    """ISO-12: also with an exit status of 0."""
    text, is_ok, _ = told(replace(ENDED, end=end, signal=9))
    assert not is_ok
    assert text.startswith("tool failed: it ")


def test_json_is_json_or_a_failure() -> None:
    """TOL-4"""
    wrapper = replace(WRAPPER, output=Parser.JSON)
    assert told(replace(ENDED, stdout=b'{"a": [1,\n2]}'), wrapper=wrapper) == ('{"a":[1,2]}', True, False)
    assert told(replace(ENDED, stdout=b"{"), wrapper=wrapper)[:2] == ("tool failed: its output is not JSON\n{", False)
    assert not told(replace(ENDED, stdout=b"[" * 100_000), wrapper=wrapper)[1]
    assert "since it was cut" in told(replace(ENDED, stdout=b"{", stdout_cut=True), wrapper=wrapper)[0]


def test_lines_are_counted() -> None:
    """TOL-4"""
    wrapper = replace(WRAPPER, output=Parser.LINES)
    assert told(replace(ENDED, stdout=b"a\n\nb\n"), wrapper=wrapper)[0] == "2 lines\na\nb"
    assert told(replace(ENDED, stdout=b""), wrapper=wrapper)[0] == "0 lines"


def test_what_is_cut_says_so() -> None:
    """TOL-4, H-RES-04"""
    text, is_ok, is_cut = told(replace(ENDED, stdout=b"x" * 2_000, stderr=b"y" * (STDERR_BYTES + 1)))
    assert is_ok
    assert is_cut
    assert "[cut: 1000 bytes are missing; ask for less]" in text
    assert "[cut: 1 bytes are missing]" in text
    assert "the program wrote more than" in told(replace(ENDED, stdout_cut=True))[0]


def test_the_facts_of_the_end_are_for_the_audit() -> None:
    """ISO-12, AUD-1"""
    facts = exit_facts(ENDED)
    assert (facts["end"], facts["exit_code"], facts["cpu_ms"], facts["peak_bytes"]) == ("exited", 0, 3.25, 4096)
    assert (facts["policy_digest"], facts["filter_digest"]) == ("p" * 64, "f" * 64)
