"""Bytes become text by what the server, the page and its bytes say, or not at all."""

import pytest

from aaos.egress.charset import decode, kind_of
from aaos.egress.wire import FetchError

WORDS = "Grüße, привет, 日本"


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [
        ("text/html; charset=utf-8", WORDS.encode(), WORDS),
        ("text/plain; charset=iso-8859-1", "Gr\x80ße".encode("latin-1"), "Gr€ße"),  # what browsers take it for
        ('TEXT/HTML; Charset="Shift_JIS"', "日本".encode("shift_jis"), "日本"),
        ("text/html; charset=utf-16", b"\xef\xbb\xbf" + WORDS.encode(), WORDS),  # the mark wins
        ("text/html", b"<meta charset=windows-1251>" + "привет".encode("cp1251"), "<meta charset=windows-1251>привет"),
        ("text/html", b'<META HTTP-EQUIV=x content="text/html; charset=koi8-r">' + "да".encode("koi8-r"), None),
        ("text/html", b"<meta charset=utf-16>" + WORDS.encode(), f"<meta charset=utf-16>{WORDS}"),
        (
            "application/xml",
            b'<?xml version="1.0" encoding="iso-8859-2"?>\xb1',
            '<?xml version="1.0" encoding="iso-8859-2"?>ą',
        ),
        ("text/plain", WORDS.encode(), WORDS),
        ("text/plain", WORDS.encode()[:-1], f"{WORDS[:-1]}\ufffd"),
        ("text/plain", b"caf\xe9 au lait", "café au lait"),
        ("text/plain; charset=no-such-thing", WORDS.encode(), WORDS),
        ("text/plain; charset*=utf-8''x%ff", b"a", "a"),
        ("application/json", b'{"a": 1}', '{"a": 1}'),
        ("", b"plain words", "plain words"),
        ("text/plain; charset=utf-7", b"+ADw-script", "+ADw-script"),  # no browser reads it, and no filter should
    ],
)
def test_text_is_read_as_it_was_meant(header: str, body: bytes, expected: str | None) -> None:
    text = decode(body, kind_of(header, body))
    assert text == expected if expected is not None else text.endswith("да")


@pytest.mark.parametrize(
    "header", ["image/png", "application/pdf", "application/octet-stream", "video/mp4", "font/woff2"]
)
def test_what_is_no_text_is_refused(header: str) -> None:
    with pytest.raises(FetchError, match=header):
        decode(b"abc", kind_of(header, b"abc"))


def test_bytes_that_say_that_they_are_text_are_looked_at() -> None:
    with pytest.raises(FetchError, match="not text"):
        decode(b"\x89PNG\0\0\0\r", kind_of("text/html", b""))
    with pytest.raises(FetchError, match="octet-stream"):
        decode(b"\0\1", kind_of("", b"\0\1"))


@pytest.mark.parametrize(
    ("header", "body", "media_type"),
    [
        ("", b"<!doctype html><p>", "text/html"),
        ("", b" <!-- x --> <html>", "text/html"),
        ("garbage", b"<html>", "text/html"),
        ("text/html\r\nX: y", b"", "text/plain"),
        ("text/" + "x" * 200, b"", "text/plain"),
        ("application/xhtml+xml; charset=utf-8", b"", "application/xhtml+xml"),
        ("Text/HTML ; charset=x", b"", "text/html"),
        ("application/vnd.api+json", b"", "application/vnd.api+json"),
    ],
)
def test_a_page_is_of_the_kind_that_is_declared_or_else_seen(header: str, body: bytes, media_type: str) -> None:
    assert kind_of(header, body).media_type == media_type


def test_html_alone_is_made_readable() -> None:
    assert kind_of("text/html", b"").is_html
    assert kind_of("application/xhtml+xml", b"").is_html
    assert not kind_of("text/plain", b"").is_html
