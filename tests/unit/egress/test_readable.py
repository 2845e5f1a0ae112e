"""HTML as Markdown: what a reader sees, in time and size that the page cannot choose."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.egress import readable as room
from aaos.egress.readable import MAX_TEXT, readable

BASE = "http://host/dir/page.html"


def text(html: str) -> str:
    return readable(html, BASE)[0]


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<h1>One</h1><h2>Two</h2><p>words  of\n a page", "# One\n\n## Two\n\nwords of a page"),
        ("<p>a<p>b<div>c</div>d<br>e", "a\n\nb\n\nc\nd\ne"),
        ('<a href="x">rel</a> <a href="/y?a=b&amp;c">abs</a>', "[rel](http://host/dir/x) [abs](http://host/y?a=b&c)"),
        ('<a href="https://e.org/a b">space</a>', "[space](https://e.org/a%20b)"),
        ('<base href="http://other/d/"><a href="x">x</a>', "[x](http://other/d/x)"),
        (
            '<a href="#top">top</a> <a href="javascript:x()">js</a> <a href="mailto:a@b">mail</a> <a>none</a>',
            "top js mail none",
        ),
        ('<a href="x"><img alt="picture"></a><a href="y"><img></a>', "[picture](http://host/dir/x)"),
        ('<h2><a href="x">Title</a></h2>', "## [Title](http://host/dir/x)"),
        ('<a href="x"><h2>Title</h2>words</a>', "## [Title](http://host/dir/x)\n\nwords"),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>", "- a\n- b\n\n  - c"),
        ("<ol><li>a<li>b</ol>", "1. a\n2. b"),
        ("<ul><li><p>a</p></li></ul>", "- a"),
        ("<table><tr><th>A<th>B<tr><td>1<td>2</table>", "A | B\n1 | 2"),
        ("<pre>  two\n    four</pre>after", "```\n  two\n    four\n```\n\nafter"),
        ("<blockquote>said<p>more</blockquote>", "> said\n\n> more"),
        ("<p>be<script>evil()</script>tween<style>p{}</style><noscript>no</noscript>", "between"),
        ('<p hidden>a</p><p style="display: none">b</p><div STYLE="VISIBILITY:hidden">c</div>d', "d"),
        ("<template><p>x</template><p>&lt;b&gt; &amp;amp; &#x1F600;", "<b> &amp; 😀"),
        ("<title>The\n title</title><p>words", "# The title\n\nwords"),
        ("<title>The title</title><h1>Own</h1>", "# Own"),
        ("<!-- a --><p>b<!-- c -->d", "bd"),
        ("", ""),
        ("<!-- only -->", ""),
        ("no markup", "no markup"),
        ("<p>unclosed <b>tags <i>are</p> fine", "unclosed tags are\n\nfine"),
        ("\0<p>a\0b", "ab"),
    ],
)
def test_a_page_reads_as_it_is_seen(html: str, markdown: str) -> None:
    assert text(html) == markdown


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000 + "deep",
        "<a href=x>" * 50_000 + "text",
        "<ul><li>" * 20_000 + "x",
        "<table><tr>" + "<td>" * 100_000,
        "<blockquote>" * 50_000 + "q",
        "<a href=x><b>" * 1_000 + "<br>z" * 20_000,
        "<" * 500_000,
        "&amp" * 200_000,
        "<p " + "a=b " * 100_000 + ">",
        "<p " + " ".join(f"a{number}" for number in range(100_000)) + ">",
        "<pre>" + "\n" * 500_000,
    ],
    ids=lambda html: html[:12],
)
def test_no_page_takes_much_longer_than_its_size(html: str, request: pytest.FixtureRequest) -> None:
    """H-NET-10: half a megabyte of the worst; recursion and quadratic work would show as an error or as minutes."""
    began_s = time.thread_time()
    made, _ = readable(html, BASE)
    assert time.thread_time() - began_s < 10
    assert len(made) < 20 * len(html) + 1_000


def test_a_few_bytes_cannot_ask_for_much_text() -> None:
    """H-NET-10: a short link on a page with a long base is long every time."""
    html = f'<base href="http://h/{"x" * 2_000}/">' + "<a href=y>z</a>" * 50_000
    made, is_whole = readable(html, BASE)
    assert not is_whole
    assert len(made) < 2 * MAX_TEXT


def test_a_page_that_takes_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_CPU_S", 0.0)
    made, is_whole = readable("<p>a" * 1_000, BASE)
    assert not is_whole
    assert len(made) < 1_000


def test_a_page_that_is_nested_too_deep_says_so() -> None:
    made, is_whole = readable("<p>before</p>" + "<div>" * 100_000 + "deep", BASE)
    assert (made, is_whole) == ("before", False)


@given(st.text(alphabet="<>/=\"' abdhlpu!-&;#x\n\0\u202e", max_size=300))
def test_anything_at_all_is_read(html: str) -> None:
    made, _ = readable(html, BASE)
    assert len(made) <= 60 * len(html) + 100
