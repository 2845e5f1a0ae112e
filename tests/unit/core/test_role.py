"""A role becomes capabilities and texts; values of parameters stay literal."""

import dataclasses
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.capability import Kind, covers
from aaos.core.errors import InputError
from aaos.core.ids import SubtaskId
from aaos.core.role import Expanded, OutputContract, Param, ParameterType, Role, check_params, expand
from aaos.core.rolefile import read_role

TEXT = """
name: tester
summary: For tests
entry: loop
parameters:
  paths: {type: paths, required: false}
  target: {type: path, required: false}
  label: {type: string, default: none}
  count: {type: integer, default: 3}
  mode: {type: enum, choices: [fast, slow], default: fast}
capabilities:
  - file_read: "{paths}"
    max: "{count}"
  - file_write: "{target}"
  - "file_read: /logs/{label}.txt"
  - tool: [grep, "tool_{mode}"]
system: "You are {{careful}}."
message: "Read {paths} as {label}, {mode}, {count}; {target}.\\n{inputs.*}|{inputs.t1}"
output: {file: "{target}"}
"""
ROLE = read_role(TEXT.encode(), "tester.yaml", name="tester")
INPUTS = {SubtaskId("t1"): "first {label}", SubtaskId("t2"): "second"}


def _expand(params: Mapping[str, Param], role: Role = ROLE) -> Expanded:
    return expand(role, params, inputs=INPUTS, now_s=1.0)


def _texts(params: Mapping[str, Param]) -> list[str]:
    return [capability.text() for capability in _expand(params).capabilities]


def test_a_list_becomes_one_capability_for_each_path() -> None:
    """RUN-2"""
    assert _texts({"paths": ("/a/**", "/b"), "target": "/out/x.md", "mode": "slow"}) == [
        "capability://file_read/a/**?max=3",
        "capability://file_read/b?max=3",
        "file_write: /out/x.md",
        "file_read: /logs/none.txt",
        "tool: grep",
        "tool: tool_slow",
    ]


def test_an_entry_without_its_value_is_left_out() -> None:
    expanded = _expand({})
    assert [capability.text() for capability in expanded.capabilities] == [
        "file_read: /logs/none.txt",
        "tool: grep",
        "tool: tool_fast",
    ]
    assert expanded.output_files == ()


def test_texts_are_filled_in_once() -> None:
    expanded = _expand({"paths": ("/a", "/b"), "label": "{mode}{{", "target": "/o"})
    assert expanded.system == "You are {careful}."
    assert (
        expanded.message == "Read /a\n/b as {mode}{{, fast, 3; /o.\n[t1]\nfirst {label}\n\n[t2]\nsecond|first {label}"
    )
    assert expanded.output_files == ("/o",)


def test_a_label_goes_with_its_value() -> None:
    role = dataclasses.replace(ROLE, message="Read.\nTo: {target}\nEarlier: {inputs.*}", system="{paths}\nMode {mode}")
    expanded = expand(role, {}, inputs={}, now_s=1.0)
    assert (expanded.system, expanded.message) == ("Mode fast", "Read.\n")
    assert "To: /o\nEarlier: [t1]" in _expand({"target": "/o"}, role).message


def test_names_become_one_capability_each() -> None:
    text = TEXT.replace("capabilities:", '  tools: {type: names, required: false}\ncapabilities:\n  - tool: "{tools}"')
    role = read_role(text.encode(), "tester.yaml", name="tester")
    found = _expand({"tools": ("grep", "mcp.files.read")}, role).capabilities
    assert [one.resource for one in found if one.kind is Kind.TOOL][:2] == ["grep", "mcp.files.read"]
    for wrong in ("", "mcp.*", "a b", "Grep", "a/b", "é", ("grep", "*"), (), 3):
        with pytest.raises(InputError, match=r"tools: .* is not of type names"):
            _expand({"tools": wrong}, role)


def test_a_contract_may_name_a_list_of_files() -> None:
    """RUN-3"""
    role = dataclasses.replace(ROLE, output=OutputContract("{paths}"))
    assert _expand({"paths": ("/a", "/b")}, role).output_files == ("/a", "/b")
    assert _expand({}, role).output_files == ()
    below = dataclasses.replace(ROLE, output=OutputContract("/out/{label}.md"))
    assert _expand({"label": "x"}, below).output_files == ("/out/x.md",)


def test_a_missing_input_is_an_error() -> None:
    with pytest.raises(InputError, match=r"{inputs.t1}"):
        expand(ROLE, {}, inputs={}, now_s=1.0)


@pytest.mark.parametrize("name", ["*", "?", "[ab]", "a{b}", "x\\y", "**", "[", "{paths}", "{{"])
def test_a_path_parameter_is_never_a_pattern(name: str) -> None:
    """H-CAP-01, H-CAP-02: a hostile value widens nothing"""
    (read, *_) = _expand({"paths": (f"/d/{name}/f",)}).capabilities
    assert covers(read, Kind.FILE_READ, f"/d/{name}/f")
    assert not covers(read, Kind.FILE_READ, "/d/a/f")
    assert read.is_exact


@given(st.text(max_size=12))
def test_a_text_parameter_stays_within_one_name(label: str) -> None:
    """H-FS-03, H-CAP-02"""
    try:
        capabilities = _expand({"label": label}).capabilities
    except InputError:
        return
    (read,) = [capability for capability in capabilities if capability.kind is Kind.FILE_READ]
    assert read.is_exact
    assert read.root == f"/logs/{label}.txt"
    assert read.root.count("/") == 2


def test_a_path_is_brought_to_its_normal_form() -> None:
    """H-FS-12"""
    assert check_params(ROLE, {"target": "/a//./b/"})["target"] == "/a/b"
    assert check_params(ROLE, {"paths": "/a//**"})["paths"] == ("/a/**",)
    assert check_params(ROLE, {"paths": ("/**",)})["paths"] == ("/**",)


@pytest.mark.parametrize(
    ("params", "message", "remedy"),
    [
        ({"labl": "x"}, "no parameter 'labl'", "did you mean 'label'?"),
        ({"target": "rel"}, "target: 'rel' is not an absolute path", "write the path"),
        ({"target": "/a/../b"}, "contains '..'", "write the path"),
        ({"target": "~/x"}, "is not an absolute path", "write the path"),
        ({"target": ("/a", "/b")}, "target: a tuple of 2", "write the path"),
        ({"target": "/a\0"}, "contains NUL", "write the path"),
        ({"target": 5}, "target: 5", "write the path"),
        ({"paths": ()}, "paths: a tuple of 0 is not of type paths", "give a value"),
        ({"paths": ("/a",) * 257}, "paths: a tuple of 257", "give a value"),
        ({"paths": ("/a", 5)}, "paths: 5", "write the path"),
        ({"count": True}, "count: True is not of type integer", "give a value"),
        ({"count": 1.5}, "count: 1.5", "give a value"),
        ({"count": 2**63}, "count: ", "give a value"),
        ({"count": "3"}, "count: '3'", "give a value"),
        ({"paths": "/a", "count": 0}, "max: 0 is not a whole number", "write it like max: 50"),
        ({"mode": "fats"}, "mode: 'fats' is not a choice", "did you mean 'fast'?"),
        ({"mode": 5}, "mode: 5 is not a choice", "known: fast, slow"),
        ({"label": "x" * 70_000}, "label: ", "give a value"),
        ({"label": "a\0b"}, "label: ", "give a value"),
        ({"label": "../../etc/passwd"}, "contains '/'", "declare label with type: path"),
        ({"label": None}, "", ""),
    ],
    ids=range(21),
)
def test_wrong_parameters_are_refused(params: Mapping[str, Param], message: str, remedy: str) -> None:
    """H-FUZZ-02, H-FUZZ-05"""
    if params == {"label": None}:
        assert check_params(ROLE, params)["label"] is None
        return
    with pytest.raises(InputError) as caught:
        _expand(params)
    assert message in caught.value.message
    assert caught.value.remedy.startswith(remedy)


def test_a_required_parameter_must_be_given() -> None:
    role = read_role(
        TEXT.replace("target: {type: path, required: false}", "target: {type: path}").encode(), "f", name="tester"
    )
    with pytest.raises(InputError, match="parameter target is missing"):
        _expand({}, role)


@pytest.mark.parametrize("value", ["gr*p", "a?b", "a/b", "", "..", "a%2fb", "a#b", "[a]"])
def test_a_text_parameter_cannot_widen_other_kinds(value: str) -> None:
    """H-CAP-01"""
    text = TEXT.replace('"tool_{mode}"', '"{label}"')
    role = read_role(text.encode(), "f", name="tester")
    with pytest.raises(InputError):
        _expand({"label": value}, role)


FETCHING = """
name: getter
summary: For tests
entry: scaffold:echo
parameters:
  page: {type: url}
capabilities:
  - network: "{page}"
    action: [GET, HEAD]
message: "Fetch {page}"
"""


def test_a_url_is_granted_with_its_host_and_port() -> None:
    """RUN-2: a redirect within the host is within the grant, another host is not."""
    role = read_role(FETCHING.encode(), "getter.yaml", name="getter")
    expanded = _expand({"page": "HTTP://Example.com/*/a/../b?q#f"}, role)
    assert [one.resource for one in expanded.capabilities] == ["example.com:80/**"]
    assert expanded.capabilities[0].constraints.methods == frozenset({"get", "head"})
    assert expanded.message == "Fetch http://example.com/*/b?q"


@pytest.mark.parametrize(
    "value", ["http://127.1/", "http://u@a.b/", "example.com", "file:///x", "", 5, ("http://a.b/",)]
)
def test_a_url_with_more_than_one_meaning_is_refused(value: Param) -> None:
    """H-NET-03, H-NET-07"""
    role = read_role(FETCHING.encode(), "getter.yaml", name="getter")
    with pytest.raises(InputError, match="role getter: page") as caught:
        _expand({"page": value}, role)
    assert caught.value.remedy


def test_a_url_is_a_resource_of_the_network_only() -> None:
    text = FETCHING.replace("network:", "file_read:").replace("action: [GET, HEAD]", "max: 1")
    with pytest.raises(InputError, match="contains '/'"):
        read_role(text.encode(), "getter.yaml", name="getter")


def test_a_role_and_its_parts_cannot_be_changed() -> None:
    """H-CAP-15"""
    with pytest.raises(dataclasses.FrozenInstanceError):
        ROLE.retry = 5  # type: ignore[misc]  # wrong on purpose
    with pytest.raises(TypeError):
        ROLE.parameters["x"] = ROLE.parameters["label"]  # type: ignore[index]  # wrong on purpose
    assert ROLE.parameters["mode"].type is ParameterType.ENUM
