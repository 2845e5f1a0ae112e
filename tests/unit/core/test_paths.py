"""A path has one meaning or is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.core.paths import is_control_path, is_normal, normalise


@pytest.mark.parametrize(
    ("path", "meaning"),
    [
        ("/data/", "/data"),
        ("/data//x/./y/", "/data/x/y"),
        ("/", "/"),
        ("//", "/"),
        (".", "/home/op"),
        ("./", "/home/op"),
        ("notes.txt", "/home/op/notes.txt"),
        ("./~odd", "/home/op/~odd"),
        ("/data/x ", "/data/x "),
        ("/data/x.", "/data/x."),
        ("/data/%2e%2e/x", "/data/%2e%2e/x"),
        ("/data/...", "/data/..."),
        ("/a/$HOME", "/a/$HOME"),
        ("/a\n-b", "/a\n-b"),
    ],
)
def test_a_path_has_one_documented_meaning(path: str, meaning: str) -> None:
    """H-FS-12, H-FS-03"""
    assert normalise(path, "/home/op") == meaning


@pytest.mark.parametrize(
    "path",
    [
        "", "~", "~/x", "~root/x", "$HOME/x", "file:///etc/passwd", "http://x/y", "a\0b", "/data/../etc/passwd", "..",
        "../x",
        "/data/..", "/\ud800", "/" + "x" * 256, "/x" * 2048,
    ],
)  # fmt: skip
def test_what_could_mean_two_things_is_refused(path: str) -> None:
    """H-FS-12, H-FS-03"""
    with pytest.raises(InputError) as caught:
        normalise(path, "/home/op")
    assert caught.value.remedy


def test_a_relative_path_needs_a_normal_working_directory() -> None:
    with pytest.raises(InputError, match="working directory"):
        normalise("x", "relative")
    assert normalise("x", "/") == "/x"


@given(st.text(alphabet="/.a ~\u00e9", min_size=1, max_size=20))
def test_a_normalised_path_is_normal_and_stays_as_it_is(path: str) -> None:
    try:
        meaning = normalise(path, "/cwd")
    except InputError:
        return
    assert is_normal(meaning)
    assert normalise(meaning, "/other") == meaning


@pytest.mark.parametrize(
    "path", ["", "x", "./x", "/x/", "//x", "/x//y", "/.", "/..", "/x/.", "/x/..", "/./x", "/../x", "/x/../y", "/a\0"]
)
def test_other_spellings_are_not_normal(path: str) -> None:
    assert not is_normal(path)


@pytest.mark.parametrize("path", ["/", "/x", "/.x", "/x/.y", "/...", "/x/..y", "/x/y..", "/~", "/x y"])
def test_a_dot_in_a_name_is_normal(path: str) -> None:
    assert is_normal(path)


@pytest.mark.parametrize(
    "path",
    ["/w/.git", "/w/.git/config", "/w/a/.GIT/hooks/x", "/w/.gitmodules", "/w/.gitattributes", "/w/.hg/hgrc",
    "/w/.g\u200cit/x",
     "/w/\uff0egit/config", "/w/.git./x", "/w/.git /x"],
)  # fmt: skip
def test_control_files_are_known_at_any_depth_and_in_any_spelling(path: str) -> None:
    """H-FS-15"""
    assert is_control_path(path)


@pytest.mark.parametrize("path", ["/w/git", "/w/.gitignore", "/w/x.git", "/w/.github/x", "/", "/w/..."])
def test_other_files_are_not_control_files(path: str) -> None:
    assert not is_control_path(path)
