"""Which files of a directory are read."""

from aaos.llm.rules_directory import MAX_BYTES, MAX_FILES, Listing, listing
from aaos.llm.rules_talk import Made, Trouble
from aaos.llm.types import AskedCall, ToolResultMessage


def listed(text: str, *, ok: bool = True, truncated: bool = False) -> Listing | AskedCall | Trouble:
    call = AskedCall("1", "file_list", {"path": "/d"})
    return listing([Made(call, ToolResultMessage("1", text, ok, truncated))], "/d")


def entry(name: str, size: int | str = 5, kind: str = "file") -> str:
    return f"{kind:<5} {size:>12} {name}"


def test_a_directory_is_listed_first() -> None:
    found = listing([], "/d")
    assert isinstance(found, AskedCall)
    assert found.args["path"] == "/d"


def test_text_files_are_taken_and_the_rest_is_named() -> None:
    text = "\n".join(
        [
            entry("a.txt"),
            entry('"b \\u001b.txt"'),
            entry("s", 0, "dir"),
            entry("l", 1, "link"),
            entry("e", 0),
            "nonsense",
        ]
    )
    found = listed(text)
    assert isinstance(found, Listing)
    assert found.files == ("/d/a.txt", "/d/b \x1b.txt")
    assert found.left_out == (
        "`l` (link)",
        "`e` (empty)",
        "an entry whose name can't be used: `nonsense`",
        "1 directory inside it",
    )


def test_too_many_and_too_large_files_are_left_out() -> None:
    """H-FS-20."""
    many = listed("\n".join(entry(f"f{at}") for at in range(MAX_FILES + 3)))
    assert isinstance(many, Listing)
    assert (len(many.files), len(many.left_out)) == (MAX_FILES, 3)
    large = listed("\n".join([entry("big", MAX_BYTES + 1), entry("small")]))
    assert isinstance(large, Listing)
    assert large.files == ("/d/small",)
    assert "beyond what one summary takes" in large.left_out[0]


def test_hostile_names_stay_below_the_directory() -> None:
    found = listed(
        "\n".join([entry('"../../etc/passwd"'), entry('"x (not UTF-8: cannot be named in a call)'), entry("ok")])
    )
    assert isinstance(found, Listing)
    assert found.files == ("/d/ok",)
    assert len(found.left_out) == 2


def test_a_cut_listing_says_so_and_a_failed_one_is_trouble() -> None:
    cut = listed(entry("a") + '\n[cut: there may be more; continue with after="a"]', truncated=True)
    assert isinstance(cut, Listing)
    assert cut.files == ("/d/a",)
    assert "beyond the first page" in cut.left_out[0]
    assert listed("no", ok=False) == Trouble("/d", "no")
    empty = listed("(nothing)")
    assert empty == Listing((), ())
