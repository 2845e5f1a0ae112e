"""The structured task of a subtask, as tier T0 reads it from the request's parameters.

Invariant: parameters come from a plan that code made or checked; a wrong one is an error that names it, never a guess.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from aaos.core.errors import ProviderError
from aaos.core.ids import SubtaskId
from aaos.core.text import quoted, suggestion
from aaos.llm.rules_pages import Page, pages_of
from aaos.llm.rules_talk import Made, Trouble, calls_made
from aaos.llm.types import ModelRequest, Param

_TREE = "/**"
_TO_MODELS = ": ask for it with encoding=base64"  # file_read's advice on what is not text, of no use to an operator

E = TypeVar("E", bound=StrEnum)


class TaskName(StrEnum):
    """What tier T0 can do in one subtask."""

    SUMMARISE = "summarise"
    COMPARE = "compare"
    REPORT = "report"
    SEARCH = "search"
    COUNT = "count"
    STORIES = "stories"
    COMPARE_STORIES = "compare-stories"
    COMBINE = "combine"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Task:
    """A request with its conversation so far, read once."""

    name: TaskName
    params: Mapping[str, Param]
    inputs: Mapping[SubtaskId, str]
    made: tuple[Made, ...]

    def text(self, name: str, default: str = "") -> str:
        """A parameter that is text. Raises ProviderError."""
        value = self.params.get(name, default)
        if isinstance(value, str):
            return value
        raise _wrong(name, value, "text")

    def number(self, name: str) -> int:
        """A parameter that is a whole number, 0 unless given. Raises ProviderError."""
        value = self.params.get(name, 0)
        if type(value) is int:
            return value
        raise _wrong(name, value, "a whole number")

    def choice(self, name: str, kind: type[E], default: E) -> E:
        """A parameter that is one of the members of `kind`. Raises ProviderError."""
        value = self.text(name, default.value)
        found = next((member for member in kind if member.value == value), None)
        if found is None:
            raise ProviderError(f"{name}: {quoted(value)} is not known to tier T0", suggestion(value, [*kind]))
        return found

    def paths(self) -> tuple[str, ...]:
        """The paths to read, a directory with `/**` at its end. Raises ProviderError when there is nothing to read."""
        value = self.params.get("paths", ())
        paths = (value,) if isinstance(value, str) else value
        if isinstance(paths, tuple | list) and (paths or self.pages):
            return tuple(paths)
        raise _wrong("paths", value, "one or more paths")

    @property
    def pages(self) -> tuple[Page, ...]:
        """The web pages among the inputs."""
        return pages_of(self.inputs)


def read_task(request: ModelRequest) -> Task:
    """The task of a request. Raises ProviderError for one that tier T0 does not know."""
    name = request.params.get("task", "")
    found = next((task for task in TaskName if task.value == name), None)
    if found is None:
        raise ProviderError(
            f"tier T0 answers structured tasks, and {quoted(name)} of role {request.role} is none it knows;"
            " free tasks take a language model (tier T1, T2 or T3)",
            f"tier T0 knows: {', '.join(TaskName)}",
        )
    return Task(found, request.params, request.inputs, calls_made(request.messages))


def is_tree(path: str) -> bool:
    """Whether a path parameter means a directory and all below it."""
    return path.endswith(_TREE)


def bare(path: str) -> str:
    """A path parameter as the tools take it."""
    return path.removesuffix(_TREE) or "/" if is_tree(path) else path


def told(troubles: Sequence[Trouble]) -> ProviderError:
    """The error for what could not be read; the remedy is in the tool's own words where it gave one."""
    first = troubles[0]
    text = "; ".join(f"{one.path}: {_on_one_line(one.text)[:300]}" for one in troubles[:5])
    more = f" (and {len(troubles) - 5} more)" if len(troubles) > 5 else ""
    if _TO_MODELS in first.text:
        return ProviderError(f"could not read {text}{more}", "name files of text, or turn this one into text before")
    return ProviderError(
        f"could not read {text}{more}", f"look whether you may read it: ls -ld {shlex.quote(first.path)}"
    )


def _on_one_line(text: str) -> str:
    """A refusal's message and its remedy, which stand on lines of their own."""
    lines = (" ".join(line.split()) for line in text.replace(_TO_MODELS, "").splitlines())
    return "; ".join(filter(None, lines))


def _wrong(name: str, value: object, wanted: str) -> ProviderError:
    return ProviderError(f"parameter {name} is {quoted(value)}, not {wanted}", f"give {name} as {wanted}")
