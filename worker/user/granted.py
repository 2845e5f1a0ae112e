"""The words that the tools share: what a permit handed over, what a tool gives back, and how a name is shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.abi import Json


class ToolFailedError(Exception):
    """The tool could not do it; the text says what to ask for instead."""


@dataclass(frozen=True, slots=True)
class Granted:
    """One file of a permit: `use` is read, write, root or listing; `fd` is -1 for a path mounted in this worker."""

    path: str
    use: str
    fd: int


@dataclass(frozen=True, slots=True)
class Task:
    """A permitted call: its normalised arguments, its files, and the most bytes of text to give back."""

    args: Mapping[str, Json]
    files: Sequence[Granted]
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Output:
    """A result; a truncated one ends with a line that says what was cut and how to get the rest."""

    text: str
    truncated: bool = False


def shown(name: str) -> str:
    """A name or path on one line: as it is, or as a JSON string when it has characters that do not show.

    The JSON string can be copied into a call's arguments as it stands; a name that is not UTF-8 has no such form.
    """
    if name.isprintable() and '"' not in name and name == name.strip():
        return name
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return f"{json.dumps(name)} (not UTF-8: cannot be named in a call)"
    return json.dumps(name)
