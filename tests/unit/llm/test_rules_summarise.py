"""Documents of summaries."""

from dataclasses import replace

from aaos.llm.rules_file import FileText
from aaos.llm.rules_summarise import summaries, summary

FILE = FileText(
    "/docs/ships.md",
    (
        "# Ships",
        "",
        "Ships must report to the harbour before they enter it.",
        "The harbour gives each of them a place.",
    ),
)


def test_one_file() -> None:
    text = summary(FILE)
    assert text.startswith("# Summary of ships.md\n\n`/docs/ships.md`: text, 4 lines,")
    assert "> Ships must report to the harbour before they enter it. *(line 3)*\n" in text
    assert "## Main points\n\n- The harbour gives each of them a place. *(line 4)*" in text
    assert text.count("\n# ") == 0


def test_what_was_not_read_is_said_at_the_top() -> None:
    text = summary(replace(FILE, is_whole=False))
    assert "Only the first 4 lines" in text.split("> ")[0]


def test_several_files_and_what_was_left_out() -> None:
    text = summaries("/docs", [FILE, FileText("/docs/empty.txt", ("",))], ["`x` (link)"])
    assert text.startswith("# Summary of /docs\n\n2 text files,")
    assert "Left out:\n\n- `x` (link)" in text
    assert "## ships.md" in text
    assert "The file holds no text." in text
