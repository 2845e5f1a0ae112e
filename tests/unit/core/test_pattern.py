"""The glob matcher against an independent one, and `is_within` against all paths of a small world."""

import contextlib
import itertools
import re

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.core.paths import is_normal
from aaos.core.pattern import is_within, matches, parse_pattern, quote

# --- a reference that is written for clearness: a pattern becomes a list of alternatives, tried one after the other ---


def _reference(pattern: str, path: str) -> bool:
    names = [n for n in path.split("/") if n]
    return _names([n for n in pattern.split("/") if n], names)


def _names(pattern: list[str], names: list[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_names(pattern[1:], names[skip:]) for skip in range(len(names) + 1))
    return (
        bool(names)
        and re.fullmatch(_regex(pattern[0]), names[0], re.DOTALL) is not None
        and _names(pattern[1:], names[1:])
    )


def _regex(name: str) -> str:
    pieces = re.findall(r"\[!?[^]]+\]|.", name, re.DOTALL)
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: str) -> str:
    if len(piece) > 1:
        return "[^" + piece[2:] if piece[1] == "!" else piece
    return {"*": ".*", "?": "."}.get(piece, re.escape(piece))


_NAMES = st.lists(
    st.sampled_from(["a", "b", "c", "*", "?", "[ab]", "[!a]", "[a-c]", "[!b-c]"]), min_size=1, max_size=4
).map("".join)
PATTERNS = (
    st.lists(st.one_of(st.just("**"), _NAMES), max_size=4)
    .map(lambda names: "/" + "/".join(names))
    .filter(lambda pattern: "**/**" not in pattern and not re.search(r"[^/]\*\*|\*\*[^/]", pattern))
)
PATHS = st.lists(st.text(alphabet="abcd", min_size=1, max_size=4), max_size=4).map(lambda names: "/" + "/".join(names))

_WORLD_NAMES = ["".join(chars) for size in (1, 2) for chars in itertools.product("abx", repeat=size)]
WORLD = ["/" + "/".join(names) for depth in range(3) for names in itertools.product(_WORLD_NAMES, repeat=depth)]


@settings(max_examples=2000)
@given(PATTERNS, PATHS)
def test_it_matches_as_the_reference_does(pattern: str, path: str) -> None:
    """H-CAP-01: differential"""
    assert matches(pattern, path) == _reference(pattern, path)


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[str, str]:
    """A pattern and one that is often wider: some of its characters and names replaced."""
    child = draw(PATTERNS)
    wider = [
        draw(st.sampled_from([char, char, char, "?", "*", "[ab]", "[!x]"])) if char in "abc" else char for char in child
    ]
    names = [draw(st.sampled_from([name, name, "*", "**"])) for name in "".join(wider).split("/")[1:]]
    return child, "/" + "/".join(names)


@settings(max_examples=1000)
@given(_pairs())
def test_what_is_within_is_covered_everywhere(pair: tuple[str, str]) -> None:
    """CAP-4, H-CAP-02: soundness of the subset check"""
    child, parent = pair
    try:
        claim = is_within(child, parent)
    except InputError:
        return  # the replacements made no pattern
    escaped = [path for path in WORLD if matches(child, path) and not matches(parent, path)]
    event(f"within: {claim}, escaped: {bool(escaped)}")
    assert not claim or escaped == []


@given(PATTERNS, PATTERNS, PATTERNS)
def test_within_is_reflexive_and_transitive(one: str, two: str, three: str) -> None:
    assert is_within(one, one)
    assert is_within(one, "/**")
    assert not (is_within(one, two) and is_within(two, three)) or is_within(one, three)


@given(PATTERNS, PATHS)
def test_within_says_for_a_literal_what_matching_says(pattern: str, path: str) -> None:
    assert is_within(path, pattern) == matches(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path", "is_covered"),
    [
        ("/data/**", "/data", True),
        ("/data/**", "/data/a/b", True),
        ("/data/**", "/data-evil/x", False),
        ("/data/**", "/database", False),
        ("/data/**", "/data_foo", False),
        ("/data/*", "/data-evil", False),
        ("/data/*", "/data", False),
        ("/data/*", "/data/a", True),
        ("/data/*", "/data/.hidden", True),
        ("/data/*", "/data/a/b", False),
        ("/data/**", "/data/../etc/passwd", False),
        ("/data/**", "/data/./../x", False),
        ("/data/**", "//data//..//x", False),
        ("/data/**", "/data/a/", False),
        ("/data/**", "/data/a\0b", False),
        ("/data/*", "/data/%2e%2e", True),
        ("/data/%2e%2e/x", "/data/../x", False),
        ("/data/x", "/data/x ", False),
        ("/data/x", "/data/x.", False),
        ("/data/x", "/data/X", False),
        ("/data/caf\u00e9", "/data/cafe\u0301", False),
        ("/data/cafe\u0301", "/data/caf\u00e9", False),
        ("/data/a", "/data/\u0430", False),
        ("/data/ab", "/data/a\u200bb", False),
        ("/data/?", "/data/\u00e9", True),
        ("/data/?", "/data/e\u0301", False),
        ("/data/[a-c]", "/data/b", True),
        ("/data/[!a-c]", "/data/b", False),
        ("/data/[*]", "/data/*", True),
        ("/data/[*]", "/data/x", False),
        ("/**/x", "/x", True),
        ("/**/x", "/a/b/x", True),
        ("/a/**/b", "/a/b", True),
        ("/a/**/b", "/a/bb", False),
        ("/**", "/", True),
        ("/", "/", True),
        ("/*", "/", False),
        ("/data/**", "", False),
        ("/data/**", "data/x", False),
    ],
)
def test_what_a_pattern_covers(pattern: str, path: str, is_covered: bool) -> None:
    """H-FS-02, H-FS-03, H-CAP-01, H-CAP-02"""
    assert matches(pattern, path) is is_covered


@pytest.mark.parametrize(
    "pattern",
    [
        "", "*", "**", "data/**", "/data/", "//x", "/data/../x", "/data/./x", "/a\0b", "/a/b**", "/a/**b", "/a/***",
        "/a/**/**/b", "/[", "/[a", "/[]", "/[]a]", "/[!]", "/[!", "/[z-a]", "/[a-]", "/[-a]", "/[^a]", "/[a-b-c]",
        "/[--a]",
        "/{a,b}", "/a}", "/\\*", "/a\\", "/[.]", "/.[.]", "/" + "*/" * 17 + "x", "/" + "a/" * 64 + "*",
        "/" + "x" * 17_000,
    ],
)  # fmt: skip
def test_unclear_or_heavy_patterns_are_refused(pattern: str) -> None:
    """H-CAP-01"""
    with pytest.raises(InputError, match=r"^pattern ") as caught:
        parse_pattern(pattern)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("/data-evil/**", "/data/**"),
        ("/data/**", "/data/*"),
        ("/**", "/data/**"),
        ("/data", "/data/*"),
        ("/*/x", "/data/x"),
        ("/[a-d]", "/[a-c]"),
        ("/[!a]", "/[!ab]"),
        ("/?", "/[!a]"),
        ("/a*", "/a?"),
        ("/a?", "/a"),
        ("/**/x", "/*/x"),
        ("/caf\u00e9/**", "/cafe\u0301/**"),
    ],
)
def test_wider_patterns_are_not_within(child: str, parent: str) -> None:
    """CAP-4"""
    assert not is_within(child, parent)


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("/data/a/**", "/data/**"),
        ("/data/*.txt", "/data/*"),
        ("/data/*.txt", "/data/**"),
        ("/[ab]", "/[a-c]"),
        ("/[!a-c]", "/[!b]"),
        ("/[x-z]", "/[!a]"),
        ("/a/**/b", "/**/b"),
        ("/a?c", "/a*c"),
        ("/a*b*c", "/a*c"),
    ],
)
def test_narrower_patterns_are_within(child: str, parent: str) -> None:
    assert is_within(child, parent)


@given(st.text(alphabet="ab*?[]{}\\!-.é ", min_size=1, max_size=12))
def test_a_quoted_path_covers_itself_alone(name: str) -> None:
    assume(name not in (".", ".."))
    pattern = quote(f"/d/{name}")
    assert parse_pattern(pattern).is_literal
    assert parse_pattern(pattern).root == f"/d/{name}"
    assert matches(pattern, f"/d/{name}")


@pytest.mark.parametrize(
    ("pattern", "root", "is_literal", "is_tree"),
    [
        ("/data/**", "/data", False, True),
        ("/**", "/", False, True),
        ("/data/x", "/data/x", True, False),
        ("/data/*.txt", "/data", False, False),
        ("/data/**/x", "/data", False, False),
        ("/data/[[]1]/**", "/data/[1]", False, True),
        ("/*/**", "/", False, False),
    ],
)
def test_the_literal_root_of_a_pattern(pattern: str, root: str, is_literal: bool, is_tree: bool) -> None:
    parsed = parse_pattern(pattern)
    assert (parsed.root, parsed.is_literal, parsed.is_tree) == (root, is_literal, is_tree)


def test_a_hostile_pair_costs_a_bounded_number_of_steps() -> None:
    """H-FUZZ-10: exponential for a backtracking matcher; this finishes at once or not in a lifetime."""
    assert not matches("/" + "a*" * 16 + "b", "/" + "a" * 255)
    assert not matches("/" + "**/a/" * 16 + "b", "/a" * 2000)


@given(st.text(alphabet="/*?[]!-ab{}\\.\0", max_size=30), st.text(alphabet="/ab.*\0", max_size=20))
def test_any_text_is_a_pattern_or_refused(pattern: str, path: str) -> None:
    """H-FUZZ-10"""
    with contextlib.suppress(InputError):
        assert not matches(pattern, path) or is_normal(path)
