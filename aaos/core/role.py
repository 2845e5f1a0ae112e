"""Roles: templates of agents, with typed parameters, and what becomes of them for one subtask.

Invariant: a `Role` is complete and checked when it exists: every placeholder is a parameter, every capability parses
with values of the declared types, there is at least one capability. What a role asks for is only ever narrowed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

from aaos.core.capability import Capability, Kind, parse_capabilities, path_resource
from aaos.core.constraint import KEYS
from aaos.core.errors import InputError
from aaos.core.ids import RoleName, SubtaskId
from aaos.core.paths import normalise
from aaos.core.pattern import quote
from aaos.core.template import ALL_INPUTS, fill, fill_lines, placeholders
from aaos.core.text import quoted, suggestion
from aaos.core.url import parse_url

MAX_VALUE_CHARS = 65_536
MAX_VALUE_ITEMS = 256

Param = str | int | tuple[str, ...]
CapabilityEntry = str | Mapping[str, object]  # as written in the role, placeholders included

_FILE_KINDS = (Kind.FILE_READ.value, Kind.FILE_WRITE.value)
_NOT_RESOURCES = (*KEYS, "as_owner")
_TREE = "/**"
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,127}", re.ASCII)


class Tier(StrEnum):
    """The steps of a model ladder, from no model at all to the largest."""

    T0 = "T0"
    T1 = "T1"
    T2 = "T2"
    T3 = "T3"


class ParameterType(StrEnum):
    """What a parameter's value may be. A path is absolute and literal; with `/**` at its end it means all below it. A
    url is an http or https address: as a network resource all of its host and port. Names are those of tools or roles,
    hosts are network resources.
    """

    STRING = "string"
    NAMES = "names"
    HOSTS = "hosts"
    PATH = "path"
    PATHS = "paths"
    URL = "url"
    INTEGER = "integer"
    ENUM = "enum"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a role. One that is not required and has no default may be without value."""

    type: ParameterType
    required: bool = True
    default: Param | None = None
    choices: tuple[str, ...] = ()
    summary: str = ""


@dataclass(frozen=True, slots=True)
class RoleLimits:
    """How far one agent of the role goes."""

    iterations: int = 32
    wall_s: int = 600


@dataclass(frozen=True, slots=True)
class OutputContract:
    """What must be there when the agent has finished: a file that it wrote, not empty; with a list of paths in it, each
    of them. `file` is a template."""

    file: str


@dataclass(frozen=True, slots=True)
class Role:
    """A template of agents. `entry` is `loop`, `scaffold:NAME` or `program`; `system` and `message` are templates."""

    name: RoleName
    summary: str
    entry: str
    parameters: Mapping[str, Parameter]
    capabilities: tuple[CapabilityEntry, ...]
    system: str
    message: str
    tiers: tuple[Tier, ...]
    limits: RoleLimits = RoleLimits()
    retry: int = 0
    code_calls: bool = False
    output: OutputContract | None = None


@dataclass(frozen=True, slots=True)
class Expanded:
    """What a role asks for and says in one subtask."""

    capabilities: tuple[Capability, ...]
    system: str
    message: str
    output_files: tuple[str, ...]


def expand(role: Role, params: Mapping[str, Param], *, inputs: Mapping[SubtaskId, str], now_s: float) -> Expanded:
    """The role with its placeholders filled in. `inputs` are the results of the subtasks it waited for, `now_s` is UTC.

    A capability that refers to an optional parameter without value is left out, and so is a line of a text that refers
    to nothing else; elsewhere in texts such a parameter is empty.

    Raises:
        InputError: an unknown, missing or wrong parameter, or a value that makes no valid resource.
    """
    values = check_params(role, params)
    texts = {name: _as_text(value) for name, value in values.items()}
    absent = {name for name, value in values.items() if value is None} | (set() if inputs else {ALL_INPUTS})
    texts |= {f"inputs.{name}": text for name, text in inputs.items()}
    texts[ALL_INPUTS] = "\n\n".join(f"[{name}]\n{text}" for name, text in inputs.items())
    entries = [entry for raw in role.capabilities for entry in expand_entry(raw, values, parameters=role.parameters)]
    return Expanded(
        capabilities=parse_capabilities(entries, now_s=now_s),
        system=fill_lines(role.system, texts, absent=absent),
        message=fill_lines(role.message, texts, absent=absent),
        output_files=_output_files(role, values),
    )


def check_params(role: Role, params: Mapping[str, Param]) -> Mapping[str, Param | None]:
    """Every parameter of the role with its checked value, None for an optional one without. Raises InputError."""
    for name in params:
        if name not in role.parameters:
            raise InputError(f"role {role.name} has no parameter {quoted(name)}", suggestion(name, role.parameters))
    values: dict[str, Param | None] = {}
    for name, parameter in role.parameters.items():
        value = params.get(name, parameter.default)
        if value is None and parameter.required:
            raise InputError(f"role {role.name}: parameter {name} is missing", f"give {name} ({parameter.type})")
        values[name] = None if value is None else check_value(f"role {role.name}: {name}", value, parameter=parameter)
    return MappingProxyType(values)


def check_value(field: str, value: Param, *, parameter: Parameter) -> Param:
    """`value` when the parameter may have it, a path or url in its normal form. Raises InputError: it names `field`."""
    match parameter.type:
        case ParameterType.INTEGER:
            if type(value) is int and abs(value) < 2**53:
                return value
        case ParameterType.PATHS:
            items = (value,) if isinstance(value, str) else value
            if isinstance(items, tuple | list) and 1 <= len(items) <= MAX_VALUE_ITEMS:
                return tuple(_check_path(field, item) for item in items)
        case ParameterType.NAMES:
            items = (value,) if isinstance(value, str) else value
            if isinstance(items, tuple | list) and 1 <= len(items) <= MAX_VALUE_ITEMS and all(map(_is_name, items)):
                return tuple(items)
        case ParameterType.HOSTS:
            items = (value,) if isinstance(value, str) else value
            if isinstance(items, tuple | list) and 1 <= len(items) <= MAX_VALUE_ITEMS:
                return tuple(_check_host(field, item) for item in items)
        case ParameterType.PATH:
            return _check_path(field, value)
        case ParameterType.URL:
            return _check_url(field, value)
        case ParameterType.ENUM:
            if isinstance(value, str) and value in parameter.choices:
                return value
            remedy = suggestion(str(value)[:80], parameter.choices)
            raise InputError(f"{field}: {quoted(value)} is not a choice", remedy)
        case ParameterType.STRING:
            if isinstance(value, str) and len(value) <= MAX_VALUE_CHARS and "\0" not in value:
                return value
        case _:
            assert_never(parameter.type)
    wanted = parameter.type.value
    raise InputError(f"{field}: {quoted(value)} is not of type {wanted}", f"give a value of type {wanted}")


def expand_entry(
    raw: CapabilityEntry, values: Mapping[str, Param | None], *, parameters: Mapping[str, Parameter]
) -> tuple[CapabilityEntry, ...]:
    """The capability entry with its placeholders filled in; none when one of them has no value. Raises InputError."""
    if any(values.get(name) is None for name in entry_placeholders(raw)):
        return ()
    if isinstance(raw, str):
        if not placeholders(raw):
            return (fill(raw, {}),)
        kind, _, resource = raw.partition(": ")
        return expand_entry({kind: resource}, values, parameters=parameters)
    entry: dict[str, object] = {}
    for key, value in raw.items():
        if key in _NOT_RESOURCES:
            entry[key] = _fill_constraint(value, values)
        else:
            resources = value if isinstance(value, list | tuple) else [value]
            filled = (_fill_item(key, item, values=values, parameters=parameters) for item in resources)
            entry[key] = [text for texts in filled for text in texts]
    return (entry,)


def entry_placeholders(raw: object) -> tuple[str, ...]:
    """The names that a capability entry refers to, at any depth. Raises InputError."""
    if isinstance(raw, str):
        return placeholders(raw)
    if isinstance(raw, Mapping):
        return tuple(name for value in raw.values() for name in entry_placeholders(value))
    if isinstance(raw, list | tuple):
        return tuple(name for value in raw for name in entry_placeholders(value))
    return ()


def _fill_item(
    kind: str, item: object, *, values: Mapping[str, Param | None], parameters: Mapping[str, Parameter]
) -> Sequence[object]:
    if not isinstance(item, str):
        return [item]
    return _fill_resource(kind, item, values=values, parameters=parameters)


def _fill_resource(
    kind: str, text: str, *, values: Mapping[str, Param | None], parameters: Mapping[str, Parameter]
) -> list[str]:
    """`text` with its parameters as literal resources; one text for each path when one of them is a list."""
    lists = [name for name in placeholders(text) if isinstance(values[name], tuple)]
    if len(lists) > 1:
        raise InputError(f"{quoted(text)} has two lists: {', '.join(lists)}", "write one list per entry")
    filled: list[str] = []
    for item in values[lists[0]] if lists else ("",):  # type: ignore[union-attr]  # it is a tuple: see `lists`
        single = {name: item if name in lists else values[name] for name in placeholders(text)}
        resources = {n: _as_resource(kind, n, value=v, parameter=parameters[n]) for n, v in single.items()}
        filled.append(fill(text, resources))
    return filled


def _as_resource(kind: str, name: str, *, value: object, parameter: Parameter) -> str:
    text = str(value)
    if parameter.type in (ParameterType.PATH, ParameterType.PATHS):
        is_tree = text.endswith(_TREE)
        return path_resource(text.removesuffix(_TREE) or "/", is_dir=True) if is_tree else path_resource(text)
    if parameter.type is ParameterType.HOSTS and kind == Kind.NETWORK:
        return text
    if parameter.type is ParameterType.URL and kind == Kind.NETWORK:
        return parse_url(text).everything
    if kind in _FILE_KINDS:
        if "/" in text:
            raise InputError(f"{name}: {quoted(text)} contains '/'", f"declare {name} with type: path")
        return quote(text)
    if any(char in text for char in "*?[]{}%&#\\"):
        raise InputError(f"{name}: {quoted(text)} contains a special character", "give a plain name")
    return text


def _fill_constraint(value: object, values: Mapping[str, Param | None]) -> object:
    if isinstance(value, str):
        return fill(value, {name: _as_text(values[name]) for name in placeholders(value)})
    if isinstance(value, list | tuple):
        return [_fill_constraint(item, values) for item in value]
    if isinstance(value, Mapping):
        return {key: _fill_constraint(item, values) for key, item in value.items()}
    return value


def _check_host(field: str, value: object) -> str:
    try:
        return parse_capabilities({"network": value}, now_s=0.0)[0].resource
    except InputError as error:
        raise InputError(f"{field}: {error.message}", error.remedy) from error


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


def _check_path(field: str, value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise InputError(f"{field}: {quoted(value)} is not an absolute path", "write the path, beginning with /")
    if not value.endswith(_TREE):
        return normalise(value, "/")
    return normalise(value.removesuffix(_TREE) or "/", "/").rstrip("/") + _TREE


def _check_url(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{field}: {quoted(value)} is not an address", "write it like https://example.com/page")
    try:
        return parse_url(value).text
    except InputError as error:
        raise InputError(f"{field}: {error.message}", error.remedy) from error


def _as_text(value: Param | None) -> str:
    return "" if value is None else "\n".join(value) if isinstance(value, tuple) else str(value)


def _output_files(role: Role, values: Mapping[str, Param | None]) -> tuple[str, ...]:
    """None when a parameter that the contract refers to has no value."""
    names = placeholders(role.output.file) if role.output else ()
    if role.output is None or any(values.get(name) is None for name in names):
        return ()
    lists = [name for name in names if isinstance(values[name], tuple)]
    files: list[str] = []
    for item in values[lists[0]] if lists else ("",):  # type: ignore[union-attr]  # it is a tuple: see `lists`
        texts = {name: item if name in lists else _as_text(values[name]) for name in names}
        files.append(normalise(fill(role.output.file, texts), "/"))
    return tuple(files)
