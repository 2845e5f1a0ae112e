"""From the annotations of a frozen dataclass to a check of each field: what a value that came as JSON must be.

Invariant: a check answers for every object and never raises; an annotation without a check is an error at import.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any  # the annotation of a JSON value that another schema checks

MAX_INT = 2**53 - 1  # what every JSON implementation keeps exact (RFC 8259, section 6)

Checker = Callable[[object], bool]


def checkers(cls: type) -> dict[str, Checker]:
    """A check for each field of a dataclass. Raises TypeError for an annotation that has none."""
    hints = typing.get_type_hints(cls)
    return {field.name: _checker(hints[field.name]) for field in dataclasses.fields(cls)}


def _checker(annotation: object) -> Checker:
    if annotation is int:
        return lambda value: type(value) is int and 0 <= value <= MAX_INT
    if annotation in (str, bool):
        return lambda value: type(value) is annotation
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        item = _checker(args[0])
        return lambda value: isinstance(value, list | tuple) and all(map(item, value))
    if origin is types.UnionType:
        one = _checker(args[0])
        return lambda value: value is None or one(value)
    if origin is Mapping and args[1] is Any:  # its values have a schema of their own
        return lambda value: type(value) is dict
    if origin is Mapping:
        of_values = _checker(args[1])
        return lambda value: type(value) is dict and all(map(of_values, value.values()))
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return lambda value: isinstance(value, annotation)
    raise TypeError(f"no checker for {annotation!r}")
