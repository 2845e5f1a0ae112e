"""A permit is always answered, whatever is wrong with it or with its files."""

import os
from pathlib import Path

from aaos.tools.catalog import CATALOG
from aaos.tools.spec import WorkerTool
from worker.user import toolbox


def permit(tool: str, args: object, *files: object) -> dict[str, object]:
    return {"permit": "p", "tool": tool, "args": args, "files": list(files), "limit_bytes": 1_000}


def test_every_worker_tool_of_the_catalog_is_here() -> None:
    """H-CAP-11: no tool is permitted that nobody can carry out, and none is here that is not in the catalog."""
    assert set(toolbox.TOOLS) == {name for name, tool in CATALOG.items() if isinstance(tool, WorkerTool)}


def test_files_are_found_by_their_place_among_the_fds(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("text")
    decoy, fd = os.open("/dev/null", os.O_RDONLY), os.open(tmp_path / "f", os.O_RDONLY)
    args = {"offset": None, "limit": 9, "byte_offset": None, "numbered": False, "encoding": "utf-8", "max_bytes": 99}
    asked = permit("file_read", args, {"path": "/data/f", "use": "read", "fd": 1})
    assert toolbox.carry_out(asked, [decoy, fd]) == toolbox.Done(ok=True, text="text")


def test_what_a_tool_cannot_do_is_its_result(tmp_path: Path) -> None:
    args = {"after": "", "limit": 9}
    missing = permit("file_list", args, {"path": str(tmp_path / "none"), "use": "root", "fd": -1})
    assert toolbox.carry_out(missing, []) == toolbox.Done(False, f"No such file or directory: {tmp_path}/none")
    pattern = permit("glob", {**args, "pattern": "[z-a]"}, {"path": str(tmp_path), "use": "root", "fd": -1})
    assert "not a file name pattern" in toolbox.carry_out(pattern, []).text


def test_a_permit_that_makes_no_sense_is_answered_too() -> None:
    for asked in (
        permit("no_such_tool", {}),
        permit("file_read", {}),
        permit("echo", 1),
        permit("echo", {}, {"use": "?"}),
    ):
        assert not toolbox.carry_out(asked, []).ok


def test_echo() -> None:
    assert toolbox.carry_out(permit("echo", {"text": "hä"}), []) == toolbox.Done(ok=True, text="hä")
