"""What a tool is: a name, a typed input, the resources its arguments name, and a route that is its type.

Invariant: a tool without a route cannot be written, and every argument that names a path or an address says what kind
of use it is and how the file is handed over. Must not open or run anything.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, assert_never

from pydantic import BaseModel, ConfigDict, Field

from aaos.core.capability import Kind
from aaos.core.ports import BrokerCall, BrokerResult
from aaos.core.url import MAX_URL_CHARS
from aaos.tools.wrapper import Wrapper
from worker.abi import Json

RESULT_BYTES = 49_152
PATH_FORMAT = "path"
URL_FORMAT = "url"

# Raises unless the sealed content (an fd) is what the arguments make of the sealed pre-image (an fd, or -1).
ContentCheck = Callable[[Mapping[str, Json], int, int], None]

PathArg = Annotated[str, Field(min_length=1, max_length=4_096, json_schema_extra={"format": PATH_FORMAT})]
UrlArg = Annotated[str, Field(min_length=1, max_length=MAX_URL_CHARS, json_schema_extra={"format": URL_FORMAT})]


class Input(BaseModel):
    """The arguments of a tool: strict, closed, frozen. Field descriptions are what a model reads."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Access(StrEnum):
    """How a named path is handed to the worker, or to a cell."""

    FILE = "file"  # one regular file, open for reading
    DIRECTORY = "directory"  # a directory, for its own entries
    WALK = "walk"  # a directory, for the names of everything below it
    TREE = "tree"  # a regular file, or a directory whose files are read
    REPLACE = "replace"  # the worker's bytes become the file
    EDIT = "edit"  # the file to read, and the worker's bytes become the file
    FETCH = "fetch"  # a web address, asked for by agentd; the argument `method` says how
    SHOW = "show"  # a file or a directory with all in it, read-only in a cell
    CHANGE = "change"  # a directory in which a cell may change everything
    MAKE = "make"  # a file that a cell makes or replaces; its directory is writable for that
    CONNECT = "connect"  # a web address whose host a cell may connect to

    @property
    def is_address(self) -> bool:
        """Whether it names an address and not a path."""
        return self in (Access.FETCH, Access.CONNECT)


@dataclass(frozen=True, slots=True)
class ResourceArg:
    """An argument that names one path or address, or a list of them: each is charged for every kind, then opened."""

    arg: str
    kinds: tuple[Kind, ...]
    access: Access


@dataclass(frozen=True, slots=True)
class WorkerTool:
    """Carried out by the agent's own worker on what a permit hands it."""

    name: str
    summary: str
    input: type[Input]
    resources: tuple[ResourceArg, ...] = ()
    check: ContentCheck | None = None

    @property
    def is_effect(self) -> bool:
        """Whether it changes something outside of the worker: then its content is checked before it is published."""
        return self.check is not None

    @property
    def schema(self) -> Mapping[str, Json]:
        """The input as JSON Schema, for models and operators."""
        return _schema(self.input)


@dataclass(frozen=True, slots=True)
class BrokerTool:
    """Carried out by the daemon itself; `run` gets the normalised arguments and what it may know of the call."""

    name: str
    summary: str
    input: type[Input]
    run: Callable[[Mapping[str, Any], BrokerCall], Awaitable[BrokerResult]]  # Any: the types of `input`
    resources: tuple[ResourceArg, ...] = ()
    is_effect: bool = False

    @property
    def schema(self) -> Mapping[str, Json]:
        """The input as JSON Schema, for models and operators."""
        return _schema(self.input)


@dataclass(frozen=True, slots=True)
class CellTool:
    """Carried out by a program in a cell of its own, as its wrapper says."""

    name: str
    summary: str
    input: type[Input]
    wrapper: Wrapper
    resources: tuple[ResourceArg, ...] = ()

    @property
    def is_effect(self) -> bool:
        """Whether a call can change something outside of its cell."""
        return self.wrapper.is_effect

    @property
    def schema(self) -> Mapping[str, Json]:
        """The input as JSON Schema, for models and operators."""
        return _schema(self.input)


Tool = WorkerTool | BrokerTool | CellTool


def route_of(tool: Tool) -> str:
    """Where its calls are carried out, as operators read it."""
    match tool:
        case WorkerTool():
            return "worker"
        case BrokerTool():
            return "broker"
        case CellTool():
            return "cell"
        case _:
            assert_never(tool)


@cache
def _schema(input_type: type[Input]) -> Mapping[str, Json]:
    return input_type.model_json_schema()
