"""A file as it was read, measured as wc(1) does."""

from hypothesis import given
from hypothesis import strategies as st

from aaos.llm.rules_file import FileText


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=100))
def test_bytes_and_words_are_those_of_the_text(text: str) -> None:
    lines = text.removesuffix("\n").split("\n") if text else []
    file = FileText("/x", tuple(lines), ends_with_newline=text.endswith("\n") or not text)
    assert file.size_bytes == len(text.encode())
    assert file.word_count == len(text.split())


def test_names_and_measures() -> None:
    file = FileText("/a/b.txt", ("x", "y"))
    assert (file.name, file.measure, file.caveat) == ("b.txt", "2 lines, 4 bytes", "")
    assert FileText("/", ()).name == "/"


def test_what_is_missing_is_told() -> None:
    part = FileText("/a", ("x",), is_whole=False, clipped=2, total_bytes=4096)
    assert part.measure.startswith("at least ")
    assert "Only the first 1 line (2 bytes of 4.0 KiB)" in part.caveat
    assert "2 lines too long" in part.caveat
