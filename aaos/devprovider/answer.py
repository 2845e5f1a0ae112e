"""A step as the answer to one request: templates filled, calls numbered, tokens counted.

Invariant: filling is one pass; what came from the request is never looked at for placeholders again.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import assert_never

from pydantic import JsonValue

from aaos.devprovider.asked import Asked, Wire
from aaos.devprovider.script import PLACEHOLDER, Step, Usage

CHARS_PER_TOKEN = 4
BROKEN_ARGUMENTS = '{"path": "/tmp/'


@dataclass(frozen=True, slots=True)
class AnswerCall:
    """A call with its arguments as JSON text, which a fault may have broken."""

    id: str
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the answer claims to have used; `input` includes `cached`."""

    input: int | float
    output: int | float
    cached: int | float


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say in either wire format; `finish` is in the words of the format when the script says one."""

    id: str
    model: str
    text: str
    calls: tuple[AnswerCall, ...]
    tokens: Tokens | None
    finish: str | None
    pieces: int


def compose(step: Step, asked: Asked, *, number: int) -> Answer:
    """What `step` says to the request; `number` makes the ids unique."""
    values = _values(asked)
    text = fill(step.text, values)
    calls = tuple(_calls(step, values, prefix=_prefix(asked.wire), number=number))
    return Answer(
        id=f"{'chatcmpl' if asked.wire is Wire.CHAT else 'msg'}_{number:08d}",
        model=step.model or asked.model,
        text=text,
        calls=calls,
        tokens=None if step.no_usage else _tokens(step.usage or Usage(), asked, text=text, calls=calls),
        finish=step.finish,
        pieces=step.chunks,
    )


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with the placeholders replaced; other braces, those of JSON for one, stay as they are."""
    return PLACEHOLDER.sub(lambda match: match[1] or values.get(match[2], match[0]), text) if "{" in text else text


def pieces_of(text: str, count: int) -> Iterator[str]:
    """`text` in at most `count` pieces of nearly equal length; none when it is empty."""
    size = max(1, math.ceil(len(text) / count))
    return (text[start : start + size] for start in range(0, len(text), size))


def _values(asked: Asked) -> dict[str, str]:
    return {
        "last_result": asked.results[-1] if asked.results else "",
        "results": "\n".join(asked.results),
        "user": asked.user,
        "goal": asked.goal,
        "system": asked.system,
        "turn": str(asked.turn),
        "model": asked.model,
        "tools": ", ".join(asked.tools),
        "n": "1",
    }


def _calls(step: Step, values: dict[str, str], *, prefix: str, number: int) -> Iterator[AnswerCall]:
    position = 0
    for call in step.calls:
        for n in range(1, call.repeat + 1):
            position += 1
            arguments = _arguments(step, _filled(call.args, values | {"n": str(n)}))
            own = call.id if call.id is not None else f"{prefix}_{number:08d}_{position}"
            yield AnswerCall(f"{prefix}_same" if step.duplicate_ids else own, call.tool, arguments)


def _arguments(step: Step, args: JsonValue) -> str:
    match step.bad_arguments:
        case None:
            return json.dumps(args, ensure_ascii=False)
        case True:
            return BROKEN_ARGUMENTS
        case str():
            return step.bad_arguments
        case _:
            assert_never(step.bad_arguments)


def _filled(value: JsonValue, values: Mapping[str, str]) -> JsonValue:
    if isinstance(value, str):
        return fill(value, values)
    if isinstance(value, dict):
        return {key: _filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, values) for inner in value]
    return value


def _prefix(wire: Wire) -> str:
    return "call" if wire is Wire.CHAT else "toolu"


def _tokens(usage: Usage, asked: Asked, *, text: str, calls: tuple[AnswerCall, ...]) -> Tokens:
    said = len(text) + sum(len(call.arguments) for call in calls)
    return Tokens(
        input=usage.input if usage.input is not None else max(1, asked.size_bytes // CHARS_PER_TOKEN),
        output=usage.output if usage.output is not None else max(1, said // CHARS_PER_TOKEN),
        cached=usage.cached if usage.cached is not None else 0,
    )
