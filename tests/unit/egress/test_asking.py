"""What a cell may ask of a secret's host, what goes on of it, and what comes back."""

from http import HTTPStatus

import h11
import pytest

from aaos.egress.asking import Asked, Placing, answered, asked, may_ask
from aaos.egress.tunnel import RefusedError, places

ALLOWED = places(("git.example:443", "git.example:8443"), ("", ""))
SECRET = "tok-12345678"
PLACING = Placing("Authorization", f"Bearer {SECRET}", (SECRET,), ("GET /**", "POST /*/git-upload-pack"))
HOST = [(b"host", b"x")]


def request(target: str, method: str = "GET", headers: list[tuple[bytes, bytes]] | None = None) -> h11.Request:
    return h11.Request(method=method, target=target, headers=[*HOST, *(headers or [])])


def admitted(target: str, method: str = "GET", headers: list[tuple[bytes, bytes]] | None = None) -> Asked:
    return asked(request(target, method, headers), PLACING, ALLOWED)


def refused(target: str, method: str = "GET") -> HTTPStatus:
    with pytest.raises(RefusedError) as caught:
        admitted(target, method)
    return caught.value.status


@pytest.mark.parametrize(
    ("target", "authority", "goes_on"),
    [
        ("http://git.example/a/b?c=d", "git.example:443", "/a/b?c=d"),
        ("HTTP://GIT.example:8443", "git.example:8443", "/"),
        ("http://git.example?q=http://other/", "git.example:443", "/?q=http://other/"),
        ("http://git.example:443/a.b/..c/%20", "git.example:443", "/a.b/..c/%20"),
    ],
)
def test_plain_http_goes_on_to_the_place_that_is_meant(target: str, authority: str, goes_on: str) -> None:
    """TOL-9"""
    found = admitted(target)
    assert (found.place.authority, found.target) == (authority, goes_on)


@pytest.mark.parametrize(
    "target",
    [
        "/a", "*", "git.example:443", "https://git.example/", "ftp://git.example/", "http://", "http:///a",
        "http://u:p@git.example/", "http://git.example:/", "http://git.example:0443/", "http://git.example:99999/",
        "http://git.example/#f", "http://git.example\\@evil/", "http://git.example/a\\b", "http://git.example/<",
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(target: str) -> None:
    """H-NET-03, H-NET-07"""
    assert refused(target) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("path", ["/..", "/a/../b", "/./a", "//a", "/a//b", "/%2e%2e/a", "/a%2Fb", "/%5c", "/%2500",
                                  "/..;/a", "/a/.", "/%00"])  # fmt: skip
def test_no_path_means_something_else_to_the_server(path: str) -> None:
    """TOL-9: it would pass for another than it is."""
    assert refused(f"http://git.example{path}") == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("target", ["http://evil.example/", "http://git.example:80/", "http://git.example.:443/",
                                    "http://xgit.example/", "http://git.example:8444/"])  # fmt: skip
def test_the_secret_goes_to_no_other_place(target: str) -> None:
    """TOL-9, H-SEC-06"""
    assert refused(target) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "http://git.example/"),
        ("POST", "http://git.example/a/b/git-upload-pack"),
        ("POST", "http://git.example/a/git-receive-pack"),
        ("DELETE", "http://git.example/"),
        ("get", "http://git.example/"),
        ("CONNECT", "git.example:443"),
        ("OPTIONS", "http://git.example/a"),
    ],
)
def test_it_goes_with_nothing_but_what_is_named(method: str, target: str) -> None:
    """TOL-9: a reader does not push; and no tunnel is dug beside it."""
    assert refused(target, method) == HTTPStatus.FORBIDDEN


def test_stars_are_within_a_segment_and_across_them() -> None:
    assert may_ask(["GET /*/x"], "GET", "/a/x")
    assert not may_ask(["GET /*/x"], "GET", "/a/b/x")
    assert may_ask(["GET /**/x"], "GET", "/a/b/x")
    assert not may_ask(["GET /a.b"], "GET", "/aXb"), "a dot is a dot"


def test_headers_of_a_cell_go_on_by_name_and_ours_is_not_its_to_set() -> None:
    """TOL-9, H-SEC-06: another login, a method in disguise, a part of the answer that cuts through the secret."""
    own = [
        (b"Authorization", b"mine"),
        (b"Cookie", b"c"),
        (b"X-HTTP-Method-Override", b"DELETE"),
        (b"Range", b"bytes=9-"),
    ]
    kept = [
        (b"Accept", b"a"),
        (b"Git-Protocol", b"version=2"),
        (b"Accept-Encoding", b"gzip"),
        (b"Content-Length", b"0"),
    ]
    assert list(admitted("http://git.example/", headers=[*own, *kept]).headers) == [
        (b"host", b"git.example"),
        (b"accept", b"a"),
        (b"git-protocol", b"version=2"),
        (b"content-length", b"0"),
        (b"accept-encoding", b"identity"),
        (b"connection", b"close"),
        (b"authorization", f"Bearer {SECRET}".encode()),
    ]
    assert admitted("http://git.example:8443/").headers[0] == (b"host", b"git.example:8443")


def test_a_flood_of_headers_is_refused() -> None:
    with pytest.raises(RefusedError):
        admitted("http://git.example/", headers=[(b"accept", b"a")] * 129)


def test_headers_of_an_answer_come_back_by_name_without_the_secret() -> None:
    """TOL-9, H-SEC-03"""
    place = ALLOWED["git.example:443"]
    said = [(b"Content-Type", SECRET.encode()), (b"Set-Cookie", SECRET.encode()), (b"X-Echo", b"y"),
            (b"Location", f"https://git.example/a?{SECRET}".encode())]  # fmt: skip
    answer = answered(h11.Response(status_code=301, headers=said), PLACING, place)
    assert list(answer.headers) == [
        (b"content-type", b"*" * len(SECRET)),
        (b"location", b"http://git.example/a?" + b"*" * len(SECRET)),
        (b"connection", b"close"),
    ]


@pytest.mark.parametrize(
    "where", ["https://evil.example/", "https://git.example.evil/", "https://git.example:8443/", "/a"]
)
def test_a_redirect_elsewhere_is_left_as_it_is(where: str) -> None:
    answer = answered(h11.Response(status_code=302, headers=[("Location", where)]), PLACING, ALLOWED["git.example:443"])
    assert next(iter(answer.headers)) == (b"location", where.encode())


def test_an_answer_that_hides_what_it_says_does_not_come_back() -> None:
    """TOL-9: the secret could be in it, packed."""
    for coding in (b"gzip", b"br", b"identity, gzip"):
        head = h11.Response(status_code=200, headers=[(b"content-encoding", coding)])
        with pytest.raises(RefusedError, match="compresses"):
            answered(head, PLACING, ALLOWED["git.example:443"])


def test_nothing_shows_the_secret() -> None:
    """H-SEC-04"""
    assert SECRET not in repr(PLACING)
    assert SECRET not in repr(admitted("http://git.example/"))
