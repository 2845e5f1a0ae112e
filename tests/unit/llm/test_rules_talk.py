"""A conversation read back: files page by page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.llm import rules_talk
from aaos.llm.rules_file import FileText
from aaos.llm.rules_talk import Made, Trouble, ask, calls_made, read_files, wanted
from aaos.llm.types import AskedCall, AssistantMessage, Message, Stop, ToolResultMessage, UserMessage


def page(text: str, *, offset: int = 1, ok: bool = True, truncated: bool = False) -> Made:
    call = AskedCall(f"c{offset}", "file_read", {"path": "/x", "offset": offset})
    return Made(call, ToolResultMessage(call.id, text, ok, truncated))


def cut(text: str, following: int) -> str:
    return f"{text}[cut after line {following - 1}, byte 9 of 99; continue with offset={following}]"


def the_file(*pages: Made) -> FileText:
    reading = read_files(pages, ["/x"])
    assert not reading.wanted
    return reading.files[0]


def test_only_calls_with_results_were_made() -> None:
    calls = (AskedCall("a", "grep", {}), AskedCall("b", "echo", {}))
    messages: list[Message] = [UserMessage("u"), AssistantMessage("", calls), ToolResultMessage("b", "t")]
    assert [made.call.id for made in calls_made(messages)] == ["b"]


def test_calls_get_ids_that_count_on() -> None:
    said = ask([wanted("echo", {}), wanted("grep", {})], [page("x")])
    assert [call.id for call in said.calls] == ["c1", "c2"]
    assert said.stop is Stop.CALLS


def test_reading_begins_at_the_first_line_and_goes_on_behind_the_last() -> None:
    first = read_files([], ["/x"]).wanted[0]
    assert (first.args["path"], first.args["offset"]) == ("/x", 1)
    second = read_files([page(cut("a\nb\n", 3), truncated=True)], ["/x"]).wanted[0]
    assert second.args["offset"] == 3


def test_pages_are_joined_and_the_marker_is_no_content() -> None:
    file = the_file(page(cut("a\nb\n", 3), truncated=True), page("c", offset=3))
    assert file.lines == ("a", "b", "c")
    assert file.is_whole
    assert not file.ends_with_newline


def test_half_a_line_is_left_to_the_next_page() -> None:
    half = page("a\nb\nhal\n[cut: 5 bytes are missing; ask for less]", truncated=True)
    assert read_files([half], ["/x"]).wanted[0].args["offset"] == 3
    assert the_file(half, page("half\n", offset=3)).lines == ("a", "b", "half")


def test_a_line_longer_than_a_page_is_clipped_and_reading_goes_on() -> None:
    long = page("yyyy\n[cut inside line 1, at byte 4 of 9; continue with byte_offset=4]", truncated=True)
    assert read_files([long], ["/x"]).wanted[0].args["offset"] == 2
    file = the_file(long, page("z\n", offset=2))
    assert (file.lines, file.clipped, file.is_whole) == (("yyyy", "z"), 1, True)
    alone = the_file(long, page("/x has 1 lines: there is no line 2", offset=2, ok=False))
    assert (alone.lines, alone.clipped) == (("yyyy",), 1)


def test_a_failed_page_is_trouble_wherever_it_comes() -> None:
    for pages in ([page("gone", ok=False)], [page(cut("a\n", 2), truncated=True), page("gone", offset=2, ok=False)]):
        assert read_files(pages, ["/x"]).troubles == (Trouble("/x", "gone"),)


@pytest.mark.parametrize(("limit", "value"), [("MAX_FILE_BYTES", 10), ("MAX_PAGES", 2)])
def test_reading_stops_at_its_bounds_and_says_so(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    """H-FS-09: an endless file."""
    monkeypatch.setattr(rules_talk, limit, value)
    file = the_file(page(cut("a\n", 2), truncated=True), page(cut("b\n", 3), offset=2, truncated=True))
    assert not file.is_whole
    assert file.total_bytes == 99


def test_many_files_share_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_talk, "PAGE_BYTES", 1)
    monkeypatch.setattr(rules_talk, "MAX_TOTAL_BYTES", 100)
    pages = [page(cut("a" * 30 + "\n", 2), truncated=True)]
    assert not read_files(pages, ["/x", "/y", "/z"]).files[0].is_whole
    assert read_files(pages, ["/x"]).wanted


@given(
    st.lists(st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), max_size=12), max_size=20),
    st.data(),
)
def test_however_a_file_is_cut_it_is_the_same_file(lines: list[str], data: st.DataObject) -> None:
    """Also when lines look like markers."""
    text = "".join(f"{line}\n" for line in lines)
    pages: list[Made] = []
    at = 0
    while at < len(lines):
        end = data.draw(st.integers(at + 1, len(lines)))
        body = "".join(f"{line}\n" for line in lines[at:end])
        is_last = end == len(lines)
        pages.append(page(body if is_last else cut(body, end + 1), offset=at + 1, truncated=not is_last))
        at = end
    file = the_file(*(pages or [page("")]))
    assert "".join(f"{line}\n" for line in file.lines) == text
