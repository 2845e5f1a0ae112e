"""What a script can say: steps, each with an answer or a fault, as strict models of a YAML file.

Invariant: a script that is accepted can be played: every placeholder is known, every number in its bounds. An error
names the line and the nearest known name.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from aaos.core.errors import SettingsError
from aaos.core.schema import explain, read_model
from aaos.core.smallfile import read_small_file
from aaos.core.text import nearest, quoted, suggestion
from aaos.core.yamlfile import load_yaml

MAX_BYTES = 1_048_576
PLACEHOLDERS = ("last_result", "results", "user", "goal", "system", "turn", "model", "tools", "n")
PLACEHOLDER = re.compile(r"\{(\{[A-Za-z]\w*\})\}|\{([A-Za-z]\w*)\}", re.ASCII)  # {{name}} stands for {name} itself

_Place = tuple[int | str, ...]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class Hang(StrEnum):
    """Where an answer stops coming: before the connection, before its head, before its first byte, in its middle."""

    CONNECT = "connect"
    HEAD = "head"
    FIRST_BYTE = "first-token"
    MID_STREAM = "mid-stream"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Call(_Document):
    """A tool call to ask for; `repeat` asks for it so many times, `{n}` counting from 1. Without `id` it is unique."""

    tool: str = ""  # required, checked below: pydantic would name a misspelt key as a missing one
    args: dict[str, JsonValue] = {}
    id: str | None = None
    repeat: Count = 1


class Usage(_Document):
    """Tokens as the answer claims them; nonsense is allowed on purpose. What is unset is counted, roughly."""

    input: int | float | None = None
    output: int | float | None = None
    cached: int | float | None = None


class When(_Document):
    """What a request must be for the step to answer it: all of what is set.

    Texts are looked for: `last` in the last user message or tool result, `user` in the last user message, `goal` in the
    first, `result` in the tool results after the last answer, `system` in the system prompt; `model` is a whole name.
    `turn` is 1 for a conversation without answers, 2 after the first.
    """

    last: str | None = None
    user: str | None = None
    goal: str | None = None
    result: str | None = None
    system: str | None = None
    model: str | None = None
    has_results: bool | None = None
    turn: Count | None = None


class Step(_Document):
    """One answer: a text, tool calls, or a fault. With `when` it answers whatever fits, without it takes its turn."""

    when: When | None = None
    times: Count | None = None

    text: str = ""
    calls: tuple[Call, ...] = ()
    usage: Usage | None = None
    finish: str | None = None
    model: str | None = None
    chunks: Count = 3
    delay_s: Seconds = 0.0

    status: Annotated[int, Field(ge=400, le=599)] | None = None
    retry_after: int | float | str | None = None
    message: str | None = None
    hang: Hang | None = None
    trickle: Annotated[float, Field(gt=0)] | None = None
    cut: Annotated[int, Field(ge=0)] | None = None
    html: bool = False
    wrong_json: bool = False
    duplicate_ids: bool = False
    redirect: str | None = None
    bad_arguments: Literal[True] | str | None = None
    no_usage: bool = False
    wrong_content_type: Literal[True] | str | None = None
    error_body_200: bool = False
    error_event: bool = False
    echo_key: bool = False

    @property
    def is_fault(self) -> bool:
        """Whether a client is expected to ask the same again."""
        whole = (self.html, self.wrong_json, self.error_body_200, self.error_event, self.echo_key)
        partial = (self.status, self.hang, self.cut, self.redirect)
        return any(whole) or any(fault is not None for fault in partial)


class Script(_Document):
    """A whole script; `models` is what GET /v1/models lists."""

    steps: Annotated[tuple[Step, ...], Field(max_length=10_000)]
    models: Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)] = ("scripted",)


def read_script(data: bytes, source: str) -> Script:
    """The script in YAML; `source` names the file in errors. Raises SettingsError with the line."""
    document = load_yaml(data, source, max_bytes=MAX_BYTES)
    try:
        script = read_model(Script, document, source=source)
    except SettingsError as error:
        if isinstance(error.__cause__, ValidationError):
            raise _with_line(error.__cause__, data, source) from error
        raise
    for place, message, remedy in _problems(script):
        raise SettingsError(f"{source}, line {line_of(data, place)}: {message}", remedy)
    return script


def load_script(path: Path) -> Script:
    """The script in a file. Raises SettingsError."""
    return read_script(read_small_file(path, max_bytes=MAX_BYTES), str(path))


def _with_line(error: ValidationError, data: bytes, source: str) -> SettingsError:
    place = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
    message, remedy = explain(error, Script)
    return SettingsError(f"{source}, line {line_of(data, place)}: {message}", remedy)


def line_of(data: bytes, place: _Place) -> int:
    """The line, from 1, of what stands at `place` in a YAML document; of the nearest above it that is there."""
    node: yaml.Node | None = yaml.compose(data, Loader=yaml.SafeLoader)
    line = 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found: tuple[yaml.Node, yaml.Node] | None = next((row for row in node.value if row[0].value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            inner: yaml.Node = node.value[part]
            line, node = inner.start_mark.line + 1, inner
    return line


def _problems(script: Script) -> Iterator[tuple[_Place, str, str]]:
    """What a model of pydantic's cannot say: where, what, and the remedy."""
    if not script.steps:
        yield ("steps",), "steps: there are none", "write at least one step"
    for index, step in enumerate(script.steps):
        for number, call in enumerate(step.calls):
            if "tool" not in call.model_fields_set:
                yield (
                    ("steps", index, "calls", number),
                    f"steps.{index}.calls.{number}.tool: is missing",
                    "name the tool",
                )
        for text in (step.text, *(text for call in step.calls for text in _texts(call.args))):
            for match in PLACEHOLDER.finditer(text):
                if match[2] and match[2] not in PLACEHOLDERS:
                    yield ("steps", index), f"{quoted(match[0])} is not a placeholder", _instead_of(match[2])


def _instead_of(name: str) -> str:
    near = nearest(name, PLACEHOLDERS)
    literal = f"{{{{{name}}}}} for the words themselves"
    return f"write {{{near}}}, or {literal}" if near else f"{suggestion(name, PLACEHOLDERS)}; or {literal}"


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
