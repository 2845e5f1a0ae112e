"""The one table of tools, with the input of each. A new tool is a row here.

Invariant: names are unique, and every argument of the format `path` is declared as a resource of its tool.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from aaos.core.capability import Kind
from aaos.tools.content import check_edit, check_write
from aaos.tools.spec import RESULT_BYTES, Access, Input, PathArg, ResourceArg, Tool, WorkerTool

MAX_RESULT_BYTES = 524_288  # six times as much as JSON is still a frame
MAX_LINES = 1_000_000
MAX_OFFSET = 2**53 - 1
MAX_MANY = 16
MAX_CONTENT = 2_097_152
MAX_PATTERN = 1_000

MaxBytes = Annotated[int, Field(ge=64, le=MAX_RESULT_BYTES, description="most bytes of the file in one result")]
Limit = Annotated[int, Field(ge=1, le=2_000, description="most entries in one result")]


class EchoInput(Input):
    """Input of `echo`."""

    text: Annotated[str, Field(max_length=10_000)]


class FileReadInput(Input):
    """Input of `file_read`. `offset` counts lines from 1, `byte_offset` bytes from 0; at most one of them is given."""

    path: PathArg
    offset: Annotated[int, Field(ge=1, le=MAX_OFFSET, description="first line, counted from 1")] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_LINES, description="most lines in one result")] = 5_000
    byte_offset: Annotated[int, Field(ge=0, le=MAX_OFFSET, description="first byte, in place of offset")] | None = None
    numbered: Annotated[bool, Field(description="put the line's number before each line")] = False
    encoding: Annotated[Literal["utf-8", "base64"], Field(description="base64 for what is not text")] = "utf-8"
    max_bytes: MaxBytes = RESULT_BYTES

    @model_validator(mode="after")
    def _one_position(self) -> "FileReadInput":
        if self.byte_offset is not None and (self.offset is not None or self.numbered):
            raise ValueError("byte_offset goes with neither offset nor numbered")
        if self.encoding == "base64" and (self.offset is not None or self.numbered):
            raise ValueError("base64 goes with byte_offset, not with lines")
        return self


class FileReadManyInput(Input):
    """Input of `file_read_many`."""

    paths: Annotated[list[PathArg], Field(min_length=1, max_length=MAX_MANY)]
    max_bytes: MaxBytes = RESULT_BYTES


class FileListInput(Input):
    """Input of `file_list`."""

    path: PathArg
    after: Annotated[str, Field(max_length=1_024, description="list the names that sort after this one")] = ""
    limit: Limit = 500


class FileWriteInput(Input):
    """Input of `file_write`."""

    path: PathArg
    content: Annotated[str, Field(max_length=MAX_CONTENT)]


class FileEditInput(Input):
    """Input of `file_edit`."""

    path: PathArg
    old: Annotated[str, Field(min_length=1, max_length=MAX_CONTENT, description="text that occurs exactly once")]
    new: Annotated[str, Field(max_length=MAX_CONTENT)]

    @model_validator(mode="after")
    def _changes_something(self) -> "FileEditInput":
        if self.old == self.new:
            raise ValueError("old and new are the same: nothing would change")
        return self


class GrepInput(Input):
    """Input of `grep`."""

    path: PathArg
    pattern: Annotated[
        str, Field(min_length=1, max_length=MAX_PATTERN, description=". [a-z] [^a] ^ $ | ( ) * + ? {m,n} \\d \\w \\s")
    ]
    fixed: Annotated[bool, Field(description="the pattern is plain text")] = False
    ignore_case: bool = False
    files: Annotated[str, Field(max_length=255, description="only files with such names, e.g. *.py")] = "*"
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET, description="matching lines to skip")] = 0
    limit: Limit = 200


class GlobInput(Input):
    """Input of `glob`."""

    path: PathArg
    pattern: Annotated[
        str,
        Field(min_length=1, max_length=MAX_PATTERN, description="below path; * ? [abc] in a name, ** for directories"),
    ]
    after: Annotated[str, Field(max_length=4_096, description="list the paths that sort after this one")] = ""
    limit: Limit = 500


_READ = (Kind.FILE_READ,)
_WRITE = (Kind.FILE_WRITE,)
_TOOLS: tuple[Tool, ...] = (
    WorkerTool("echo", "Gives the text back.", EchoInput),
    WorkerTool(
        "file_read",
        "Reads a text file, or a part of it. A cut result ends with a line that says how to go on.",
        FileReadInput,
        (ResourceArg("path", _READ, Access.FILE),),
    ),
    WorkerTool(
        "file_read_many",
        "Reads up to 16 text files.",
        FileReadManyInput,
        (ResourceArg("paths", _READ, Access.FILE),),
    ),
    WorkerTool(
        "file_list",
        "Lists a directory: kind, size and name of each entry, sorted by name.",
        FileListInput,
        (ResourceArg("path", _READ, Access.DIRECTORY),),
    ),
    WorkerTool(
        "file_write",
        "Writes a whole file: all of it, or nothing on failure.",
        FileWriteInput,
        (ResourceArg("path", _WRITE, Access.REPLACE),),
        check=check_write,
    ),
    WorkerTool(
        "file_edit",
        "Replaces one exact text in a file; it must occur exactly once.",
        FileEditInput,
        (ResourceArg("path", (Kind.FILE_READ, Kind.FILE_WRITE), Access.EDIT),),
        check=check_edit,
    ),
    WorkerTool(
        "grep",
        "Finds the lines of a file, or of all files below a directory, that match a pattern.",
        GrepInput,
        (ResourceArg("path", _READ, Access.TREE),),
    ),
    WorkerTool(
        "glob",
        "Lists the files below a directory whose path matches a pattern such as **/*.md.",
        GlobInput,
        (ResourceArg("path", _READ, Access.WALK),),
    ),
)

CATALOG: Mapping[str, Tool] = {tool.name: tool for tool in _TOOLS}
