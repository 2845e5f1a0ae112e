"""Documents of comparisons."""

from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.llm.rules_compare import comparison
from aaos.llm.rules_file import FileText

SENTENCES = (
    "The harbour master must greet every ship.",
    "Each ship pays a small fee at noon.",
    "Fish is sold on the northern market.",
    "Old sailors tell long stories of whales.",
    "Rain fills the barrels behind the inn.",
    "A lantern shines above the pier.",
)


def file(path: str, text: str) -> FileText:
    return FileText(path, tuple(text.split("\n")))


def test_sizes_terms_and_sentences() -> None:
    one = file("/a/one.txt", "\n\n".join(SENTENCES[:4]))
    two = file("/a/two.txt", "\n\n".join(SENTENCES[2:]) + "\n\n" + "Whales swim by the pier. " * 3)
    text = comparison([one, two])
    assert text.startswith("# Comparison of one.txt and two.txt\n\ntwo.txt is longer")
    assert f"| Words | {one.word_count} | {two.word_count} |" in text
    only_one = text.split("## Only in one.txt")[1].split("## ")[0]
    assert "The harbour master must greet every ship. *(line 1)*" in only_one
    assert "Fish is sold" not in only_one
    assert "**In both:**" in text


def test_the_same_text_twice() -> None:
    text = comparison([file("/a", "One sentence of some words here."), file("/b", "One sentence of some words here.")])
    assert "Both files hold the same text." in text
    assert text.count("No telling sentence is in this file only.") == 2


def test_lines_that_differ_are_shown_when_most_are_the_same() -> None:
    one = "".join(f"option{at} = {at}\n" for at in range(20))
    text = comparison([file("/x.conf", one + "extra = 1"), file("/y.conf", one.replace("option7 = 7", "option7 = 9"))])
    assert "19 lines are in every file" in text
    assert "line 8: `option7 = 7`" in text
    assert "line 8: `option7 = 9`" in text
    assert "line 21: `extra = 1`" in text


def test_files_of_one_name_are_told_apart_by_their_paths() -> None:
    text = comparison([file("/a/x", "Some words here."), file("/b/x", "Other words there.")])
    assert text.startswith("# Comparison of /a/x and /b/x")


def test_summaries_become_parts() -> None:
    text = comparison([file("/a", "x"), file("/b", "y")], ["# Summary of a\n\nshort\n\n## Main points\n"])
    assert "\n## Summary of a\n\nshort\n\n### Main points\n" in text


def test_hostile_lines_are_inert() -> None:
    """H-SEC-09."""
    hostile = "\x1b[2J| <b> ``` # x\n" * 4
    text = comparison([file("/a\x1b", hostile), file("/b", hostile + "z")])
    assert "\x1b" not in text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(SENTENCES), max_size=6, unique=True), min_size=2, max_size=4))
def test_only_in_means_in_no_other(texts: list[list[str]]) -> None:
    files = [file(f"/f{at}", "\n\n".join(lines)) for at, lines in enumerate(texts)]
    text = comparison(files)
    assert text == comparison(files)
    for at, lines in enumerate(texts):
        _, found, part = text.partition(f"## Only in f{at}\n")
        section = part.split("\n## ")[0]
        others = {line for place, other in enumerate(texts) if place != at for line in other}
        for sentence in SENTENCES:
            if sentence in section:
                assert sentence in lines
                assert sentence not in others
            elif found and sentence in lines and sentence not in others and len(lines) <= 5:
                raise AssertionError(f"{sentence} is only in f{at}")
