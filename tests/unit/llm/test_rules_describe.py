"""Descriptions: what each kind of file is said to hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.llm.rules_describe import describe, quote
from aaos.llm.rules_file import FileText
from aaos.llm.rules_kind import TextKind


def described(path: str, text: str) -> tuple[str, dict[str, str]]:
    found = describe(FileText(path, tuple(text.removesuffix("\n").split("\n"))))
    return found.gist, dict(found.sections)


def test_code_is_its_own_words_and_its_definitions() -> None:
    words = '"""Counts ships in the harbour.\n\nMore words.\n"""\n'
    text = f"{words}\nimport os\nfrom sea import ship\n\n\nclass Port:\n    def dock(self):\n        pass\n"
    gist, sections = described("/a.py", text)
    assert gist.startswith("Counts ships in the harbour.")
    assert "`Port` *(line 10)*" in sections["Definitions"]
    assert "`dock` *(line 11)*" in sections["Definitions"]
    assert sections["Uses"] == "`os`, `sea`"


def test_code_without_words_is_told_by_its_names() -> None:
    gist, _ = described("/a.sh", "#!/bin/sh\ngo() {\n  ls\n}\n")
    assert gist == "shell code: defines `go`."


def test_a_log_is_its_span_its_levels_and_its_messages() -> None:
    text = "".join(f"2024-01-0{day} 10:00:00 INFO request {day * 7} took {day} ms\n" for day in range(1, 9))
    gist, sections = described("/x.log", text + "2024-01-09 11:00:00 ERROR disk sda1 failed\n")
    assert "9 entries from 2024-01-01 10:00:00 to 2024-01-09 11:00:00" in gist
    assert "8 lines of level info" in gist
    assert "8 × `INFO request 7 took 1 ms` *(first on line 1)*" in sections["Commonest messages"]
    assert "1 × `ERROR disk sda1 failed` *(first on line 9)*" in sections["Errors and refusals"]


def test_records_are_their_fields_with_their_ranges() -> None:
    gist, sections = described("/x.csv", "name,size_bytes,kind\na,10,x\nb,4096,x\nc,,y\n")
    assert gist.startswith("3 records (CSV) with the fields `name`, `size_bytes`, `kind`.")
    assert "| size\\_bytes | 67 % | 10 bytes to 4.0 KiB |" in sections["Fields"].replace("size_bytes", "size\\_bytes")
    assert "| kind | 100 % | x (2), y (1) |" in sections["Fields"]


def test_settings_are_their_active_lines() -> None:
    gist, sections = described("/x.conf", "# This file sets the port of the server.\n# port 22\nport 2222\n\n[tls]\n")
    assert "This file sets the port of the server." in gist
    assert "(2 active lines, 2 comment lines)" in gist
    assert "`port 2222` *(line 3)*" in sections["Active lines"]


def test_prose_has_points_terms_and_an_outline() -> None:
    gist, sections = described(
        "/x.md", "# Ships\n\nShips must report to the harbour. Ships pay a fee to the harbour.\n"
    )
    assert "Ships must report" in gist
    assert sections["Outline"] == "- Ships *(line 1)*"
    assert "harbour (2)" in sections["Key terms"]


def test_an_empty_file_says_so() -> None:
    assert described("/x", "") == ("The file holds no text.", {})


@given(
    st.sampled_from(["/x", "/x.py", "/x.log", "/x.csv", "/x.conf", "/x.md"]),
    st.text(st.sampled_from("aB1 .:,#=-\n\t\"'[]{}|\x1b\u202e/`<"), max_size=300),
)
def test_every_text_has_a_harmless_description(path: str, text: str) -> None:
    """H-SEC-09, H-FUZZ-10."""
    found = describe(FileText(path, tuple(text.split("\n"))))
    whole = "\n".join([found.gist, found.measure, *(body for _, body in found.sections)])
    assert "\x1b" not in whole
    assert "\u202e" not in whole
    assert found == describe(FileText(path, tuple(text.split("\n"))))


@pytest.mark.parametrize("text", ["2024-01-01 10:00:00 x\n" * 3 + "y" * 100_000, "def " + "f" * 100_000])
def test_giant_lines_are_described_in_few_words(text: str) -> None:
    """H-FS-09."""
    found = describe(FileText("/x.py" if text.startswith("def") else "/x", tuple(text.split("\n"))))
    assert sum(len(body) for _, body in found.sections) < 5_000
    assert found.kind in (TextKind.LOG, TextKind.CODE)


def test_quotes_name_their_line() -> None:
    assert quote("a *b*", 7) == "a \\*b\\* *(line 7)*"
