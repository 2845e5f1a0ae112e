"""Parameters of wrapped programs are typed: a value is of its type and within its bounds, or the call is refused."""

import pytest

from aaos.core.capability import Kind
from aaos.core.errors import InputError
from aaos.tools.admit import parse
from aaos.tools.spec import Access, CellTool, route_of
from aaos.tools.wrapperfile import read_wrapper
from aaos.tools.wrapperparameter import cell_tool
from worker.abi import Json

FILE = """
name: every
summary: Every type
program: /usr/bin/true
package: coreutils
parameters:
  string: {type: string, pattern: "[a-z -]+", max: 10, summary: some words}
  strings: {type: strings, items: 2, default: [a]}
  lines: {type: string, multiline: true, required: false}
  integer: {type: integer, min: 1, max: 9, default: 5}
  boolean: {type: boolean}
  choice: {type: enum, choices: [one, two], default: one}
  reads: {type: path, use: read}
  changes: {type: path, use: write}
  makes: {type: paths, use: make, required: false}
  address: {type: url, required: false}
"""
GOOD: dict[str, Json] = {"string": "a b", "reads": "/d", "changes": "/w/"}


def tool() -> CellTool:
    return cell_tool(read_wrapper(FILE.encode(), "/every.yaml", taken=()))


def test_values_are_typed_with_defaults_and_normal_paths() -> None:
    """TOL-4"""
    args = parse(tool(), GOOD)
    assert args == {
        "string": "a b", "strings": ["a"], "lines": None, "integer": 5, "boolean": False, "choice": "one",
        "reads": "/d", "changes": "/w", "makes": None, "address": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("string", "A"), ("string", "a\n"), ("string", "a\0"), ("string", ""), ("string", "a" * 11), ("string", 1),
        ("string", "a\nb"), ("lines", "a\x1b[2J"), ("lines", "a\0"), ("lines", "\ud800"), ("strings", ["a", "b", "c"]),
        ("strings", []), ("strings", "a"), ("strings", ["a\nb"]), ("integer", 0), ("integer", 10), ("integer", True),
        ("integer", "5"), ("integer", 5.0), ("boolean", 1), ("boolean", "true"), ("choice", "three"),
        ("reads", "relative"), ("reads", "/a/../b"), ("reads", "~/x"), ("reads", "/a\0b"), ("reads", ""),
        ("makes", ["/a", "b"]), ("address", "file:///etc/passwd"), ("address", "ext::sh -c id"),
        ("address", "https://user@host/"), ("unknown", 1), ("env", {"LD_PRELOAD": "/x"}),
    ],
)  # fmt: skip
def test_what_is_not_of_the_type_is_refused(name: str, value: Json) -> None:
    """TOL-1, TOL-4, H-SUB-01, H-SUB-11: there is no way to set a variable of a program."""
    with pytest.raises(InputError):
        parse(tool(), {**GOOD, name: value})


def test_each_path_and_address_is_a_resource() -> None:
    """CAP-1: what is not declared would be neither charged nor shown."""
    found = {one.arg: (one.kinds, one.access) for one in tool().resources}
    assert found == {
        "reads": ((Kind.FILE_READ,), Access.SHOW),
        "changes": ((Kind.FILE_READ, Kind.FILE_WRITE), Access.CHANGE),
        "makes": ((Kind.FILE_WRITE,), Access.MAKE),
        "address": ((Kind.NETWORK,), Access.CONNECT),
    }
    assert tool().is_effect
    assert route_of(tool()) == "cell"


def test_a_model_is_told_the_types() -> None:
    """TOL-1"""
    shown = tool().schema
    assert shown["additionalProperties"] is False
    assert shown["required"] == ["string", "reads", "changes"]
    string = shown["properties"]["string"]
    assert (string["pattern"], string["maxLength"], string["description"]) == ("^(?:[a-z -]+)$", 10, "some words")
    assert shown["properties"]["reads"]["format"] == "path"
