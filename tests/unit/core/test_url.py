"""An address has one meaning, for the check and for the connection, or is refused."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.capability import Capability, Kind, covers
from aaos.core.errors import InputError
from aaos.core.url import MAX_URL_CHARS, Url, parse_url, resolve


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/News", "https://example.com/News"),
        ("http://example.com:80/", "http://example.com/"),
        ("http://example.com:8080", "http://example.com:8080/"),
        ("https://example.com:80/", "https://example.com:80/"),
        ("https://example.com/a/./b/../c", "https://example.com/a/c"),
        ("https://example.com/a/%2e%2E/c", "https://example.com/c"),
        ("https://example.com/../../c/..", "https://example.com/"),
        ("https://example.com/a/.", "https://example.com/a/"),
        ("https://example.com/news/", "https://example.com/news/"),
        ("https://example.com/web/2020/https://example.org/", "https://example.com/web/2020/https://example.org/"),
        ("https://example.com/%7euser/%c3%a9", "https://example.com/~user/%C3%A9"),
        ("https://example.com/é?q=ü&r=[1]", "https://example.com/%C3%A9?q=%C3%BC&r=[1]"),
        ("https://example.com?q=a/../b", "https://example.com/?q=a/../b"),
        ("https://example.com/?", "https://example.com/?"),
        ("https://example.com/a#top?x", "https://example.com/a"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("http://[0:0::0:1]:80/", "http://[::1]/"),
        ("http://localhost:9/", "http://localhost:9/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://BU\u0308CHER.example/", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://аpple.example/", "https://xn--pple-43d.example/"),  # its first letter is Cyrillic
    ],
)
def test_an_address_has_one_documented_form(text: str, normal: str) -> None:
    """H-NET-07"""
    url = parse_url(text)
    assert url.text == normal
    assert parse_url(normal) == url


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("http://0/", "write 0.0.0.0"),
        ("http://127.1/", "write 127.0.0.1"),
        ("http://2130706433/", "write 127.0.0.1"),
        ("http://0x7f000001/", "write 127.0.0.1"),
        ("http://0X7F.1/", "write 127.0.0.1"),
        ("http://0177.0.0.1/", "write 127.0.0.1"),
        ("http://127.000.000.001/", "write 127.0.0.1"),
        ("http://127.0.0.256/", "four numbers"),
        ("http://1.2.3.4.5/", "four numbers"),
        ("http://example.0x/", "four numbers"),
        ("http://[::ffff:7f00:1]/", "write 127.0.0.1"),
        ("http://[::ffff:127.0.0.1]/", "write 127.0.0.1"),
        ("http://[fe80::1%25eth0]/", "%ZONE"),
        ("http://localhost./", "write it without: localhost"),
        ("http://①②⑦.⓪.⓪.①/", "browser"),
        ("http://127。0。0。1/", "browser"),
        ("http://１２７.0.0.1/", "browser"),
    ],
)
def test_an_odd_form_of_an_address_is_refused_and_the_normal_one_named(text: str, remedy: str) -> None:
    """H-NET-03"""
    with pytest.raises(InputError) as caught:
        parse_url(text)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)", "http:",
        "http:/example.com/", "http:example.com", "http:///example.com/", "http://", "http://:80/", "http://?q",
        "http://allowed@evil.example/", "http://u:p@evil.example/", "http://evil.example\\@allowed.example/",
        "http://evil.example\\.allowed.example/", "http:\\\\evil.example/", "http://exam\tple.com/",
        "http://exam\nple.com/", "http://example.com/\0", "http://example.com/a\r\nHost:x", " http://example.com/",
        "http://example.com/ ", "http://example.com/a b", "http://example.com/\x7f", "http://example.com/\u2028",
        "http://example.com/\u202e", "http://exam\u200bple.com/", "http://exam\u00adple.com/", "http://a..b/",
        "http://.a/", "http://-a.b/", "http://a-.b/", "http://a_b.c/", "http://*.a.b/", "http://a%2eb/",
        "http://%61.b/", "http://a,b/", "http://xn--/", "http://xn--a/", "http://xn--ascii-/", "http://a.b:0/",
        "http://a.b:65536/", "http://a.b:/", "http://a.b:080/", "http://a.b:+80/", "http://a.b:8٠/",
        "http://a.b:80:80/", "http://[::1/", "http://[::1]x/", "http://[::1]:/", "http://[]/", "http://[v1.a]/",
        "http://::1/", "http://a.b//c", "http://a.b/%2e%2e//c", "http://a.b/x/..%2fsecret", "http://a.b/%2e%2e%2fsecret",
        "http://a.b/x%5C..%5csecret", "http://a.b/x//../y", "http://a.b/%00", "http://a.b/%0d%0aHost:%20x",
        "http://a.b/%", "http://a.b/%zz", "http://a.b/?%", "http://a.b/\ud800", "http://" + "a" * 64 + ".b/",
        "http://" + "a." * 130 + "b/", "http://a.b/" + "x" * 9_000,
    ],
)  # fmt: skip
def test_what_others_could_read_differently_is_refused(text: str) -> None:
    """H-NET-07, H-NET-08"""
    with pytest.raises(InputError) as caught:
        parse_url(text)
    assert caught.value.remedy
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("text", "resource"),
    [
        ("https://example.com", "example.com:443/"),
        ("http://example.com/news/", "example.com:80/news"),
        ("http://example.com:8080/a//b?c=d", "example.com:8080/a/b"),
        ("http://[::1]/*", "[::1]:80/*"),
    ],
)
def test_its_resource_is_covered_by_a_grant_of_the_host_and_of_no_other(text: str, resource: str) -> None:
    url = parse_url(text)
    assert url.resource == resource
    assert covers(Capability(Kind.NETWORK, url.everything), Kind.NETWORK, resource)
    for other in ("example.org:443/**", "example.com:444/**", "*.example.com:443/**"):
        assert not covers(Capability(Kind.NETWORK, other), Kind.NETWORK, resource)


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        ("/x", "https://example.com/x"),
        ("x", "https://example.com/a/x"),
        ("../../x", "https://example.com/x"),
        ("?q", "https://example.com/a/b?q"),
        ("#top", "https://example.com/a/b"),
        ("//example.org/y", "https://example.org/y"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
    ],
)
def test_a_reference_means_an_address_that_is_read_in_the_same_way(reference: str, meant: str) -> None:
    assert resolve(parse_url("https://example.com/a/b"), reference).text == meant


@pytest.mark.parametrize(
    "reference", ["//u@evil/", "\\\\evil/", "/\t/evil/", "//127.1/", "javascript:x", "file:///x", "//[/", "//a.b\0/"]
)
def test_a_reference_that_others_could_read_differently_is_refused(reference: str) -> None:
    """H-NET-07"""
    with pytest.raises(InputError):
        resolve(parse_url("https://example.com/a/b"), reference)


def test_what_is_asked_for_has_path_and_query() -> None:
    url = parse_url("https://example.com:8443/a?b=c")
    assert (url.target, url.origin, url.authority) == ("/a?b=c", "https://example.com:8443", "example.com:8443")
    assert url.address is None
    assert str(parse_url("http://[::1]/").address) == "::1"
    assert str(parse_url("http://10.0.0.1/").address) == "10.0.0.1"


_HOSTILE = st.text(alphabet="a.b:/@?#%[]1\\-0x２é2eF\t", max_size=24)


@given(_HOSTILE)
def test_no_other_reader_sees_another_host(rest: str) -> None:
    """H-NET-07: the standard library, which the connection's library builds on, reads the normal form as we do."""
    try:
        url = parse_url(f"http://{rest}")
    except InputError:
        return
    again = urlsplit(url.text)
    assert (again.hostname, again.port or 80, again.username) == (url.host.strip("[]"), url.port, None)
    assert parse_url(url.text) == url
    assert covers(Capability(Kind.NETWORK, url.everything), Kind.NETWORK, url.resource)


def test_an_address_is_a_value() -> None:
    assert parse_url("http://a.b/") == Url("http", "a.b", 80)


@pytest.mark.parametrize("text", ["http://a/" + "é" * 1_400, "http://a/?" + "é" * 1_400, "http://a/" + "x" * 8_190])
def test_an_address_is_as_short_in_its_normal_form(text: str) -> None:
    """H-NET-07: what is taken can be read again, escapes and all."""
    assert len(parse_url(text[:1_300]).text) <= MAX_URL_CHARS
    with pytest.raises(InputError, match="too long"):
        parse_url(text)
