"""Turns what pydantic says about a foreign document into one of our errors, with the nearest name for a misspelt key.

Invariant: every problem names the place in the document in its own words; no value longer than a line is shown.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from aaos.core.errors import InputError, SettingsError
from aaos.core.text import quoted, suggestion
from aaos.core.yamlfile import Places

M = TypeVar("M", bound=BaseModel)

_MAX_PROBLEMS = 5
_MAX_KEYS = 64  # more than any model here has


def read_model(model: type[M], document: object, *, source: str, places: Places | None = None) -> M:
    """The document, which came from YAML, TOML or JSON, as a strict `model`; an error names the first of `places`.

    Raises SettingsError.
    """
    try:
        data = json.dumps(document, ensure_ascii=False, default=_refused)
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        message, remedy = explain(error, model)
        where = places.named(source, _problems(error)[0]["loc"]) if places else source
        raise SettingsError(f"{where}: {message}", remedy) from error
    except InputError as error:
        raise SettingsError(f"{source}: {error.message}", error.remedy) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise SettingsError(f"{source}: {quoted(str(error), max_chars=200)}", f"correct {source}") from error


def refuse_flood(document: Mapping[str, object], model: type[BaseModel]) -> None:
    """Before a foreign object is validated, which takes a second for a million unknown keys. Raises InputError."""
    if len(document) > _MAX_KEYS:
        raise InputError(f"{len(document)} keys are too many", f"known: {', '.join(model.model_fields)}")


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[str, str]:
    """What is wrong and what to do about the first problem: (message, remedy)."""
    problems = _problems(error)
    shown = [f"{_place(p['loc'])}: {_said(p['type'], p['msg'], p['input'])}" for p in problems[:_MAX_PROBLEMS]]
    if len(problems) > _MAX_PROBLEMS:
        shown.append(f"and {len(problems) - _MAX_PROBLEMS} more")
    first = problems[0]
    if first["type"] == "extra_forbidden":
        return "; ".join(shown), suggestion(str(first["loc"][-1]), _keys(model, first["loc"][:-1]))
    return "; ".join(shown), f"correct {_place(first['loc'])}"


def _problems(error: ValidationError) -> list[Any]:  # Any: pydantic's own mapping
    """Unknown keys first: a misspelt one explains another that is missing."""
    found = error.errors(include_url=False, include_context=False)
    return sorted(found, key=lambda one: one["type"] != "extra_forbidden")


def _said(kind: str, message: str, value: object) -> str:
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    return f"{message}, not {quoted(value)}"


def _place(location: Sequence[int | str]) -> str:
    return ".".join(quoted(str(part))[1:-1] for part in location) or "the document"


def _keys(model: type[BaseModel], location: Sequence[int | str]) -> tuple[str, ...]:
    """The keys that the model at `location` knows; none when the place cannot be followed."""
    at: object = model
    for part in location:
        if isinstance(at, type) and issubclass(at, BaseModel):
            found = at.model_fields.get(str(part))
            at = _inner(found.annotation if found else None)
        else:  # a position in a list, or a key of a mapping
            at = _inner(next(iter(reversed(_arguments(at))), None))
    return tuple(at.model_fields) if isinstance(at, type) and issubclass(at, BaseModel) else ()


def _inner(annotation: object) -> object:
    """`T` for `T | None`; anything else as it is."""
    is_optional = type(None) in get_args(annotation)
    return _arguments(annotation)[0] if is_optional else annotation


def _arguments(annotation: object) -> list[object]:
    return [argument for argument in get_args(annotation) if argument not in (type(None), ...)]


def _refused(value: object) -> object:
    raise InputError(f"{quoted(str(value))} is a {type(value).__name__}, which no key takes", "put quotes around it")
