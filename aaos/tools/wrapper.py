"""A wrapped program as values: what a file of the wrappers' directories says, after all of it was checked.

Invariant: a wrapper names its program, its arguments and all that its cell gets; nothing of it is a shell's, and
nothing but the declared parameters varies from call to call. Must not read files nor run anything.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from aaos.core.cell import HostPort

END_OF_OPTIONS = ("--", "--end-of-options")


class ParameterKind(StrEnum):
    """The types of a wrapper's parameters."""

    STRING = "string"
    STRINGS = "strings"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    ENUM = "enum"
    PATH = "path"
    PATHS = "paths"
    URL = "url"
    SECRET = "secret"  # noqa: S105  # the name of one


class PathUse(StrEnum):
    """What a program may do with a path that it is given."""

    READ = "read"  # a file, or a directory with all in it
    WRITE = "write"  # a directory, in which it may do what it likes
    MAKE = "make"  # a file that it makes or replaces; its directory is writable for that


class Parser(StrEnum):
    """How a program's output becomes a result."""

    TEXT = "text"
    LINES = "lines"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `least` and `most` bound an integer's value, or the characters of each text; `items` a list."""

    name: str
    kind: ParameterKind
    summary: str = ""
    is_required: bool = True
    default: str | int | bool | tuple[str, ...] | None = None
    pattern: re.Pattern[str] | None = None
    is_multiline: bool = False
    least: int = 1
    most: int = 1_000
    items: int = 16
    choices: tuple[str, ...] = ()
    use: PathUse = PathUse.READ

    @property
    def is_list(self) -> bool:
        """Whether its value is several texts."""
        return self.kind in (ParameterKind.STRINGS, ParameterKind.PATHS)

    @property
    def is_path(self) -> bool:
        """Whether its value is a path, or several."""
        return self.kind in (ParameterKind.PATH, ParameterKind.PATHS)

    @property
    def is_optional(self) -> bool:
        """Whether a call may go without any value of it."""
        return not self.is_required and self.default is None


@dataclass(frozen=True, slots=True)
class Argument:
    """Templates of arguments, each of which becomes one; all of them are there only `if_given`, when that is named."""

    templates: tuple[str, ...]
    if_given: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one cell of this wrapper; see `core.cell.CellLimits`."""

    wall_s: int = 30
    cpu_s: int = 30
    memory_bytes: int = 512 * 2**20
    pids: int = 32
    nofile: int = 256
    fsize_bytes: int = 64 * 2**20
    output_bytes: int = 2**20
    tmpfs_bytes: int = 64 * 2**20
    address_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Wrapper:
    """One wrapped program. `success` are the exit statuses that are no failure; `package` has the program; a secret
    may go with `asks`."""

    name: str
    summary: str
    program: str
    package: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    arguments: tuple[Argument, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""
    cwd: str = "/tmp"  # noqa: S108  # the cell's own
    readable: tuple[str, ...] = ()
    exec_paths: tuple[str, ...] = ()
    exec_writable: bool = False
    control_writable: bool = False
    egress: tuple[HostPort, ...] = ()
    asks: tuple[str, ...] = ()
    success: tuple[int, ...] = (0,)
    output: Parser = Parser.TEXT
    limits: Limits = Limits()
    sha256: str = ""  # of the file that it was read from

    @property
    def secret(self) -> str | None:
        """The parameter that names a secret, if there is one."""
        return next((name for name, one in self.parameters.items() if one.kind is ParameterKind.SECRET), None)

    @property
    def connects(self) -> bool:
        """Whether its cell has a way to the network."""
        return bool(self.egress) or any(p.kind is ParameterKind.URL for p in self.parameters.values())

    @property
    def is_effect(self) -> bool:
        """Whether a call can change something outside of its cell."""
        writes = any(p.is_path and p.use is not PathUse.READ for p in self.parameters.values())
        return writes or self.connects
