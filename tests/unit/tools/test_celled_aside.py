"""Calls of programs that make control files: set aside when the program has ended, and told (ISO-12, H-FS-15)."""

import asyncio
import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

import pytest

from aaos.broker import changes
from aaos.broker.changes import MAX_ENTRIES
from aaos.core.capability import Capability, Kind
from aaos.core.cell import CellRequest
from aaos.core.errors import ToolError
from aaos.core.events import EventKind
from aaos.core.ports import CallState, Root
from aaos.tools import celled
from aaos.tools.brokered import BrokerWork, ToolResult
from aaos.tools.wrapperfile import read_wrapper
from aaos.tools.wrapperparameter import cell_tool
from tests.unit.tools.cells import ENDED, FakeCells
from tests.unit.tools.test_celled import CATALOG, FILE, run, scene

GIT = FILE.replace("name: work", "name: git") + "control_files: true\n"


def test_a_control_file_that_a_cell_made_is_set_aside_and_told(tmp_path: Path) -> None:
    """ISO-12, H-FS-15: and the one that was there is not touched."""
    (tmp_path / "mine" / ".git").mkdir(parents=True)

    def act(_: CellRequest) -> None:
        (tmp_path / ".git").mkdir()
        (tmp_path / ".git" / "config").write_text("[core] fsmonitor = evil")

    on = scene(tmp_path, FakeCells(replace(ENDED, stdout=b"done"), act=act))
    result = run(on, "work", tree=str(tmp_path))
    assert result.ok
    assert result.text.startswith("done\n[other programs take orders from what this one made: ")
    (event,) = [event for event in on.audit.events if event.kind is EventKind.FILE_CHANGED]
    assert event.fields["aside_paths"] == f"{tmp_path}/.git"
    assert "control_paths" not in event.fields
    call = event.fields["call"]
    assert sorted(os.listdir(tmp_path)) == [f"aside-{call}-0", "mine"]
    assert event.fields["made_paths"] == f"{tmp_path}/aside-{call}-0/config"


def test_one_that_cannot_be_set_aside_makes_the_call_fail(tmp_path: Path) -> None:
    def act(request: CellRequest) -> None:
        (tmp_path / ".git").mkdir()
        (tmp_path / f"aside-{request.call}-0").mkdir()

    on = scene(tmp_path, FakeCells(act=act))
    result = run(on, "work", tree=str(tmp_path))
    assert not result.ok
    assert "could not be set aside" in result.text
    (event,) = [event for event in on.audit.events if event.kind is EventKind.FILE_CHANGED]
    assert event.fields["control_paths"] == f"{tmp_path}/.git"


def test_one_in_the_place_of_another_is_set_aside_and_a_rewritten_one_makes_the_call_fail(tmp_path: Path) -> None:
    """H-FS-15"""
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    (tmp_path / ".gitattributes").write_text("* text")

    def plant(request: CellRequest) -> None:
        (tmp_path / "sub").rename(tmp_path / "sub.old")
        (tmp_path / "sub" / ".git").mkdir(parents=True)

    on = scene(tmp_path, FakeCells(act=plant))
    result = run(on, "work", tree=str(tmp_path))
    assert result.ok
    assert "was set aside as" in result.text
    assert not (tmp_path / "sub" / ".git").exists()
    assert (tmp_path / "sub.old" / ".git").exists()

    def rewrite(_: CellRequest) -> None:
        (tmp_path / "new").write_text("* filter=evil")
        (tmp_path / "new").rename(tmp_path / ".gitattributes")

    result = run(scene(tmp_path, FakeCells(act=rewrite)), "work", tree=str(tmp_path))
    assert not result.ok
    assert f"{tmp_path}/.gitattributes could not be set aside" in result.text.replace("'", "").replace('"', "")


def test_a_cell_that_is_stopped_leaves_no_control_file_either(tmp_path: Path) -> None:
    def act(_: CellRequest) -> None:
        (tmp_path / ".git").mkdir()
        raise asyncio.CancelledError

    on = scene(tmp_path, FakeCells(act=act))
    with pytest.raises(asyncio.CancelledError):
        run(on, "work", tree=str(tmp_path))
    assert not (tmp_path / ".git").exists()
    assert "was set aside as" in str(on.audit.events[-1].fields["message"])


def test_git_makes_what_is_its_work_and_others_beside_it_take_nothing_away(tmp_path: Path) -> None:
    """ISO-12: what another call makes that may is left to it, and told."""
    on = scene(tmp_path, FakeCells(act=lambda _: (tmp_path / ".git").mkdir()))
    on.gate._catalog = {**CATALOG, "git": cell_tool(read_wrapper(GIT.encode(), "/git.yaml", taken=()))}
    on.tokens.grant(on.caller.agent, [Capability(Kind.TOOL, "git")])
    assert run(on, "git", tree=str(tmp_path)).ok
    assert (tmp_path / ".git").exists()
    (tmp_path / ".git").rmdir()
    work = on.request("work", {"tree": str(tmp_path)})
    assert isinstance(work, BrokerWork)

    async def main() -> ToolResult:
        async with on.gate.writers.writing([f"{tmp_path}/sub"], controls=True):
            return await work.run()

    result = asyncio.run(main())
    assert "could not be set aside" in result.text
    assert (tmp_path / ".git").exists()


def test_files_that_other_programs_obey_are_told_apart(tmp_path: Path) -> None:
    """BRK-7, H-FS-15: one that was there before is never renamed; what is new in it is named."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".git").mkdir()
    (tmp_path / "sub" / ".git" / "config").write_text("[core]\n")

    def act(_: CellRequest) -> None:
        (tmp_path / "sub" / ".git" / "config").write_text("[core]\n\tfsmonitor = /x\n")
        (tmp_path / "plain").write_text("x")

    on = scene(tmp_path, FakeCells(act=act))
    run(on, "work", tree=str(tmp_path))
    (event,) = [event for event in on.audit.events if event.kind is EventKind.FILE_CHANGED]
    assert (event.fields["made"], event.fields["control_paths"]) == (1, f"{tmp_path}/sub/.git/config")
    assert (tmp_path / "sub" / ".git").exists()


def test_a_flood_of_names_hides_none_beside_it_and_is_told(tmp_path: Path) -> None:
    """H-FS-15, RES: the walk ends at its bound; what lies less deep was seen by then."""

    def act(_: CellRequest) -> None:
        (tmp_path / "a" / "flood").mkdir(parents=True)
        for number in range(MAX_ENTRIES):
            os.close(os.open(tmp_path / "a" / "flood" / str(number), os.O_CREAT | os.O_WRONLY))
        for above in (tmp_path, tmp_path / "a"):
            (above / ".git").mkdir()

    on = scene(tmp_path, FakeCells(act=act))
    result = run(on, "work", tree=str(tmp_path))
    assert "not all of it could be looked at" in result.text
    assert not result.ok
    assert not (tmp_path / ".git").exists()
    assert not (tmp_path / "a" / ".git").exists()
    (event,) = [event for event in on.audit.events if event.kind is EventKind.FILE_CHANGED]
    assert "met a bound" in str(event.fields["message"])


def test_one_behind_a_flood_of_names_makes_the_call_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-FS-15, RES: what was not reached may be one; a second look that sees all takes nothing of that back."""
    monkeypatch.setattr(changes._Walk, "__init__", partialmethod(changes._Walk.__init__, left=50))

    def act(_: CellRequest) -> None:
        for directory in ("a", "z"):
            (tmp_path / directory).mkdir()
            for number in range(60):
                (tmp_path / directory / str(number)).touch()
            (tmp_path / directory / "deep").mkdir()
            (tmp_path / directory / "deep" / ".git").mkdir()

    result = run(scene(tmp_path, FakeCells(act=act)), "work", tree=str(tmp_path))
    assert any((tmp_path / directory / "deep" / ".git").exists() for directory in ("a", "z"))
    assert not result.ok
    assert "not all of it could be looked at" in result.text


def test_a_first_look_that_was_cut_is_told_though_a_second_saw_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-FS-15: what the second alone could have seen was not set aside."""
    looks: list[changes.Snapshot] = []

    def look(trees: Iterable[Root]) -> changes.Snapshot:
        looks.append(changes.snapshot(trees))
        return replace(looks[-1], is_complete=len(looks) != 2)

    monkeypatch.setattr(celled, "snapshot", look)
    result = run(scene(tmp_path, FakeCells(act=lambda _: (tmp_path / ".git").mkdir())), "work", tree=str(tmp_path))
    assert len(looks) == 3
    assert not result.ok


def test_where_it_is_not_known_what_there_was_only_a_program_runs_whose_work_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-FS-15, RES: the bound is that of all its directories together; nothing was started, nothing stays open."""
    monkeypatch.setattr(changes._Walk, "__init__", partialmethod(changes._Walk.__init__, left=5))
    for number in range(10):
        (tmp_path / str(number)).touch()
    cells = FakeCells()
    on = scene(tmp_path, cells)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ToolError, match="cannot be searched whole for control files"):
        run(on, "work", tree=str(tmp_path))
    assert cells.asked == []
    assert on.last_outcome.state is CallState.FAILED
    assert len(os.listdir("/proc/self/fd")) == before
    on.gate._catalog = {**CATALOG, "git": cell_tool(read_wrapper(GIT.encode(), "/git.yaml", taken=()))}
    on.tokens.grant(on.caller.agent, [Capability(Kind.TOOL, "git")])
    assert run(on, "git", tree=str(tmp_path)).ok
