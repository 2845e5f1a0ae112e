"""From words to a checked call (CAP-1, H-CAP-12, H-LLM-04)."""

from pathlib import Path

import pytest

from aaos.core.capability import Capability, Kind
from aaos.core.constraint import Constraints
from aaos.core.errors import DeniedError, InputError, LimitError, ToolError
from aaos.tools import admit
from aaos.tools.catalog import CATALOG
from tests.unit.tools.scene import AGENT, Scene, broker
from worker.abi import Json


def charge(scene: Scene, tool: str, **args: Json) -> admit.Admitted:
    budgeted = admit.budgeted_kinds(scene.tokens, AGENT)
    charger = admit.Charger(scene.tokens, AGENT, scene.caller.roots, broker(), budgeted)
    return charger.charge(CATALOG[tool], admit.parse(CATALOG[tool], args))


@pytest.mark.parametrize(
    "name", ["file_reed", "File_Read", "FILE_READ", "file_read ", "", "x" * 100_000, "file_read\n"]
)
def test_an_unknown_tool_is_denied_with_the_nearest_name(name: str) -> None:
    """H-LLM-05, H-CAP-11"""
    with pytest.raises(DeniedError) as error:
        admit.find_tool(CATALOG, name)
    assert len(error.value.message) < 200
    assert error.value.remedy


def test_defaults_are_filled_in_and_paths_are_normal() -> None:
    args = admit.parse(CATALOG["file_read"], {"path": "//data/./x/"})
    assert args["path"] == "/data/x"
    assert args["limit"] == 5_000
    many = admit.parse(CATALOG["file_read_many"], {"paths": ["/a//b", "/c"]})
    assert many["paths"] == ["/a/b", "/c"]
    assert admit.paths_of(CATALOG["file_read_many"], many) == ("/a/b", "/c")


@pytest.mark.parametrize(
    "path", ["data/x", "./x", "~/x", "$HOME/x", "file:///etc/passwd", "/a/../b", "/a\0b", "/" + "a" * 256]
)
def test_a_path_has_one_meaning_or_none(path: str) -> None:
    """H-FS-03, H-FS-12"""
    for tool, args in (("file_read", {"path": path}), ("file_read_many", {"paths": ["/ok", path]})):
        with pytest.raises(InputError):
            admit.parse(CATALOG[tool], args)


def test_a_flood_of_arguments_is_refused_before_it_is_looked_through() -> None:
    """H-LLM-04, H-BRK-09"""
    with pytest.raises(InputError, match="100000 keys are too many"):
        admit.parse(CATALOG["file_read"], {f"k{n}": 1 for n in range(100_000)})


def test_a_percent_sign_is_a_percent_sign() -> None:
    """H-FS-03"""
    assert admit.parse(CATALOG["file_read"], {"path": "/data/%2e%2e/x"})["path"] == "/data/%2e%2e/x"


def test_equal_calls_have_equal_digests() -> None:
    one, other = admit.canonical({"a": 1, "b": "ä"}), admit.canonical({"b": "ä", "a": 1})
    assert one == other == '{"a":1,"b":"ä"}'
    assert admit.digest("t", one) != admit.digest("t", admit.canonical({"a": True, "b": "ä"}))
    assert admit.digest("t", one) != admit.digest("u", one)


def test_tool_and_every_path_are_charged(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    admitted = charge(scene, "file_read_many", paths=[f"{tmp_path}/a", f"{tmp_path}/b"])
    assert [c.capability.kind for c in admitted.charges] == [Kind.TOOL, Kind.FILE_READ, Kind.FILE_READ]
    assert [use.path for use in admitted.uses] == [f"{tmp_path}/a", f"{tmp_path}/b"]
    edit = charge(scene, "file_edit", path=f"{tmp_path}/a", old="a", new="b")
    assert [c.capability.kind for c in edit.charges] == [Kind.TOOL, Kind.FILE_READ, Kind.FILE_WRITE]


@pytest.mark.parametrize("outside", ["/etc/passwd", "{}-evil/x", "{}x", "/", "{}/../x"])
def test_one_path_that_is_not_covered_denies_the_call(tmp_path: Path, outside: str) -> None:
    """H-CAP-12, H-FS-02: the second path counts as much as the first."""
    path = outside.format(tmp_path)
    with pytest.raises((DeniedError, InputError)) as error:
        charge(Scene(tmp_path), "file_read_many", paths=[f"{tmp_path}/a", path])
    assert error.value.remedy


def test_a_tool_that_was_not_granted_is_denied(tmp_path: Path) -> None:
    """CAP-1"""
    scene = Scene(tmp_path, catalog={"echo": CATALOG["echo"]})
    with pytest.raises(DeniedError) as error:
        charge(scene, "file_read", path=f"{tmp_path}/a")
    assert "--tool file_read" in error.value.remedy


def test_arguments_of_a_tool_can_be_limited(tmp_path: Path) -> None:
    """CAP-3: numbers and truth values are compared as JSON."""
    limits = Constraints(arguments=(("numbered", ("true",)), ("limit", ("7",))))
    scene = Scene(tmp_path, catalog={"echo": CATALOG["echo"]})
    scene.tokens.grant(AGENT, [Capability(Kind.TOOL, "file_read", limits)])
    assert charge(scene, "file_read", path=f"{tmp_path}/a", numbered=True, limit=7).uses
    with pytest.raises(DeniedError, match="is not granted"):
        charge(scene, "file_read", path=f"{tmp_path}/a", limit=7)


def test_bytes_are_charged_by_what_becomes_readable(tmp_path: Path) -> None:
    """CAP-3: an fd gives the whole file, whatever page of it was asked for."""
    (tmp_path / "f").write_bytes(b"x" * 60)
    scene = Scene(tmp_path, limits=Constraints(max_bytes=100))
    assert charge(scene, "file_read", path=f"{tmp_path}/f", max_bytes=64).uses
    with pytest.raises(LimitError):
        charge(scene, "file_read", path=f"{tmp_path}/f", max_bytes=64)
    assert charge(scene, "file_write", path=f"{tmp_path}/g", content="ä" * 50).uses
    with pytest.raises(LimitError):
        charge(scene, "file_write", path=f"{tmp_path}/g", content="ä")
    with pytest.raises(ToolError, match="counts bytes"):
        charge(Scene(tmp_path, limits=Constraints(max_bytes=100)), "grep", path=str(tmp_path), pattern="x")


def test_who_writes_a_path_reads_it_with_the_same_rights(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert charge(scene, "file_read", path=f"{tmp_path}/f").uses[0].as_owner
    only_read = Scene(tmp_path, grants=[Capability(Kind.FILE_READ, f"{tmp_path}/**")])
    assert not charge(only_read, "file_read", path=f"{tmp_path}/f").uses[0].as_owner
