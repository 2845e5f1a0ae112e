"""What the operator named becomes grants, found with the operator's own rights: CAP-0."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.core.capability import Capability, Kind
from aaos.core.envelope import Submitter
from aaos.core.errors import AaosError, InputError
from aaos.core.ids import Gid, Uid
from aaos.daemon.grants import (
    Paths,
    connect_capability,
    granted,
    host_capability,
    page_capability,
    tool_capabilities,
)
from aaos.tools.catalog import CATALOG

SOMEBODY = Submitter(Uid(54321), Gid(54321))


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that everybody can reach, with a file, a directory and a link in it."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        (place / "dir").mkdir(mode=0o755)
        (place / "file").write_text("x")
        (place / "file").chmod(0o644)
        (place / "link").symlink_to(place / "file")
        yield place


def paths(home: Path) -> Paths:
    return Paths(SOMEBODY, cwd=str(home))


def test_a_file_is_granted_exactly_and_a_directory_as_a_tree(home: Path) -> None:
    found = paths(home)
    assert found.capability(Kind.FILE_READ, "file") == Capability(Kind.FILE_READ, f"{home}/file")
    for flag in ("dir", "dir/", f"{home}/dir/**"):
        assert found.capability(Kind.FILE_WRITE, flag) == Capability(Kind.FILE_WRITE, f"{home}/dir/**")


def test_a_link_means_what_it_leads_to(home: Path) -> None:
    """H-FS-04: the envelope and its echo name the real place."""
    assert paths(home).capability(Kind.FILE_READ, "link").resource == f"{home}/file"
    assert paths(home).find("link").path == f"{home}/file"


def test_a_file_that_is_to_be_written_need_not_exist(home: Path) -> None:
    assert granted(Kind.FILE_WRITE, paths(home).find("dir/new.md")) == Capability(Kind.FILE_WRITE, f"{home}/dir/new.md")


@pytest.mark.parametrize(
    "flag", ["missing", "no/such/file", "file/**", "", "~/x", "../x", "file:///etc/passwd", "a\0b"]
)
def test_what_cannot_be_read_is_refused_by_name(home: Path, flag: str) -> None:
    """H-FS-12"""
    with pytest.raises(AaosError) as caught:
        paths(home).capability(Kind.FILE_READ, flag)
    assert caught.value.remedy


def test_a_path_is_looked_at_with_the_submitters_rights(home: Path) -> None:
    """H-API-12: the daemon is no oracle for what is in a directory that the submitter may not enter."""
    secret = home / "secret"
    secret.mkdir(mode=0o700)
    (secret / "there").write_text("x")
    said = []
    for name in ("there", "not-there"):
        with pytest.raises(AaosError) as caught:
            paths(home).capability(Kind.FILE_READ, f"{secret}/{name}")
        said.append(caught.value.message.replace(name, "NAME"))
    assert said[0] == said[1]


def test_a_pattern_keeps_its_wildcards_below_the_real_directory(home: Path) -> None:
    (home / "way").symlink_to(home / "dir")
    assert paths(home).capability(Kind.FILE_READ, "way/*.txt").resource == f"{home}/dir/*.txt"


@pytest.mark.parametrize("flag", ["dir/[z-a]", "dir/[", "dir/x**y"])
def test_a_pattern_outside_the_grammar_is_refused(home: Path, flag: str) -> None:
    """H-CAP-01"""
    with pytest.raises(InputError):
        paths(home).capability(Kind.FILE_READ, flag)


def test_only_the_submitters_own_private_files_are_read_as_owner(home: Path) -> None:
    """CAP-0"""
    mine, roots = home / "mine", home / "roots"
    for path in (mine, roots):
        path.write_text("x")
        path.chmod(0o600)
    os.chown(mine, SOMEBODY.uid, SOMEBODY.gid)
    assert paths(home).capability(Kind.FILE_READ, "mine").as_owner
    assert not paths(home).capability(Kind.FILE_READ, "roots").as_owner
    assert not paths(home).capability(Kind.FILE_READ, "file").as_owner
    assert not paths(home).capability(Kind.FILE_WRITE, "mine").as_owner


def test_a_private_directory_of_root_is_not_opened_up_as_a_whole(home: Path) -> None:
    (home / "dir").chmod(0o700)
    root = Paths(Submitter(Uid(0), Gid(0)), cwd=str(home))
    assert not root.capability(Kind.FILE_READ, "dir").as_owner


@pytest.mark.parametrize(
    ("flag", "resource"),
    [
        ("a.example", "a.example:443/**"),
        ("A.example:80", "a.example:80/**"),
        ("a.example:80/news/**", "a.example:80/news/**"),
        ("*.example", "*.example:443/**"),
        ("[::1]:8080", "[::1]:8080/**"),
    ],
)
def test_a_host_is_granted_for_reading(flag: str, resource: str) -> None:
    """CAP-0"""
    granted = host_capability(flag)
    assert (granted.kind, granted.resource) == (Kind.NETWORK, resource)
    assert granted.constraints.methods == frozenset({"get", "head"})


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("https://a.example/x", "--net a.example:443/**"),
        ("http://127.1/", "write 127.0.0.1"),
        ("u@a.example", "--net example.com"),
        ("a.example:0", "--net example.com"),
        ("", "--net example.com"),
        ("0.0.0.0:8000/**", "127.0.0.1"),
        ("[::]:80/x", "[::1]"),
        ("224.0.0.1", "name the host"),
        ("255.255.255.255:80", "name the host"),
    ],
)
def test_a_host_that_cannot_be_granted_says_what_can(flag: str, said: str) -> None:
    """H-NET-07"""
    with pytest.raises(InputError) as caught:
        host_capability(flag)
    assert said in caught.value.remedy


def test_a_page_is_granted_with_its_host_and_port() -> None:
    assert page_capability("http://a.example/news?q").resource == "a.example:80/**"


def test_an_unknown_tool_gets_the_nearest_name() -> None:
    """H-CAP-11"""
    assert [one.text() for one in tool_capabilities(["grep"], CATALOG)] == ["tool: grep"]
    with pytest.raises(InputError) as caught:
        tool_capabilities(["gerp"], CATALOG)
    assert "grep" in caught.value.remedy


def test_connections_are_granted_for_programs_alone() -> None:
    """CAP-0, ISO-12"""
    granted = connect_capability("A.example:8443")
    assert (granted.kind, granted.resource) == (Kind.NETWORK, "a.example:8443/**")
    assert granted.constraints.methods == frozenset({"connect"})


@pytest.mark.parametrize("flag", ["a.example/x", "https://a.example", "a.example:0", "", "u@a.example", "a.example/**"])
def test_connections_have_no_paths(flag: str) -> None:
    """ISO-12, H-NET-07"""
    with pytest.raises(InputError) as caught:
        connect_capability(flag)
    assert "--connect example.com" in caught.value.remedy
