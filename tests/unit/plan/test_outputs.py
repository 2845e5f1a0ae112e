"""What a free goal wants written, by its words: CAP-0."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.plan.goal import read_goal
from aaos.plan.outputs import written


@pytest.mark.parametrize(
    ("goal", "outputs"),
    [
        ("translate /a and ./b into French and put that into /out.md; mind https://x.y/z", ["/out.md"]),
        ("translate /a to /b", ["/b"]),
        ("find out what is odd in /a and save it as ./odd.md", ["./odd.md"]),
        ("write a poem about /a to the file /poem.txt", ["/poem.txt"]),
        ("write a summary of the errors in /a.log to /b.md and to /c.md", ["/b.md", "/c.md"]),
        ("think about /a, then write it down in /b.md", ["/b.md"]),
        ("create /out.md with the main points of /a", ["/out.md"]),
        ("make a new file called notes.md from /a", ["notes.md"]),
        ("Read /a. Then, in one page, explain it; store the result under /b", ["/b"]),
        ("explain how /a relates to /b", []),
        ("what changed from /a to /b?", []),
        ("describe the bugs in /a", []),
        ("read /a as a whole", []),
        ("is /a similar to /b? Say why", []),
        ("write nothing. Compare the style of /a to /b", []),
        ("summarise what /a and /b say of Rome", []),
    ],
)
def test_only_what_the_words_want_written_is_written(goal: str, outputs: list[str]) -> None:
    text = read_goal(goal)
    assert [text.atoms[at].text for at in sorted(written(text.template))] == outputs


WORDS = ["write", "save", "to", "into", "the", "a", "file", "it", "in", "create", "‹0›", "‹7›", ".", "\n", "x", "named"]


@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_what_is_written_is_named(words: list[str]) -> None:
    named = {int(word[1]) for word in words if word[0] == "‹"}
    assert written(" ".join(words)) <= named
    assert not written(" ".join(word for word in words if word not in ("write", "save", "create")))
