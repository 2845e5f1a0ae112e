"""`agentd tools validate FILE…`: whether each file is a wrapper, by the reader that the daemon uses.

Invariant: nothing is changed or run; an error names line and column, and the nearest right name.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from aaos.core.errors import AaosError, ExitCode, SettingsError
from aaos.core.rpc import Json
from aaos.core.smallfile import read_small_file
from aaos.core.text import escape_for_terminal
from aaos.tools.catalog import CATALOG
from aaos.tools.offered import is_there
from aaos.tools.web import NAME as WEB_FETCH
from aaos.tools.wrapperfile import MAX_FILE_BYTES, read_wrapper
from aaos.tools.wrapperparameter import cell_tool

OWN_NAMES = frozenset({*CATALOG, WEB_FETCH})


def main(words: Sequence[str]) -> int:
    """`words` are the files, and `--json`."""
    is_json = "--json" in words
    found = [validated(Path(word)) for word in words if word != "--json"]
    for one in found:
        sys.stdout.write(f"{json.dumps(one) if is_json else _shown(one)}\n")
    return ExitCode.OK if all(one["ok"] for one in found) else ExitCode.USAGE


def validated(file: Path) -> dict[str, Json]:
    """What is to be said of one file."""
    try:
        wrapper = read_wrapper(read_small_file(file, max_bytes=MAX_FILE_BYTES), str(file), taken=OWN_NAMES)
        tool = cell_tool(wrapper)
    except SettingsError as error:
        return {"file": str(file), "ok": False, **_error(error)}
    names: list[Json] = list(tool.input.model_fields)
    return {
        "file": str(file),
        "ok": True,
        "tool": tool.name,
        "parameters": names,
        "program": wrapper.program,
        "is_there": is_there(wrapper),
        "package": wrapper.package,
    }


def _error(error: AaosError) -> dict[str, Json]:
    return {"message": error.message, "remedy": error.remedy}


def _shown(one: dict[str, Json]) -> str:
    if not one["ok"]:
        return escape_for_terminal(f"BAD  {one['message']}") + "\n     try: " + escape_for_terminal(str(one["remedy"]))
    names = one["parameters"]
    listed = ", ".join(map(str, names)) if isinstance(names, list) and names else "no parameters"
    there = "" if one["is_there"] else f"; {one['program']} is not there: apt-get install {one['package']}"
    return escape_for_terminal(f"ok   {one['file']}: {one['tool']} ({listed}){there}")
