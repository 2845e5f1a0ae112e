"""Parameters of wrapped programs: what a declaration must hold, and the typed input that is made from them.

Invariant: a value that passes is text without NUL and without control characters (line feeds and tabs where the
parameter has several lines), within its bounds, and matches its whole pattern. Pure.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, assert_never

from pydantic import AfterValidator, Field, JsonValue, create_model

from aaos.core.capability import Kind
from aaos.core.errors import InputError
from aaos.core.text import quoted
from aaos.tools.spec import Access, CellTool, Input, PathArg, ResourceArg, UrlArg
from aaos.tools.wrapper import Parameter, ParameterKind, PathUse, Wrapper

MAX_CHARS = 90_000
_KEYS = {  # of a declaration, beside those that every type has
    ParameterKind.STRING: {"pattern", "multiline", "min", "max"},
    ParameterKind.STRINGS: {"pattern", "min", "max", "items"},
    ParameterKind.INTEGER: {"min", "max"},
    ParameterKind.BOOLEAN: set[str](),
    ParameterKind.ENUM: {"choices"},
    ParameterKind.PATH: {"use"},
    ParameterKind.PATHS: {"use", "items"},
    ParameterKind.URL: set[str](),
    ParameterKind.SECRET: set[str](),
}
_ANY = {"type", "summary", "required", "default"}
_UNSET: Mapping[str, object] = {"multiline": False, "items": 16, "choices": ()}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROL_IN_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_ACCESS = {PathUse.READ: Access.SHOW, PathUse.WRITE: Access.CHANGE, PathUse.MAKE: Access.MAKE}
_KINDS = {
    PathUse.READ: (Kind.FILE_READ,),
    PathUse.WRITE: (Kind.FILE_READ, Kind.FILE_WRITE),
    PathUse.MAKE: (Kind.FILE_WRITE,),
}


def check_parameter(field: str, name: str, said: Mapping[str, Any]) -> Parameter:  # Any: typed by the document's model
    """The parameter that a declaration makes. Raises InputError whose message begins with the key."""
    kind = ParameterKind(said["type"])
    for key, value in said.items():
        if value not in (None, _UNSET.get(key)) and key not in _ANY | _KEYS[kind]:
            raise _wrong(f"{field}.{key}", f"does not belong to type {kind}", f"remove {field}.{key}")
    if said["required"] and said["default"] is not None:
        raise _wrong(field, "is required and has a default", f"remove one of them from {field}")
    if kind is ParameterKind.ENUM and not said["choices"]:
        raise _wrong(field, "an enum needs choices", f"write {field}.choices")
    is_flag = kind is ParameterKind.BOOLEAN
    default = False if is_flag and said["default"] is None else said["default"]
    least, most = _bounds(field, kind, said)
    parameter = Parameter(
        name=name,
        kind=kind,
        summary=said["summary"],
        is_required=default is None if said["required"] is None else said["required"],
        default=default,
        pattern=_pattern(field, said["pattern"]),
        is_multiline=said["multiline"],
        least=least,
        most=most,
        items=said["items"],
        choices=said["choices"],
        use=said["use"] or PathUse.READ,
    )
    _check_default(field, parameter)
    return parameter


def cell_tool(wrapper: Wrapper) -> CellTool:
    """The tool that a wrapper makes."""
    fields: dict[str, Any] = {name: _field(one) for name, one in wrapper.parameters.items()}  # Any: create_model's
    made = create_model(f"{wrapper.name}_input", __base__=Input, **fields)
    return CellTool(wrapper.name, wrapper.summary, made, wrapper, tuple(_resources(wrapper)))


def _resources(wrapper: Wrapper) -> Iterator[ResourceArg]:
    for name, one in wrapper.parameters.items():
        if one.is_path:
            yield ResourceArg(name, _KINDS[one.use], _ACCESS[one.use])
        elif one.kind is ParameterKind.URL:
            yield ResourceArg(name, (Kind.NETWORK,), Access.CONNECT)


def _field(parameter: Parameter) -> tuple[object, object]:
    """Its annotation and default, as `create_model` takes them."""
    about = Field(description=parameter.summary or None)
    typed = Annotated[_type(parameter), about]  # type: ignore[valid-type]  # made of the declaration
    if parameter.is_required:
        return typed, ...
    default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    return (typed | None if default is None else typed), default


def _type(parameter: Parameter) -> Any:  # Any: an annotation
    match parameter.kind:
        case ParameterKind.STRING:
            return _checked_text(parameter)
        case ParameterKind.STRINGS:
            return Annotated[list[_checked_text(parameter)], Field(min_length=1, max_length=parameter.items)]  # type: ignore[misc]  # made of the declaration
        case ParameterKind.INTEGER:
            return Annotated[int, Field(ge=parameter.least, le=parameter.most)]
        case ParameterKind.BOOLEAN:
            return bool
        case ParameterKind.ENUM:
            return Literal[parameter.choices]
        case ParameterKind.PATH:
            return PathArg
        case ParameterKind.PATHS:
            return Annotated[list[PathArg], Field(min_length=1, max_length=parameter.items)]
        case ParameterKind.URL:
            return UrlArg
        case ParameterKind.SECRET:
            return Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$", max_length=64)]
        case _:
            assert_never(parameter.kind)


def _checked_text(parameter: Parameter) -> Any:  # Any: an annotation
    def check(text: str) -> str:
        found = (_CONTROL_IN_LINES if parameter.is_multiline else _CONTROL).search(text)
        if found is not None:
            raise ValueError(f"holds {quoted(found[0])}, which is not accepted")
        if parameter.pattern is not None and not parameter.pattern.fullmatch(text):
            raise ValueError(f"{quoted(text)} does not match {parameter.pattern.pattern}")
        return text

    shown: dict[str, JsonValue] = {}
    if parameter.pattern is not None:
        shown["pattern"] = f"^(?:{parameter.pattern.pattern})$"
    bounds = Field(min_length=parameter.least, max_length=parameter.most, json_schema_extra=shown)
    return Annotated[str, bounds, AfterValidator(check)]


def _bounds(field: str, kind: ParameterKind, said: Mapping[str, Any]) -> tuple[int, int]:  # Any: as above
    is_number = kind is ParameterKind.INTEGER
    least = said["min"] if said["min"] is not None else 0 if is_number else 1
    most = said["max"] if said["max"] is not None else 2**31 - 1 if is_number else 1_000
    if least > most or (not is_number and not 0 <= least <= most <= MAX_CHARS):
        raise _wrong(field, f"min {least} and max {most} leave no value, or a text too long", f"correct {field}.max")
    return least, most


def _pattern(field: str, text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text, re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise _wrong(f"{field}.pattern", f"{quoted(text)}: {error}", f"correct {field}.pattern") from error


def _check_default(field: str, parameter: Parameter) -> None:
    if parameter.default is None:
        return
    if parameter.kind in (ParameterKind.PATH, ParameterKind.PATHS, ParameterKind.URL, ParameterKind.SECRET):
        raise _wrong(f"{field}.default", "nothing is granted by a default", f"remove {field}.default")
    model = create_model("default", __base__=Input, value=(_type(parameter), ...))
    value = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    try:
        model.model_validate({"value": value})
    except ValueError as error:
        message = f"{quoted(parameter.default)} is not a value of it"
        raise _wrong(f"{field}.default", message, f"correct {field}.default") from error


def _wrong(field: str, message: str, remedy: str) -> InputError:
    return InputError(f"{field}: {message}", remedy)
