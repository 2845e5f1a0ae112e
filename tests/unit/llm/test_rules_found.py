"""Matches collected from the pages of grep."""

import pytest

from aaos.llm.rules_found import Found, Match, Wanted, matches, search_document
from aaos.llm.rules_talk import Made, Trouble
from aaos.llm.types import AskedCall, ToolResultMessage

WANTED = Wanted("x", is_regex=False, ignore_case=False)


def page(text: str, *, ok: bool = True, truncated: bool = False) -> Made:
    return Made(AskedCall("1", "grep", {"path": "/d"}), ToolResultMessage("1", text, ok, truncated))


def test_the_call_says_how_the_text_is_to_be_taken() -> None:
    call = matches([], "/d", Wanted("a.b", is_regex=True, ignore_case=True))
    assert isinstance(call, AskedCall)
    assert call.args == {
        "path": "/d",
        "pattern": "a.b",
        "fixed": False,
        "ignore_case": True,
        "offset": 0,
        "limit": 2000,
    }


def test_pages_follow_one_another() -> None:
    first = page("/d/a:1: x\n[cut: there is more; continue with offset=1]", truncated=True)
    call = matches([first], "/d", WANTED)
    assert isinstance(call, AskedCall)
    assert call.args["offset"] == 1
    found = matches([first, page('"/d/b\\n":12: x: y')], "/d", WANTED)
    assert found == Found((Match("/d/a", 1, "x"), Match("/d/b\n", 12, "x: y")), is_whole=True)


@pytest.mark.parametrize("shown", [r'"\q"', '"a\x01"', r'"\ud8"', '""', "relative"])
def test_a_path_that_no_tool_writes_is_no_match(shown: str) -> None:
    """H-FUZZ-10: a result comes from the worker, who may say anything."""
    found = matches([page(f"{shown}:1: x\n/d/a:2: x")], "/d", WANTED)
    assert isinstance(found, Found)
    assert found.matches == (Match("/d/a", 2, "x"),)


def test_a_search_that_was_stopped_says_so() -> None:
    stopped = matches(
        [page("/d/a:1: x\n[cut: the search was stopped by its limits; narrow it]", truncated=True)], "/d", WANTED
    )
    assert isinstance(stopped, Found)
    assert not stopped.is_whole
    assert "there may be more" in search_document(["/d"], WANTED, [stopped])


def test_no_match_failure_and_remarks() -> None:
    assert matches([page("denied", ok=False)], "/d", WANTED) == Trouble("/d", "denied")
    none = matches([page("(no match; 2 binary files were not searched)")], "/d", WANTED)
    assert isinstance(none, Found)
    text = search_document(["/d"], WANTED, [none])
    assert "No line of `/d` matches." in text
    assert "2 binary files were not searched" in text


def test_documents_group_by_file_and_are_inert() -> None:
    found = Found((Match("/d/a", 1, "x `y` \x1b[2J"), Match("/d/b", 2, "x")), is_whole=True)
    text = search_document(["/d"], WANTED, [found])
    assert text.startswith("# Lines with `x`\n\n2 lines of `/d` in 2 files match.")
    assert "## `/d/b`\n\n- line 2: `x`" in text
    assert "\x1b" not in text
    assert Wanted("a", is_regex=True, ignore_case=True).told == "the pattern `a`, in any case"
