"""How deep a page is nested, counted before its parser does: what closes what, and how much work a tag is."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml.html import document_fromstring

from aaos.egress.nesting import MAX_DEPTH, Nesting


def depth(tags: str) -> int:
    """Of what is open after these tags, `-x` is the end of x."""
    nesting = Nesting()
    for tag in tags.split():
        if tag.startswith("-"):
            nesting.end(tag[1:])
        else:
            nesting.begin(tag)
    return len(nesting._open)


@pytest.mark.parametrize(
    ("tags", "left"),
    [
        ("div p b", 3),
        ("div p b -b -p -div", 0),
        ("div b i -div", 0),
        ("p p p div p table", 2),
        ("ul li li li -ul", 0),
        ("ul li ul li", 4),
        ("table tr td tr td p td", 3),
        ("table tbody tr td -table", 0),
        ("dl dt dd dt p dd", 2),
        ("a a a", 1),
        ("br img hr meta", 0),
        ("span div -span", 2),
        ("table div -div", 1),
        ("table tr td -div -table", 0),
        ("-div -p b", 1),
        ("font font font", 3),
    ],
)
def test_what_closes_what(tags: str, left: int) -> None:
    assert depth(tags) == left


@given(st.lists(st.sampled_from("div span b ul li p table tr td -div -span -b -ul -p -table -td".split()), max_size=60))
def test_the_parser_finds_it_no_deeper(tags: list[str]) -> None:
    """H-NET-10: by more than twice, which its head and body and what it adds to a table account for."""
    html = "".join(f"</{tag[1:]}>" if tag.startswith("-") else f"<{tag}>" for tag in tags)
    root = document_fromstring(f"<body>{html}x")
    deepest = max(sum(1 for _ in element.iterancestors()) for element in root.iter())
    nesting, most = Nesting(), 0
    for tag in tags:
        nesting.end(tag[1:]) if tag.startswith("-") else nesting.begin(tag)
        most = max(most, len(nesting._open))
    assert deepest <= 2 * most + 3


def test_too_deep_is_told_for_good() -> None:
    nesting = Nesting()
    for _ in range(MAX_DEPTH):
        nesting.begin("div")
    assert not nesting.is_too_deep
    nesting.begin("div")
    nesting.end("div")
    assert nesting.is_too_deep


def test_a_tag_is_little_work_however_deep_it_stands() -> None:
    """H-NET-10: a million tags that end nothing."""
    nesting = Nesting()
    for _ in range(MAX_DEPTH - 1):
        nesting.begin("b")
    began_s = time.thread_time()
    for _ in range(200_000):
        nesting.end("i")
    assert time.thread_time() - began_s < 20
