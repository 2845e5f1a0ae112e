"""Reads the role files of the operator's directories and checks each one whole.

Invariant: a bad file never stops the others, and never lets an earlier role of the same name show through: a broken
override takes the role away, since it may have been written to narrow it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, assert_never

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from aaos.core.capability import parse_capabilities
from aaos.core.errors import InputError, NotFoundError, SettingsError
from aaos.core.ids import RoleName, check_name
from aaos.core.role import (
    CapabilityEntry,
    OutputContract,
    Param,
    Parameter,
    ParameterType,
    Role,
    RoleLimits,
    Tier,
    check_value,
    entry_placeholders,
    expand_entry,
)
from aaos.core.schema import read_model
from aaos.core.smallfile import files_in, read_small_file
from aaos.core.template import placeholders
from aaos.core.text import quoted, suggestion
from aaos.core.yamlfile import load_yaml

MAX_FILE_BYTES = 65_536
SUFFIX = ".yaml"

_DEFAULTS = RoleLimits()
_ParameterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class _Parameter(_Document):
    type: ParameterType
    required: bool | None = None
    default: str | int | tuple[str, ...] | None = None
    choices: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    summary: Annotated[str, Field(max_length=1000)] = ""


class _Limits(_Document):
    iterations: Annotated[int, Field(ge=1, le=10_000)] = _DEFAULTS.iterations
    wall_s: Annotated[int, Field(ge=1, le=30 * 86_400)] = _DEFAULTS.wall_s


class _Output(_Document):
    file: Annotated[str, Field(min_length=1, max_length=4096)]


class _Role(_Document):
    name: str
    summary: Annotated[str, Field(min_length=1, max_length=1000)]
    entry: Annotated[str, Field(pattern=r"^(loop|program|scaffold:[a-z0-9-]{1,64})$")]
    parameters: Annotated[dict[_ParameterName, _Parameter], Field(max_length=64)] = {}
    capabilities: Annotated[tuple[str | dict[str, JsonValue], ...], Field(max_length=64)] | None = None
    system: str = ""
    message: str = ""
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=4)] = (Tier.T0,)
    limits: _Limits = _Limits()
    retry: Annotated[int, Field(ge=0, le=10)] = 0
    code_calls: bool = False
    output: _Output | None = None


@dataclass(frozen=True, slots=True)
class RoleSet:
    """The roles by name, and why others were refused."""

    roles: Mapping[RoleName, Role]
    refused: tuple[SettingsError, ...] = ()

    def get(self, name: str) -> Role:
        """The role. Raises NotFoundError with the nearest name."""
        for known, role in self.roles.items():
            if known == name:
                return role
        raise NotFoundError(f"there is no role {quoted(name)}", suggestion(name, self.roles))


def load_roles(dirs: Sequence[Path]) -> RoleSet:
    """The roles in `*.yaml` of `dirs`; a later directory overrides an earlier one, a missing directory is empty."""
    roles: dict[RoleName, Role] = {}
    refused: list[SettingsError] = []
    for directory in dirs:
        try:
            files = files_in(directory, SUFFIX, kind="role")
        except SettingsError as error:
            refused.append(error)
            continue
        for file in files:
            name = RoleName(file.name.removesuffix(SUFFIX))
            roles.pop(name, None)
            try:
                roles[name] = read_role(read_small_file(file, max_bytes=MAX_FILE_BYTES), str(file), name=name)
            except SettingsError as error:
                refused.append(error)
    return RoleSet(MappingProxyType(dict(sorted(roles.items()))), tuple(refused))


def read_role(data: bytes, source: str, *, name: str) -> Role:
    """The role that the file `source` holds; its name must be `name`. Raises SettingsError: names file and key."""
    model = read_model(_Role, load_yaml(data, source, max_bytes=MAX_FILE_BYTES), source=source)
    try:
        check_name(name, "file name")
        if model.name != name:
            raise InputError(f"name: {quoted(model.name)} is not the file's name", f"write name: {name}")
        return _checked_role(model)
    except InputError as error:
        raise SettingsError(f"{source}: {error.message}", error.remedy) from error


def _checked_role(model: _Role) -> Role:
    role = Role(
        name=RoleName(model.name),
        summary=model.summary,
        entry=model.entry,
        parameters=MappingProxyType({name: _checked_parameter(name, p) for name, p in model.parameters.items()}),
        capabilities=_named_capabilities(model),
        system=model.system,
        message=model.message,
        tiers=tuple(dict.fromkeys(model.tiers)),
        limits=RoleLimits(model.limits.iterations, model.limits.wall_s),
        retry=model.retry,
        code_calls=model.code_calls,
        output=OutputContract(model.output.file) if model.output else None,
    )
    _check_texts(role)
    _check_capabilities(role)
    return role


def _named_capabilities(model: _Role) -> tuple[CapabilityEntry, ...]:
    """None at all must be said: a model may answer from its message alone, code without a tool could do nothing."""
    if model.capabilities or (model.capabilities == () and model.entry == "loop"):
        return model.capabilities
    raise InputError("capabilities: there are none, so an agent could do nothing", "grant at least one")


def _checked_parameter(name: str, model: _Parameter) -> Parameter:
    field = f"parameters.{name}"
    if (model.type is ParameterType.ENUM) != bool(model.choices):
        raise InputError(f"{field}: choices belong to type enum, and it needs them", f"correct {field}.choices")
    if model.required and model.default is not None:
        raise InputError(f"{field}: is required and has a default", f"remove one of them from {field}")
    required = model.default is None if model.required is None else model.required
    parameter = Parameter(model.type, required, None, model.choices, model.summary)
    if model.default is None:
        return parameter
    default = check_value(f"{field}.default", model.default, parameter=parameter)
    return Parameter(model.type, required, default, model.choices, model.summary)


def _check_texts(role: Role) -> None:
    if role.entry == "loop" and not role.message:
        raise InputError("message: is empty", "write the message that begins the agent's work")
    for field, text in (("system", role.system), ("message", role.message)):
        _check_placeholders(field, _placeholders(field, text), role, inputs=True)
    if role.output is not None:
        _check_placeholders("output.file", _placeholders("output.file", role.output.file), role, inputs=False)


def _placeholders(field: str, text: str) -> tuple[str, ...]:
    try:
        return placeholders(text)
    except InputError as error:
        raise InputError(f"{field}, {error.message}", error.remedy) from error


def _check_placeholders(field: str, names: Sequence[str], role: Role, *, inputs: bool) -> None:
    for name in names:
        if name in role.parameters or (inputs and name.startswith("inputs.")):
            continue
        raise InputError(f"{field}: {{{name}}} is not a parameter", suggestion(name, role.parameters))


def _check_capabilities(role: Role) -> None:
    """Tries every entry with values of the declared types."""
    samples = {name: _sample(parameter) for name, parameter in role.parameters.items()}
    for index, raw in enumerate(role.capabilities):
        field = f"capabilities.{index}"
        _check_placeholders(field, entry_placeholders(raw), role, inputs=False)
        try:
            entries: Sequence[CapabilityEntry] = expand_entry(raw, samples, parameters=role.parameters)
            parse_capabilities(list(entries), now_s=0.0)
        except InputError as error:
            raise InputError(f"{field}: {error.message}", error.remedy) from error


def _sample(parameter: Parameter) -> Param:
    match parameter.type:
        case ParameterType.PATHS:
            return ("/sample",)
        case ParameterType.NAMES:
            return ("sample",)
        case ParameterType.HOSTS:
            return ("example.com",)
        case ParameterType.PATH:
            return "/sample"
        case ParameterType.URL:
            return "https://example.com/sample"
        case ParameterType.INTEGER:
            return 1
        case ParameterType.ENUM:
            return parameter.choices[0]
        case ParameterType.STRING:
            return "sample"
        case _:
            assert_never(parameter.type)
