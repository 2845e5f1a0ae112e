"""Capabilities parse to one type in every spelling, and narrowing never widens."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.core.capability import (
    Capability,
    Constraints,
    Kind,
    Rate,
    covers,
    is_within,
    narrow,
    narrow_from,
    parse_capabilities,
    path_resource,
)
from aaos.core.errors import DeniedError, InputError
from tests.unit.core.test_constraint import CONSTRAINTS

NOW_S = 1_760_000_000.0


def _one(document: object) -> Capability:
    (found,) = parse_capabilities(document, now_s=NOW_S)
    return found


# --- spellings ----------------------------------------------------------------------------------------------------


def test_the_uri_and_the_short_form_are_one_type() -> None:
    """CAP-2"""
    uri = "capability://http/api.example.com/*?action=get&rate=100/min&expires=2h&max=50"
    short = {"network": "api.example.com/*", "action": "get", "rate": "100/min", "expires": "2h", "max": 50}
    limits = Constraints(NOW_S + 7200, None, 50, Rate(100, 60), None, frozenset({"get"}), None)
    assert _one(uri) == _one(short) == Capability(Kind.NETWORK, "api.example.com:443/*", limits)


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        ({"file_read": "/data/*"}, ["file_read: /data/*"]),
        ({"network": "api.example.com"}, ["network: api.example.com:443/**"]),
        ({"network": "API.Example.com:8443/v1/**"}, ["network: api.example.com:8443/v1/**"]),
        ({"network": "[::1]:80"}, ["network: [::1]:80/**"]),
        ({"tool": "web_fetch"}, ["tool: web_fetch"]),
        ({"tool": "mcp.files.*"}, ["tool: mcp.files.*"]),
        ({"spawn": ["fetcher", "writer"]}, ["spawn: fetcher", "spawn: writer"]),
        ({"file_read": "/a/**", "tool": ["grep", "glob"]}, ["file_read: /a/**", "tool: grep", "tool: glob"]),
        (["file_read: /a b: c", {"tool": "echo"}], ["file_read: /a b: c", "tool: echo"]),
        ("capability://file_read/a%3Fb%25", ["file_read: /a?b%"]),
        (["tool: grep", "tool: grep"], ["tool: grep"]),
        ([], []),
        ({"file_read": "/a", "as_owner": True}, ["capability://file_read/a?as_owner=true"]),
    ],
)
def test_every_spelling_is_read(document: object, texts: list[str]) -> None:
    """CAP-2"""
    assert [found.text() for found in parse_capabilities(document, now_s=NOW_S)] == texts


_NAMES = st.text(alphabet="ab. é%?#&=:'\"*\n~", min_size=1, max_size=6).filter(
    lambda n: n not in (".", "..", "**") and "**" not in n
)
_FILES = st.builds(
    lambda names, tree: "/" + "/".join(names) + ("/**" if tree else ""),
    st.lists(_NAMES, min_size=1, max_size=3),
    st.booleans(),
)
FILE_CAPABILITIES = st.builds(
    Capability,
    st.sampled_from([Kind.FILE_READ, Kind.FILE_WRITE]),
    _FILES,
    CONSTRAINTS.map(lambda c: Constraints(c.expires_at_s, c.timeout_s, c.max_calls, c.rate, c.max_bytes)),
    st.booleans(),
)
TOOL_CAPABILITIES = st.builds(
    lambda name, c: Capability(
        Kind.TOOL, name, Constraints(c.expires_at_s, c.timeout_s, c.max_calls, c.rate, None, None, c.arguments)
    ),
    st.sampled_from(["grep", "file_read", "mcp.files.*"]),
    CONSTRAINTS,
)
NETWORK_CAPABILITIES = st.builds(
    lambda host, c: Capability(
        Kind.NETWORK, host, Constraints(c.expires_at_s, c.timeout_s, c.max_calls, c.rate, c.max_bytes, c.methods)
    ),
    st.sampled_from(["a.example:443/**", "*.example:443/v1/*", "[::1]:80/x"]),
    CONSTRAINTS,
)


@settings(max_examples=300)
@given(st.one_of(FILE_CAPABILITIES, TOOL_CAPABILITIES, NETWORK_CAPABILITIES))
def test_the_text_of_a_capability_parses_back_to_itself(capability: Capability) -> None:
    """CAP-2"""
    assert parse_capabilities(capability.text(), now_s=1.0) == (capability,)


@pytest.mark.parametrize(
    ("document", "remedy"),
    [
        ({"file_raed": "/a"}, "did you mean 'file_read'?"),
        ({"capabilites": "/a"}, "known: "),
        ({"file_read": "/a", "max_invocation": 3}, "did you mean 'max'?"),
        ({"file_read": "/a", "expire": "2h"}, "did you mean 'expires'?"),
        ({"file_read": "/a", "action": "get"}, "known: "),
        ({"tool": "grep", "as_owner": True}, "known: "),
        ({"spawn": "writer", "bytes": 5}, "known: "),
        ("fileread: /a", "did you mean 'file_read'?"),
        ("file_read:/a", "write it like"),
        ("capability://file_raed/a", "did you mean 'file_read'?"),
        ("capability://file_read", "write it like"),
        ("capability://http/a.b?rat=5/s", "did you mean 'rate'?"),
        ("capability://http/a.b?max=5&max=6", "write each key once"),
        ("capability://http/a.b?max", "write each key once"),
        ("capability://http/a.b?", "write each key once"),
        ("capability://file_read/a%2fb", "write %25"),
        ("capability://file_read/a%00b", "write %25"),
        ("capability://file_read/a%zz", "write %25"),
        ("capability://file_read/%ff", "encode"),
        ("capability://file_read/%2e%2e/etc", "write it like"),
        ("capability://file_read/a#b", "write %23"),
        ("capability://file_read/a?as_owner=yes", "write as_owner: true"),
        ({"file_read": "/a", "as_owner": 1}, "write as_owner: true"),
        ({"file_read": "/a", "tool": "grep", "max": 5}, "write one kind per entry"),
        ({"max": 5}, "write one of: file_read, file_write, network, tool, spawn"),
        ({}, "write one of"),
        ({"file_read": []}, "write it like"),
        ({"file_read": None}, "write it like"),
        ({"file_read": 5}, "write it like"),
        ({"file_read": [5]}, "write it like"),
        ({5: "/a"}, "known: "),
        (5, "write it like"),
        (None, "write it like"),
        ([["file_read: /a"]], "write it like"),
        ("x" * 20_000, "at most"),
        ({"tool": [f"t{i}" for i in range(257)]}, "write it like"),
        ([{"tool": [f"t{i}" for i in range(200)]}, {"spawn": [f"t{i}" for i in range(200)]}], "grant a directory"),
    ],
)
def test_what_is_unknown_is_refused_with_the_nearest_known(document: object, remedy: str) -> None:
    """CAP-2, H-FUZZ-05"""
    with pytest.raises(InputError) as caught:
        parse_capabilities(document, now_s=NOW_S)
    assert caught.value.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        (Kind.FILE_READ, "data"), (Kind.FILE_READ, "/data/"), (Kind.FILE_READ, "/a/../b"), (Kind.FILE_WRITE, ""),
        (Kind.TOOL, "*"),
        (Kind.TOOL, ""), (Kind.TOOL, "Grep"), (Kind.TOOL, "gr*"), (Kind.TOOL, "a..b"), (Kind.TOOL, "grep\n"),
        (Kind.SPAWN, "*"),
        (Kind.SPAWN, "../x"), (Kind.NETWORK, "*:443/**"), (Kind.NETWORK, "*.*.a:443/**"), (Kind.NETWORK, "a.b:443"),
        (Kind.NETWORK, "a.b/**"), (Kind.NETWORK, "a.b:0/**"), (Kind.NETWORK, "a.b:65536/**"),
        (Kind.NETWORK, "-a.b:443/**"),
        (Kind.NETWORK, "a..b:443/**"), (Kind.NETWORK, "u@a.b:443/**"), (Kind.NETWORK, "A.b:443/**"),
        (Kind.NETWORK, "a.b.:443/**"), (Kind.NETWORK, "*.0.0.1:443/**"), (Kind.NETWORK, "127.1:443/**"),
        (Kind.NETWORK, "2130706433:443/**"), (Kind.NETWORK, "0177.0.0.1:443/**"), (Kind.NETWORK, "1.2.3.256:443/**"),
        (Kind.NETWORK, "[::01]:443/**"), (Kind.NETWORK, "\u212aa.b:443/**"), (Kind.NETWORK, "a.b:443/../x"),
    ],
)  # fmt: skip
def test_a_capability_with_a_wrong_resource_cannot_be_made(kind: Kind, resource: str) -> None:
    """H-CAP-01, H-CAP-11"""
    with pytest.raises(InputError) as caught:
        Capability(kind, resource)
    assert caught.value.remedy


def test_a_look_alike_host_does_not_become_the_real_one() -> None:
    """H-CAP-02: the Kelvin sign is 'k' in lower case"""
    with pytest.raises(InputError):
        parse_capabilities({"network": "ban\u212a.example"}, now_s=NOW_S)


# --- covering -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "resource", "is_covered"),
    [
        ("file_read: /data/**", Kind.FILE_READ, "/data/x", True),
        ("file_read: /data/**", Kind.FILE_WRITE, "/data/x", False),
        ("file_read: /data/**", Kind.FILE_READ, "/data-evil/x", False),
        ("file_read: /data/**", Kind.FILE_READ, "/data/../etc/passwd", False),
        ("file_read: /data/x", Kind.FILE_READ, "/data/x/", False),
        ("tool: grep", Kind.TOOL, "grep", True),
        ("tool: grep", Kind.TOOL, "grep2", False),
        ("tool: grep", Kind.TOOL, "Grep", False),
        ("tool: mcp.files.*", Kind.TOOL, "mcp.files.read", True),
        ("tool: mcp.files.*", Kind.TOOL, "mcp.files2.read", False),
        ("tool: mcp.files.*", Kind.TOOL, "mcp.files.", False),
        ("tool: mcp.files.*", Kind.TOOL, "mcp.files.a.b", False),
        ("tool: mcp.files.*", Kind.TOOL, "mcp.files.*", False),
        ("spawn: writer", Kind.SPAWN, "writer", True),
        ("spawn: writer", Kind.SPAWN, "writer2", False),
        ("network: a.example", Kind.NETWORK, "a.example:443/any/path", True),
        ("network: a.example", Kind.NETWORK, "a.example:443/", True),
        ("network: a.example", Kind.NETWORK, "a.example:80/", False),
        ("network: a.example", Kind.NETWORK, "b.a.example:443/", False),
        ("network: a.example", Kind.NETWORK, "a.example.evil:443/", False),
        ("network: *.example", Kind.NETWORK, "a.example:443/", True),
        ("network: *.example", Kind.NETWORK, "a.b.example:443/", False),
        ("network: *.example", Kind.NETWORK, "example:443/", False),
        ("network: *.example", Kind.NETWORK, ".example:443/", False),
        ("network: *.example", Kind.NETWORK, "evil-example:443/", False),
        ("network: a.example/v1/*", Kind.NETWORK, "a.example:443/v1/x", True),
        ("network: a.example/v1/*", Kind.NETWORK, "a.example:443/v1/../x", False),
        ("network: a.example/v1/*", Kind.NETWORK, "a.example:443", False),
        ("network: 127.0.0.1:8000", Kind.NETWORK, "127.0.0.1:8000/x", True),
        ("network: 10.0.0.255:80/**", Kind.NETWORK, "10.0.0.255:80/", True),
    ],
)
def test_what_a_capability_covers(text: str, kind: Kind, resource: str, is_covered: bool) -> None:
    """CAP-1, H-FS-02, H-FS-03, H-CAP-02"""
    assert covers(_one(text), kind, resource) is is_covered


@pytest.mark.parametrize(
    ("document", "is_plain"),
    [
        ("file_read: /data/**", True),
        ("file_write: /data/**", True),
        ("file_read: /**", True),
        ("file_read: /data/x", False),
        ("file_read: /data/*", False),
        ("file_read: /d*/**", False),
        ("file_read: /a/**/b", False),
        ("capability://file_read/data/**?max=5", False),
        ("tool: grep", False),
    ],
)
def test_only_a_whole_tree_without_condition_is_a_plain_root(document: str, is_plain: bool) -> None:
    """BRK-5"""
    assert _one(document).is_plain_root is is_plain


@pytest.mark.parametrize(
    ("path", "is_dir", "resource"),
    [
        ("/a/b", False, "/a/b"),
        ("/a/b", True, "/a/b/**"),
        ("/", True, "/**"),
        ("/a[1]*", False, "/a[[]1][*]"),
        ("/{x}", True, "/[{]x[}]/**"),
    ],
)
def test_the_resource_of_a_literal_path(path: str, is_dir: bool, resource: str) -> None:
    capability = Capability(Kind.FILE_READ, path_resource(path, is_dir=is_dir))
    assert capability.resource == resource
    assert capability.root == path
    assert capability.is_plain_root is is_dir
    assert capability.is_exact is not is_dir


def test_other_kinds_have_no_root() -> None:
    assert (_one("tool: grep").root, _one("tool: grep").is_exact) == ("", False)


# --- narrowing ----------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.lists(st.one_of(FILE_CAPABILITIES, TOOL_CAPABILITIES), min_size=2, max_size=5))
def test_a_chain_of_narrowings_only_ever_loses(chain: list[Capability]) -> None:
    """CAP-4, H-CAP-04: monotone over random chains"""

    def step(held: Capability, wanted: Capability) -> Capability:
        try:
            met = narrow([held], wanted)
        except DeniedError:
            return held
        assert is_within(met, held)
        assert is_within(met, wanted)
        return met

    assert is_within(functools.reduce(step, chain), chain[0])


_HELD = Capability(Kind.FILE_READ, "/w/**")
_CHAIN_LINKS = st.builds(
    lambda resource, c, owner: Capability(
        Kind.FILE_READ, resource, Constraints(c.expires_at_s, c.timeout_s, c.max_calls, c.rate, c.max_bytes), owner
    ),
    st.sampled_from(["/w/**", "/w/a/**", "/w/a/*", "/w/a/x", "/w/*/x", "/w", "/w-evil/**", "/**"]),
    CONSTRAINTS,
    st.booleans(),
)


@settings(max_examples=500)
@given(
    st.lists(_CHAIN_LINKS, min_size=1, max_size=6),
    st.sampled_from(["/w", "/w/a", "/w/a/x", "/w/b/x", "/w-evil/x", "/x", "/"]),
)
def test_no_chain_reaches_a_path_that_its_first_link_did_not(chain: list[Capability], path: str) -> None:
    """CAP-4, H-CAP-04"""
    held = _HELD
    for wanted in chain:
        try:
            held = narrow([held], wanted)
        except DeniedError:
            continue
    assert is_within(held, _HELD)
    assert not covers(held, Kind.FILE_READ, path) or path == "/w" or path.startswith("/w/")


@pytest.mark.parametrize(
    ("parent", "wanted"),
    [
        ("file_read: /data/**", "file_read: /data-evil/**"),
        ("file_read: /data/**", "file_read: /**"),
        ("file_read: /data/*", "file_read: /data/**"),
        ("file_read: /data/**", "file_write: /data/x"),
        ("file_read: /data/caf\u00e9/**", "file_read: /data/cafe\u0301/x"),
        ("file_read: /data/x", "file_read: /data/X"),
        ("tool: grep", "tool: glob"),
        ("tool: mcp.files.*", "tool: mcp.web.fetch"),
        ("tool: mcp.files.read", "tool: mcp.files.*"),
        ("spawn: writer", "spawn: fetcher"),
        ("network: a.example", "network: b.example"),
        ("network: *.example", "network: a.b.example"),
        ("network: a.example", "network: *.example"),
        ("network: a.example/v1/**", "network: a.example"),
        ("network: a.example", "network: a.example:80"),
    ],
)
def test_what_is_not_inside_is_denied(parent: str, wanted: str) -> None:
    """CAP-4"""
    assert not is_within(_one(wanted), _one(parent))
    with pytest.raises(DeniedError, match="is not granted") as caught:
        narrow([_one(parent)], _one(wanted))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("parent", "wanted"),
    [
        ("capability://file_read/d/**?max=5", "file_read: /d/x"),
        ("capability://file_read/d/**?max=5", "capability://file_read/d/x?max=6"),
        ("capability://file_read/d/**?rate=5/min", "capability://file_read/d/x?rate=5/s"),
        ("capability://file_read/d/**?expires_at=100", "capability://file_read/d/x?expires_at=101"),
        ("capability://http/a.b/**?action=get", "network: a.b"),
        ("capability://tool/conv?arg.format=json", "tool: conv"),
        ("file_read: /d/**", "capability://file_read/d/**?as_owner=true"),
    ],
)
def test_looser_limits_are_not_within_and_are_tightened(parent: str, wanted: str) -> None:
    """CAP-4, H-CAP-04: an absent limit inherits the parent's"""
    assert not is_within(_one(wanted), _one(parent))
    met = narrow([_one(parent)], _one(wanted))
    assert is_within(met, _one(parent))
    assert is_within(met, _one(wanted))


def test_the_parent_that_leaves_the_wish_whole_is_taken() -> None:
    parents = (_one("capability://file_read/d/**?max=5"), _one("file_read: /d/**"))
    assert narrow_from(parents, _one("file_read: /d/x")) == (1, _one("file_read: /d/x"))
    assert narrow_from(parents[:1], _one("file_read: /d/x")) == (0, _one("capability://file_read/d/x?max=5"))


@pytest.mark.parametrize(
    ("wanted", "remedy"),
    [
        ("file_read: /d/a b", "grant it with: --read '/d/a b'"),
        ("file_write: /d/x", "grant it with: --write /d/x"),
        ("file_write: /d/[[]x]/**", "grant it with: --write '/d/[x]'"),
        ("file_read: /d/*.txt", "grant it with: --read '/d/*.txt'"),
        ("tool: grep", "grant it with: --tool grep"),
        ("network: a.example/v1/*", "grant it with: --net 'a.example:443/v1/*'"),
        ("spawn: writer", "a role must grant spawn: writer"),
    ],
)
def test_a_refusal_names_the_flag_that_would_grant_it(wanted: str, remedy: str) -> None:
    """AUD-4"""
    with pytest.raises(DeniedError) as caught:
        narrow([], _one(wanted))
    assert caught.value.remedy == remedy


def test_zero_by_default() -> None:
    """CAP-1"""
    with pytest.raises(DeniedError):
        narrow([], _one("file_read: /"))
