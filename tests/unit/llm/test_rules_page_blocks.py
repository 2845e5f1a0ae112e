"""A page's lines without their markup."""

import pytest

from aaos.llm.rules_page_blocks import Block, Link, blocks, prose, without_links


def one(line: str) -> Block:
    (found,) = blocks([line])
    return found


@pytest.mark.parametrize(
    ("line", "text", "links"),
    [
        ("plain words", "plain words", ()),
        ("[words](https://a.example/x)", "words", (Link("words", "https://a.example/x"),)),
        ("- **[words](https://a.example/x)**", "words", (Link("words", "https://a.example/x"),)),
        ("[a [b] c](https://a.example/x_(y))", "a [b] c", (Link("a [b] c", "https://a.example/x_(y)"),)),
        ("1. | [one](https://a.example/) ([two](https://b.example/))", "one (two)",
         (Link("one", "https://a.example/"), Link("two", "https://b.example/"))),
        ("[words](/relative) and [](https://a.example/)", "[words](/relative) and", ()),
        ("![alt](https://a.example/p.png)", "alt", (Link("alt", "https://a.example/p.png"),)),
        ("file_name, 2*3*4 and `code`", "file_name, 2*3*4 and code", ()),
    ],
)  # fmt: skip
def test_words_and_links_are_told_apart(line: str, text: str, links: tuple[Link, ...]) -> None:
    found = one(line)
    assert (found.text, found.links) == (text, links)


def test_a_line_is_read_without_the_addresses_of_its_links() -> None:
    assert without_links("# A [b](https://c.example/d) and [e](https://f.example/)") == "# A b and e"
    assert without_links("x" * 9_000) == "x" * 9_000


def test_lines_of_links_alone_are_not_read() -> None:
    menu = "- [a](https://a.example/) | [b](https://b.example/)"
    page = [menu, "## [Two](https://a.example/2)", "See [a](https://a.example/).", "1. [c](https://c.example/)"]
    assert prose(page) == ("", "## Two", "See a.", "")
    assert prose([menu]) == ("- a | b",)


def test_headings_are_marked_or_underlined() -> None:
    found = list(blocks(["# One #", "", "Two", "====", "Three", "---", "#not one", "> ## Four"]))
    assert [(block.text, block.level) for block in found] == [
        ("One", 1), ("Two", 1), ("Three", 2), ("#not one", 0), ("Four", 2),
    ]  # fmt: skip


def test_items_and_paragraphs_are_known() -> None:
    found = list(blocks(["- one", "2) two", "", "text", "more"]))
    assert [(block.is_item, block.is_apart) for block in found] == [
        (True, True), (True, False), (False, True), (False, False),
    ]  # fmt: skip
    assert [block.line for block in found] == [1, 2, 4, 5]


@pytest.mark.parametrize(
    ("line", "main"),
    [
        ("[The headline of the day](https://a.example/1) (site)", "The headline of the day"),
        ("[Local](https://a.example/l) [The headline of the day](https://a.example/1)", "The headline of the day"),
        ("[one](https://a.example/1) [two](https://a.example/2) [three](https://a.example/3)", None),
        ("a long sentence with [a link](https://a.example/1) in it", None),
    ],
)
def test_the_link_that_is_most_of_a_line_is_its_main_one(line: str, main: str | None) -> None:
    found = one(line).main_link
    assert (found.text if found else None) == main


def test_a_host_alone_is_a_front_page() -> None:
    urls = ("https://a.example", "https://a.example/", "https://a.example/?id=1")
    assert [Link("x", url).is_home for url in urls] == [True, True, False]
