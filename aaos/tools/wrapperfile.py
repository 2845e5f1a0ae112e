"""Reads the wrapper files of the operator's directories and checks each one whole.

Invariant: a bad file never stops the others, and never lets an earlier wrapper of its name show through; a wrapper
never takes the name of another tool. An error names line and column.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from aaos.core.cell import HostPort
from aaos.core.errors import InputError, SettingsError
from aaos.core.paths import is_normal
from aaos.core.schema import read_model
from aaos.core.smallfile import files_in, read_small_file
from aaos.core.template import placeholders
from aaos.core.text import quoted, suggestion
from aaos.core.yamlfile import Places, load_yaml
from aaos.tools.wrapper import Argument, Limits, Parameter, ParameterKind, Parser, PathUse, Wrapper
from aaos.tools.wrapperparameter import check_parameter

MAX_FILE_BYTES = 65_536
MAX_WILD = 2  # in one of `asks`: a path is then matched in bounded time
SUFFIX = ".yaml"
RESERVED = frozenset({"max_bytes", "method"})  # what other tools mean by them, the gate reads

_DEFAULTS = Limits()
_MIB = 2**20
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_Text = Annotated[str, Field(max_length=4_096)]
_AbsolutePath = Annotated[str, Field(pattern=r"^/", max_length=4_096)]
_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
_ASK = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE) /[A-Za-z0-9._~/*-]{0,200}", re.ASCII)
_PLACE = re.compile(r"(?P<host>[a-z0-9.-]{1,253}):(?P<port>[1-9][0-9]{0,4})", re.ASCII)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class _Parameter(_Document):
    type: ParameterKind
    summary: Annotated[str, Field(max_length=1_000)] = ""
    required: bool | None = None
    default: str | int | bool | tuple[str, ...] | None = None
    pattern: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    multiline: bool = False
    min: Annotated[int, Field(ge=-(2**53), le=2**53)] | None = None
    max: Annotated[int, Field(ge=-(2**53), le=2**53)] | None = None
    items: Annotated[int, Field(ge=1, le=64)] = 16
    choices: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    use: PathUse | None = None


class _Optional(_Document):
    if_given: str
    args: Annotated[tuple[_Text, ...], Field(min_length=1, max_length=64)]


_Argument = Annotated[
    Annotated[_Text, Tag("text")] | Annotated[_Optional, Tag("group")],
    Discriminator(lambda value: "text" if isinstance(value, str) else "group"),
]


class _Limits(_Document):
    wall_s: Annotated[int, Field(ge=1, le=86_400)] = _DEFAULTS.wall_s
    cpu_s: Annotated[int, Field(ge=1, le=86_400)] = _DEFAULTS.cpu_s
    memory_bytes: Annotated[int, Field(ge=16 * _MIB, le=2**40)] = _DEFAULTS.memory_bytes
    pids: Annotated[int, Field(ge=2, le=4_096)] = _DEFAULTS.pids
    nofile: Annotated[int, Field(ge=16, le=65_536)] = _DEFAULTS.nofile
    fsize_bytes: Annotated[int, Field(ge=4_096, le=2**40)] = _DEFAULTS.fsize_bytes
    output_bytes: Annotated[int, Field(ge=1_024, le=16 * _MIB)] = _DEFAULTS.output_bytes
    tmpfs_bytes: Annotated[int, Field(ge=4_096, le=2**34)] = _DEFAULTS.tmpfs_bytes
    address_bytes: Annotated[int, Field(ge=0, le=2**46)] = _DEFAULTS.address_bytes


class _Wrapper(_Document):
    name: str
    summary: Annotated[str, Field(min_length=1, max_length=1_000)]
    program: _AbsolutePath
    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]{1,63}$")]
    parameters: Annotated[dict[_Name, _Parameter], Field(max_length=32)] = {}
    argv: Annotated[tuple[_Argument, ...], Field(max_length=256)] = ()
    env: Annotated[dict[_Variable, _Text], Field(max_length=64)] = {}
    stdin: _Text = ""
    cwd: _Text = "/tmp"  # noqa: S108  # the cell's own
    readable: Annotated[tuple[_AbsolutePath, ...], Field(max_length=64)] = ()
    exec_paths: Annotated[tuple[_AbsolutePath, ...], Field(max_length=256)] = ()
    exec_writable: bool = False
    control_files: bool = False
    egress: Annotated[tuple[str, ...], Field(max_length=32)] = ()
    asks: Annotated[tuple[str, ...], Field(max_length=32)] = ()
    success: Annotated[tuple[Annotated[int, Field(ge=0, le=255)], ...], Field(min_length=1, max_length=16)] = (0,)
    output: Parser = Parser.TEXT
    limits: _Limits = _Limits()


@dataclass(frozen=True, slots=True)
class WrapperSet:
    """The wrappers by name, and why others were refused."""

    wrappers: Mapping[str, Wrapper]
    refused: tuple[SettingsError, ...] = ()


def load_wrappers(dirs: Sequence[Path], *, taken: Collection[str]) -> WrapperSet:
    """The wrappers in `*.yaml` of `dirs`; a later directory overrides an earlier one, a missing directory is empty.

    `taken` are the names of other tools.
    """
    wrappers: dict[str, Wrapper] = {}
    refused: list[SettingsError] = []
    for directory in dirs:
        try:
            files = files_in(directory, SUFFIX, kind="wrapper")
        except SettingsError as error:
            refused.append(error)
            continue
        for file in files:
            name = file.name.removesuffix(SUFFIX)
            wrappers.pop(name, None)
            try:
                wrappers[name] = read_wrapper(read_small_file(file, max_bytes=MAX_FILE_BYTES), str(file), taken=taken)
            except SettingsError as error:
                refused.append(error)
    return WrapperSet(MappingProxyType(dict(sorted(wrappers.items()))), tuple(refused))


def read_wrapper(data: bytes, source: str, *, taken: Collection[str]) -> Wrapper:
    """The wrapper that the file `source` holds, which is named after it. Raises SettingsError: names file and place."""
    places = Places()
    document = load_yaml(data, source, max_bytes=MAX_FILE_BYTES, places=places)
    model = read_model(_Wrapper, document, source=source, places=places)
    name = Path(source).name.removesuffix(SUFFIX)
    try:
        if model.name != name or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name, re.ASCII):
            raise _wrong("name", f"{quoted(model.name)} is not the file's name", f"write name: {name}, of a-z, 0-9, _")
        if name in taken:
            raise _wrong("name", f"{name} is the name of a tool of aaOS", "name the file and the wrapper otherwise")
        return replace(_checked(model), sha256=hashlib.sha256(data).hexdigest())
    except InputError as error:
        field, _, message = error.message.partition(": ")
        raise SettingsError(f"{places.named(source, field.split('.'))}: {field}: {message}", error.remedy) from error


def _checked(model: _Wrapper) -> Wrapper:
    """Raises InputError whose message begins with the key."""
    parameters = {name: _parameter(name, one) for name, one in model.parameters.items()}
    _check_paths(model)
    wrapper = Wrapper(
        name=model.name,
        summary=model.summary,
        program=model.program,
        package=model.package,
        parameters=MappingProxyType(parameters),
        arguments=tuple(_arguments(model, parameters)),
        env=MappingProxyType(dict(model.env)),
        stdin=_stdin(model, parameters),
        cwd=_cwd(model, parameters),
        readable=model.readable,
        exec_paths=model.exec_paths,
        exec_writable=model.exec_writable,
        control_writable=model.control_files,
        egress=tuple(_place(index, text) for index, text in enumerate(model.egress)),
        asks=model.asks,
        success=model.success,
        output=model.output,
        limits=Limits(**dict(model.limits)),
    )
    _check_secret(wrapper)
    return wrapper


def _parameter(name: str, model: _Parameter) -> Parameter:
    field = f"parameters.{name}"
    if name in RESERVED:
        raise _wrong(field, f"{name} means something else to tools", "name the parameter otherwise")
    return check_parameter(field, name, dict(model))


def _arguments(model: _Wrapper, parameters: Mapping[str, Parameter]) -> Iterator[Argument]:
    for index, one in enumerate(model.argv):
        field = f"argv.{index}"
        if isinstance(one, str):
            _check_template(field, one, parameters, given=None)
            yield Argument((one,))
            continue
        if one.if_given not in parameters:
            raise _wrong(field, f"{quoted(one.if_given)} is not a parameter", suggestion(one.if_given, parameters))
        for template in one.args:
            _check_template(field, template, parameters, given=one.if_given)
        yield Argument(one.args, one.if_given)


def _check_template(field: str, text: str, parameters: Mapping[str, Parameter], *, given: str | None) -> None:
    if "\0" in text or not text:
        raise _wrong(field, "an argument is empty or holds NUL", f"correct {field}")
    names = _placeholders(field, text, parameters)
    for name in names:
        parameter = parameters[name]
        if parameter.is_list and text != f"{{{name}}}":
            raise _wrong(field, f"{name} is a list and stands with other text", f"write '{{{name}}}' alone")
        if parameter.kind is ParameterKind.BOOLEAN:
            raise _wrong(field, f"{name} is true or false and no text", f"write {{if_given: {name}, args: [...]}}")
        if parameter.is_optional and given != name:
            remedy = f"write {{if_given: {name}, args: [...]}}, or give {name} a default"
            raise _wrong(field, f"{name} may be missing", remedy)


def _stdin(model: _Wrapper, parameters: Mapping[str, Parameter]) -> str:
    for name in _placeholders("stdin", model.stdin, parameters):
        if parameters[name].kind is not ParameterKind.STRING:
            raise _wrong("stdin", f"{name} is no string", "give the text as one string")
    return model.stdin


def _cwd(model: _Wrapper, parameters: Mapping[str, Parameter]) -> str:
    """An absolute path, or one parameter that is a directory."""
    names = _placeholders("cwd", model.cwd, parameters)
    if not names:
        if not is_normal(model.cwd):
            raise _wrong("cwd", f"{quoted(model.cwd)} is not an absolute path", "write it in full, without '..'")
        return model.cwd
    parameter = parameters[names[0]]
    if model.cwd != f"{{{names[0]}}}" or parameter.kind is not ParameterKind.PATH or parameter.use is PathUse.MAKE:
        raise _wrong("cwd", f"{quoted(model.cwd)} is no directory", "name one parameter that is a path, alone")
    if parameter.is_optional:
        raise _wrong("cwd", f"{names[0]} may be missing", f"make parameters.{names[0]} required")
    return model.cwd


def _placeholders(field: str, text: str, parameters: Mapping[str, Parameter]) -> tuple[str, ...]:
    try:
        names = placeholders(text)
    except InputError as error:
        raise _wrong(field, error.message, error.remedy) from error
    for name in names:
        if name not in parameters:
            raise _wrong(field, f"{{{name}}} is not a parameter", suggestion(name, parameters))
    return names


def _check_paths(model: _Wrapper) -> None:
    named = [("program", model.program)]
    named += [(f"readable.{index}", path) for index, path in enumerate(model.readable)]
    named += [(f"exec_paths.{index}", path) for index, path in enumerate(model.exec_paths)]
    for field, path in named:
        if not is_normal(path) or path == "/":
            raise _wrong(field, f"{quoted(path)} is not a path of its own", "write it in full, without '..' and '//'")


def _check_secret(wrapper: Wrapper) -> None:
    """A secret goes with what is named, to one place, and no program gets it as a text of its own."""
    secrets = [name for name, one in wrapper.parameters.items() if one.kind is ParameterKind.SECRET]
    for index, text in enumerate(wrapper.asks):
        if not _ASK.fullmatch(text) or len(re.findall(r"\*+", text)) > MAX_WILD or "***" in text:
            remedy = (
                f"write it like GET /**/info/refs; * is within a segment, ** across them, {MAX_WILD} of them in all"
            )
            raise _wrong(f"asks.{index}", f"{quoted(text)} is no METHOD /PATH", remedy)
    if len(secrets) > 1:
        raise _wrong(f"parameters.{secrets[1]}", "a call has one secret", f"remove parameters.{secrets[1]}")
    if secrets and not (wrapper.asks and wrapper.connects):
        message = "a secret goes with requests to a host, and none are named"
        raise _wrong(f"parameters.{secrets[0]}", message, "write asks: [GET /**] and a parameter of type url")
    if wrapper.asks and not secrets:
        raise _wrong("asks", "there is no parameter of type secret", "remove asks")
    texts = [wrapper.stdin, *(text for one in wrapper.arguments for text in one.templates)]
    if secrets and any(secrets[0] in placeholders(text) for text in texts):
        message = f"{{{secrets[0]}}} is the name of a secret, and no program is told it"
        raise _wrong("argv", message, f"use it with if_given: {secrets[0]} only")


def _place(index: int, text: str) -> HostPort:
    found = _PLACE.fullmatch(text)
    if found is None or int(found["port"]) > 65_535:
        raise _wrong(f"egress.{index}", f"{quoted(text)} is no HOST:PORT", "write it like example.com:443")
    return HostPort(found["host"], int(found["port"]))


def _wrong(field: str, message: str, remedy: str) -> InputError:
    return InputError(f"{field}: {message}", remedy)
