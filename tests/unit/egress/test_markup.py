"""HTML made plain: tags keep what is used, text stays text, and no reader can tell them otherwise."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.egress.markup import USED, plain_markup

_TAG = re.compile(r'</?[A-Za-z][A-Za-z0-9:._-]*(?: (?:alt|hidden|href|style)="[^"<]*")*/?>')


@pytest.mark.parametrize(
    ("html", "plain"),
    [
        ('<p class=a href=\'x"y\' HIDDEN>a<b</p x="y">', '<p href="x&quot;y" hidden="">a<b>'),
        ("<a href=x/y/ alt>t</a><br/>", '<a href="x/y/" alt="">t</a><br/>'),
        ('<img alt="a>b" data-x="<i>"/>', '<img alt="a>b"/>'),
        ("<a HREF=1 href=2>", '<a href="1">'),
        ("<a href=x", '<a href="x">'),
        ("<p/ href=x>", '<p href="x">'),
        ("<p a\"b='><i>'>z", "<p>z"),
        ("a < b <3 <", "a &lt; b &lt;3 &lt;"),
        ("<!doctype html><?php x ?><![CDATA[a>b</ q></>c", "bc"),
        ("a<!-- - -- > <p> -->b<!-->c<!--->d<!-- e --!>f<!-- never", "abcdf"),
        ('<script>if (a<b) "<p>"</script ><p>x<style>p{}</style>', "<p>x"),
        ("<script src=x/>a</script>b<script/>c<STYLE>never", "bc"),
        ("<title>a <b> c</title>d<textarea><p></textarea>", "<title>a &lt;b> c</title>d<textarea>&lt;p></textarea>"),
        ("&lt;p&gt; &amp; \u00e9", "&lt;p&gt; &amp; \u00e9"),
        ("<svg:g x=1><o-o>", "<svg:g><o-o>"),
        ("", ""),
    ],
)
def test_what_is_used_stays(html: str, plain: str) -> None:
    assert plain_markup(html) == plain


@given(st.text(alphabet="<>/=\"' ahref-!&;?x\n\tpscriptyle", max_size=200))
def test_every_mark_that_is_left_has_one_reading(html: str) -> None:
    """H-NET-10: whatever else reads it sees these tags with these attributes and no others."""
    plain = plain_markup(html)
    assert "<" not in _TAG.sub("", plain)
    assert plain_markup(plain).count("<") <= plain.count("<")


@pytest.mark.parametrize(
    "piece",
    ["<", "<a", "<a ", "<a x=", "<a/x=", '<a x="', "<a x='\"", "<!--", "<!---", "</", "</a ", "<script>",
     "<title></titl", "<style></styl", "<a =", "<a b= ", "='", "<!--->", "<textarea></textarea", "a=b "],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "<p "])
def test_no_page_takes_more_than_its_size(before: str, piece: str) -> None:
    """H-NET-10: four megabytes of the worst; quadratic work would show as hours."""
    html = before + piece * (2**22 // len(piece))
    began_s = time.thread_time()
    plain = plain_markup(html)
    assert time.thread_time() - began_s < 10
    assert len(plain) <= 4 * len(html) + 100


def test_a_tag_is_left_with_what_is_used_of_it() -> None:
    """H-NET-10: libxml2 compares each attribute of a tag with all before it."""
    html = f"<a {' '.join(f'a{number}=x' for number in range(400_000))} href=y>"
    assert plain_markup(html) == '<a href="y">'
    assert plain_markup(f"<a {'href=x ' * 1_000}>") == '<a href="x">'
    assert len(USED) <= 8
