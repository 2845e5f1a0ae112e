"""What a wrapper names must be root's: the file, the way to it, every link on that way and where it leads."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aaos.core.errors import ConfinementError, NotFoundError
from aaos.daemon.doctor import wrapper_findings
from aaos.sandbox.cellplan import plan_cell
from aaos.sandbox.trusted import require_trusted
from aaos.tools.wrapper import Wrapper
from aaos.tools.wrapperfile import WrapperSet
from tests.kernel.cells import cell
from tests.kernel.harness import OWNER


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """A program of root's in directories of root's, below one that is sticky."""
    made = tmp_path / "opt/tools/tool"
    made.parent.mkdir(parents=True)
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    return made


def test_what_is_roots_leads_where_it_leads(tool: Path) -> None:
    """ISO-12: /tmp above it is sticky, so that nobody replaces what is root's there."""
    link = tool.parent / "link"
    link.symlink_to("../tools/./tool")
    (tool.parent / "away").symlink_to(f"{tool.parent}/link")
    assert require_trusted(f"{tool.parent}/away") == str(tool)
    assert require_trusted("/bin/sh") == os.path.realpath("/bin/sh")
    assert require_trusted(f"{tool.parent}/../tools//tool") == str(tool)


def _owned(tool: Path) -> None:
    os.chown(tool, OWNER, OWNER)


def _writable(tool: Path) -> None:
    tool.chmod(0o775)


def _owned_above(tool: Path) -> None:
    os.chown(tool.parent.parent, OWNER, OWNER)


def _writable_above(tool: Path) -> None:
    tool.parent.parent.chmod(0o757)


def _by_a_link(tool: Path) -> None:
    """The link is somebody's, what it leads to is root's today."""
    real = tool.rename(tool.parent / "real")
    tool.symlink_to(real)
    os.chown(tool, OWNER, OWNER, follow_symlinks=False)


def _by_a_link_to_somebodys(tool: Path) -> None:
    """The link is root's and leads through a directory of somebody's."""
    between = tool.parent / "between"
    between.mkdir()
    tool.rename(between / "real")
    os.chown(between, OWNER, OWNER)
    tool.symlink_to("between/real")


LOOSE = [_owned, _writable, _owned_above, _writable_above, _by_a_link, _by_a_link_to_somebodys]


@pytest.mark.parametrize("loosen", LOOSE)
def test_what_others_can_change_is_in_no_cell(tool: Path, loosen: Callable[[Path], None]) -> None:
    """ISO-12, H-SUB-12: neither as the program, nor as one beside it, nor to be read; the remedy is the command."""
    loosen(tool)
    name = str(tool)
    for request in (cell(name), cell("/bin/sh", exec_paths=[name]), cell("/bin/sh", readable=[name])):
        with pytest.raises(ConfinementError, match="can be changed by others than root") as error:
            plan_cell(request)
        assert error.value.remedy.split()[-1].startswith(str(tool.parent.parent.parent))


def test_links_without_end_are_no_path(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(NotFoundError, match="more than 40 links"):
        require_trusted(f"{tmp_path}/a")


def test_what_was_there_a_moment_ago_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not there"):
        require_trusted(f"{tmp_path}/gone/tool")


def test_doctor_names_what_a_wrapper_names_and_others_can_change(tool: Path) -> None:
    """OPS-3: before a call is refused for it."""
    one = Wrapper("one", "s", "/usr/bin/env", "coreutils", exec_paths=(str(tool),), readable=("/etc/hostname",))
    assert [found.is_ok for found in wrapper_findings(WrapperSet({"one": one}), most_wall_s=60)] == [True]
    _owned(tool)
    known, wrong = wrapper_findings(WrapperSet({"one": one}), most_wall_s=60)
    assert (known.is_ok, wrong.is_ok) == (True, False)
    assert wrong.detail == f"{tool} can be changed by others than root: it belongs to uid {OWNER}"
    assert wrong.remedy == f"chown -h root {tool}"
