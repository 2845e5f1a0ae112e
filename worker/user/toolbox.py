"""Carries out a permit: the right tool on the files that came with it.

Invariant: `carry_out` always returns; what a tool could not do is a result that is not ok.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from worker.abi import Json
from worker.user import files, grep, listing
from worker.user.granted import Granted, Output, Task, ToolFailedError


@dataclass(frozen=True, slots=True)
class Done:
    """What `tool.done` says."""

    ok: bool
    text: str
    truncated: bool = False


Tool = Callable[[Task], Output]


def echo(task: Task) -> Output:
    """The text, as it is."""
    return Output(task.args["text"])


TOOLS: Mapping[str, Tool] = {
    "echo": echo,
    "file_read": files.read,
    "file_read_many": files.read_many,
    "file_write": files.write,
    "file_edit": files.edit,
    "file_list": listing.file_list,
    "glob": listing.glob,
    "grep": grep.grep,
}


def carry_out(permit: Mapping[str, Json], fds: Sequence[int]) -> Done:
    """Run the permitted tool. `permit` is the reply's value, `fds` came with it; the caller closes them."""
    try:
        granted = [Granted(f["path"], f["use"], fds[f["fd"]] if f["fd"] >= 0 else -1) for f in permit["files"]]
        output = TOOLS[permit["tool"]](Task(permit["args"], granted, permit["limit_bytes"]))
        return Done(ok=True, text=output.text, truncated=output.truncated)
    except ToolFailedError as error:
        return Done(ok=False, text=str(error))
    except OSError as error:
        return Done(ok=False, text=f"{error.strerror}: {error.filename or permit['args'].get('path', '')}")
    except Exception as error:  # noqa: BLE001  # the boundary of a request: a tool's fault is its result
        return Done(ok=False, text=f"{type(error).__name__}: {error}")
