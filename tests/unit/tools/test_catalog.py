"""The table of tools: complete, and no path or address in it goes unchecked (TOL-2, H-CAP-12)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.broker.secrets import SecretStore
from aaos.core.capability import Capability, Kind
from aaos.core.errors import InputError
from aaos.tools.admit import parse
from aaos.tools.catalog import CATALOG
from aaos.tools.spec import PATH_FORMAT, URL_FORMAT, Access, Tool
from aaos.tools.web import web_fetch
from tests.fakes import ScriptedWeb
from worker.abi import Json

ALL = {**CATALOG, "web_fetch": web_fetch(ScriptedWeb(), SecretStore(Path("/nonexistent")))}
SUSPICIOUS = ("path", "file", "dir", "cwd", "root", "target", "source", "output", "host", "url", "command")


def properties(schema: Json, name: str = "") -> Iterator[tuple[str, Json]]:
    """Every part of a schema with the name of the argument that it is in."""
    if isinstance(schema, dict):
        yield name, schema
        for key, value in schema.items():
            inner = value.items() if key in ("properties", "$defs") and isinstance(value, dict) else [(name, value)]
            for inner_name, part in inner:
                yield from properties(part, inner_name if key == "properties" else name)
    elif isinstance(schema, list):
        for part in schema:
            yield from properties(part, name)


@pytest.mark.parametrize("tool", ALL.values(), ids=ALL.keys())
def test_every_argument_that_names_a_path_is_charged(tool: Tool) -> None:
    """H-CAP-12: a walk over the whole schema, so that a new argument cannot be forgotten."""
    declared = {resource.arg for resource in tool.resources}
    found = {name: part["format"] for name, part in properties(tool.schema) if "format" in part}
    assert set(found) == declared
    for resource in tool.resources:
        assert found[resource.arg] == (URL_FORMAT if resource.access is Access.FETCH else PATH_FORMAT)
        assert (Kind.NETWORK in resource.kinds) is (resource.access is Access.FETCH)
    named = {name for name, _ in properties(tool.schema) if any(word in name for word in SUSPICIOUS)}
    assert named - declared <= {"files"}, "`files` of grep is a pattern of names below a path that was charged"


def test_the_tools_are_those_that_were_promised() -> None:
    """TOL-2"""
    assert list(CATALOG) == [
        "echo", "file_read", "file_read_many", "file_list", "file_write", "file_edit", "grep", "glob",
    ]  # fmt: skip
    assert all(name == tool.name and tool.summary.endswith(".") for name, tool in CATALOG.items())


def test_writing_is_charged_as_writing() -> None:
    for tool in CATALOG.values():
        for resource in tool.resources:
            writes = resource.access in (Access.REPLACE, Access.EDIT)
            assert (Kind.FILE_WRITE in resource.kinds) is writes
            assert writes or resource.kinds == (Kind.FILE_READ,)
            assert resource.access is not Access.EDIT or Kind.FILE_READ in resource.kinds


def test_every_tool_can_be_granted() -> None:
    for name in CATALOG:
        assert Capability(Kind.TOOL, name).text() == f"tool: {name}"


@pytest.mark.parametrize(
    ("tool", "args"),
    [
        ("file_read", {"path": "/f", "offset": 1, "byte_offset": 1}),
        ("file_read", {"path": "/f", "byte_offset": 1, "numbered": True}),
        ("file_read", {"path": "/f", "encoding": "base64", "offset": 1}),
        ("file_read", {"path": "/f", "encoding": "latin-1"}),
        ("file_read", {"path": "/f", "offset": 0}),
        ("file_read", {"path": "/f", "offset": 1.0}),
        ("file_read", {"path": "/f", "offset": True}),
        ("file_read", {"path": "/f", "limit": 10**30}),
        ("file_read", {"path": ""}),
        ("file_read_many", {"paths": []}),
        ("file_read_many", {"paths": ["/f"] * 17}),
        ("file_read_many", {"paths": "/f"}),
        ("file_edit", {"path": "/f", "old": "", "new": "x"}),
        ("file_edit", {"path": "/f", "old": "x", "new": "x"}),
        ("grep", {"path": "/f", "pattern": ""}),
        ("grep", {"path": "/f", "pattern": "x" * 1_001}),
        ("file_write", {"path": "/f"}),
        ("file_write", {"path": "/f", "content": "x" * 2_097_153}),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tool: str, args: dict[str, Json]) -> None:
    """H-LLM-04"""
    with pytest.raises(InputError) as error:
        parse(CATALOG[tool], args)
    assert error.value.message.startswith(f"{tool}: ")
    assert error.value.remedy
    assert len(error.value.message) < 1_000
