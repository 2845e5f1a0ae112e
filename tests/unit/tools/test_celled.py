"""A call that a program carries out: charged, recorded before, what it changed observed (ISO-12, TOL-4, BRK-7)."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.capability import Capability, Kind, parse_capabilities
from aaos.core.cell import CellRequest, HostPort
from aaos.core.errors import AaosError, DeniedError, InputError, ToolError, WorkerLostError
from aaos.core.events import EventKind
from aaos.core.ports import CallState, Evidence, Held, Label
from aaos.tools.brokered import BrokerWork, ToolResult
from aaos.tools.celled import ENV
from aaos.tools.spec import Tool
from aaos.tools.wrapperfile import read_wrapper
from aaos.tools.wrapperparameter import cell_tool
from tests.unit.tools.cells import ENDED, FakeCells
from tests.unit.tools.scene import Scene
from worker.abi import Json
from worker.cell.frames import PROXY_PORT

FILE = """
name: work
summary: Works
program: /usr/bin/work
package: work
parameters:
  shown: {type: path, required: false}
  tree: {type: path, use: write, required: false}
  made: {type: path, use: make, required: false}
  address: {type: url, required: false}
  text: {type: string, default: x}
argv: ["{text}"]
env: {WORK: "1", HOME: /nowhere}
stdin: "{text}"
readable: [/etc/work]
exec_paths: [/usr/lib/work]
"""
READER = cell_tool(read_wrapper(
    b"name: look\nsummary: Looks\nprogram: /usr/bin/look\npackage: look\nparameters: {place: {type: path}}\n"
    b'argv: [--, "{place}"]\ncwd: "{place}"\n', "/look.yaml", taken=()))  # fmt: skip
WORK = cell_tool(read_wrapper(FILE.encode(), "/work.yaml", taken=()))
CATALOG: dict[str, Tool] = {"work": WORK, "look": READER}


def scene(
    path: Path, cells: FakeCells | None = None, *, held: Held = Held.KERNEL, extra: tuple[str, ...] = ()
) -> Scene:
    whole = [Capability(kind, f"{path}/**") for kind in (Kind.FILE_READ, Kind.FILE_WRITE)]
    more = parse_capabilities(list(extra), now_s=0.0) if extra else ()
    return Scene(path, held=held, grants=[*whole, *more], catalog=CATALOG, cells=cells or FakeCells())


def run(on: Scene, tool: str, **args: Json) -> ToolResult:
    work = on.request(tool, args)
    assert isinstance(work, BrokerWork)
    return asyncio.run(work.run())


def refused(on: Scene, tool: str, **args: Json) -> AaosError:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(AaosError) as error:
        on.request(tool, args)
    assert len(os.listdir("/proc/self/fd")) == before, "nothing stays open"
    assert on.ledger.opened.keys() == on.ledger.settled.keys()
    return error.value


def test_a_cell_is_asked_for_what_the_wrapper_and_the_call_name_and_no_more(tmp_path: Path) -> None:
    """ISO-12, H-SUB-11"""
    cells = FakeCells()
    on = scene(tmp_path, cells)
    run(on, "work", text="a b")
    asked = cells.asked[0]
    assert (asked.program, asked.argv, asked.stdin) == ("/usr/bin/work", ("work", "a b"), b"a b")
    assert asked.env == {**ENV, "WORK": "1", "HOME": "/nowhere"}
    assert (asked.roots, asked.egress, asked.secret) == ((), (), None)
    assert (asked.readable, asked.exec_paths) == (("/etc/work",), ("/usr/lib/work",))
    assert not asked.exec_writable
    assert not asked.control_writable
    assert asked.call in on.ledger.opened


def test_only_the_named_directory_is_shown_and_read_only(tmp_path: Path) -> None:
    """CAP-1, ISO-12: of a writable root, too."""
    (tmp_path / "d").mkdir()
    cells = FakeCells()
    run(scene(tmp_path, cells), "look", place=f"{tmp_path}/d")
    (shown,) = cells.asked[0].roots
    assert (shown.path, shown.writable, shown.held) == (f"{tmp_path}/d", False, Held.KERNEL)
    assert cells.asked[0].cwd == f"{tmp_path}/d"


def test_a_file_is_shown_with_its_directory_and_one_to_be_made_makes_it_writable(tmp_path: Path) -> None:
    """TOL-4"""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("x")
    cells = FakeCells()
    run(scene(tmp_path, cells), "work", shown=f"{tmp_path}/d/f")
    run(scene(tmp_path, cells), "work", made=f"{tmp_path}/d/new", shown=f"{tmp_path}/d/f")
    assert [(root.path, root.writable) for root in cells.asked[0].roots] == [(f"{tmp_path}/d", False)]
    assert [(root.path, root.writable) for root in cells.asked[1].roots] == [(f"{tmp_path}/d", True)]


@pytest.mark.parametrize("name", ["shown", "tree", "made"])
def test_a_path_that_is_not_granted_is_denied(tmp_path: Path, name: str) -> None:
    """CAP-1, H-SUB-01"""
    error = refused(scene(tmp_path), "work", **{name: "/etc/shadow"})
    assert isinstance(error, DeniedError)
    assert "/etc/shadow" in error.message


def test_a_tool_that_is_not_granted_is_denied(tmp_path: Path) -> None:
    """CAP-1"""
    on = scene(tmp_path)
    on.tokens.drop(on.caller.agent)
    on.tokens.grant(on.caller.agent, [Capability(Kind.FILE_READ, f"{tmp_path}/**")])
    assert "tool: look is not granted" in refused(on, "look", place=str(tmp_path)).message


def test_a_grant_that_is_checked_file_by_file_is_of_no_use_to_a_program(tmp_path: Path) -> None:
    """BRK-5"""
    error = refused(scene(tmp_path, held=Held.GATE), "look", place=str(tmp_path))
    assert "in no directory that a program may see as a whole" in error.message
    assert error.remedy.startswith("grant a whole directory")


@pytest.mark.parametrize("name", [".git", ".git/hooks", ".GIT/config", ".gitattributes"])
def test_control_files_are_not_named_for_writing(tmp_path: Path, name: str) -> None:
    """H-SUB-02"""
    (tmp_path / ".git" / "hooks").mkdir(parents=True)
    for argument in ("tree", "made"):
        assert "controls other programs" in refused(scene(tmp_path), "work", **{argument: f"{tmp_path}/{name}"}).message


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """CAP-6"""
    (tmp_path / "out").symlink_to("/etc")
    for argument in ("shown", "tree"):
        refused(scene(tmp_path), "work", **{argument: f"{tmp_path}/out"})


def test_what_begins_with_a_dash_is_refused_before_a_row_says_permitted(tmp_path: Path) -> None:
    """ISO-12, H-SUB-01"""
    on = scene(tmp_path)
    assert isinstance(refused(on, "work", text="--output=/etc/passwd"), InputError)
    assert EventKind.TOOL_PERMITTED not in on.kinds


def test_the_row_is_there_before_the_cell_and_the_end_after(tmp_path: Path) -> None:
    """BRK-8, decision 7 of the house: commit before act"""
    on = scene(tmp_path)
    states: list[CallState] = []
    cells = FakeCells(act=lambda asked: states.append(on.ledger.opened[asked.call].state))
    on = scene(tmp_path, cells)
    run(on, "work")
    assert states == [CallState.PERMITTED]
    assert on.last_outcome.evidence is Evidence.OBSERVED
    done = on.audit.events[-1]
    assert done.kind is EventKind.TOOL_DONE
    assert (done.fields["route"], done.fields["end"], done.fields["exit_code"]) == ("cell", "exited", 0)


def test_a_program_that_fails_is_a_failed_call_with_its_words(tmp_path: Path) -> None:
    """TOL-4"""
    on = scene(tmp_path, FakeCells(replace(ENDED, exit_code=3, stderr=b"bad")))
    result = run(on, "work")
    assert not result.ok
    assert result.text == "work failed: exit status 3\n[standard error]\nbad"
    assert on.last_outcome.state is CallState.FAILED
    assert on.kinds[-1] is EventKind.TOOL_FAILED


def test_no_name_of_a_file_stands_for_another(tmp_path: Path) -> None:
    """BRK-7, H-FS-10: a line feed in it makes no second path, and a path is not cut to that of another file."""

    def act(_: CellRequest) -> None:
        (tmp_path / "!\n").mkdir()
        (tmp_path / "!\n" / "shadow").write_text("1")
        for number in range(15):
            (tmp_path / f"{number:02}{'x' * 200}").write_text("1")

    on = scene(tmp_path, FakeCells(act=act))
    work = on.request("work", {"tree": str(tmp_path)})
    assert isinstance(work, BrokerWork)
    asyncio.run(work.run())
    (event,) = [event for event in on.audit.events if event.kind is EventKind.FILE_CHANGED]
    shown = str(event.fields["made_paths"]).splitlines()
    assert event.fields["made"] == 16
    assert 1 < len(shown) < 16
    assert shown[0] == f"{tmp_path}/!\\n/shadow"
    assert all(os.path.exists(line) for line in shown[1:])


def test_what_a_program_changed_is_observed(tmp_path: Path) -> None:
    """BRK-7"""
    (tmp_path / "old").write_text("1")
    (tmp_path / "gone").write_text("1")

    def act(_: CellRequest) -> None:
        (tmp_path / "new").write_text("1")
        (tmp_path / "old").write_text("two")
        (tmp_path / "gone").unlink()

    on = scene(tmp_path, FakeCells(act=act))
    work = on.request("work", {"tree": str(tmp_path)})
    assert isinstance(work, BrokerWork)
    result = asyncio.run(work.run())
    (event,) = [event for event in on.audit.events if event.kind is EventKind.FILE_CHANGED]
    assert [event.fields[name] for name in ("made", "changed", "removed", "evidence")] == [1, 1, 1, "observed"]
    assert event.fields["made_paths"] == f"{tmp_path}/new"
    assert on.audit.events[-1].fields["changed"] == 3
    assert result.ok
    (window,) = work.opened.windows
    assert work.opened.left == {f"{tmp_path}/new": 1, f"{tmp_path}/old": 3, f"{tmp_path}/gone": 0}
    assert window.holds(f"{tmp_path}/new", os.stat(tmp_path / "new").st_ctime_ns)
    assert not window.holds("/elsewhere/new", os.stat(tmp_path / "new").st_ctime_ns)


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_what_a_cell_changed_that_was_lost_or_stopped_is_told_by_its_call(tmp_path: Path, is_cancelled: bool) -> None:
    """BRK-7: the events say it before the call's end is recorded, and the windows hold it; nothing stays open."""

    def act(request: CellRequest) -> None:
        (tmp_path / "half").write_text("do")
        (tmp_path / "link").symlink_to("/etc/passwd")
        if is_cancelled:
            raise asyncio.CancelledError
        raise WorkerLostError("the cell was lost", "try again")

    on, before = scene(tmp_path, FakeCells(act=act)), len(os.listdir("/proc/self/fd"))
    work = on.request("work", {"tree": str(tmp_path)})
    assert isinstance(work, BrokerWork)
    with pytest.raises(asyncio.CancelledError if is_cancelled else WorkerLostError):
        asyncio.run(work.run())
    assert len(os.listdir("/proc/self/fd")) == before
    changed, end = on.audit.events[-2:]
    assert (changed.kind, changed.fields["made"]) == (EventKind.FILE_CHANGED, 2)
    assert (end.kind, changed.fields["call"]) == (EventKind.OUTCOME_UNKNOWN, end.fields["call"])
    assert str(end.fields["message"]).endswith("; it had changed 2 files")
    assert work.opened.windows[0].holds(f"{tmp_path}/half", os.stat(tmp_path / "half").st_ctime_ns)
    assert work.opened.left == {f"{tmp_path}/half": 2, f"{tmp_path}/link": 0}


def test_a_lost_cell_that_changed_nothing_is_told_as_before(tmp_path: Path) -> None:
    def act(_: CellRequest) -> None:
        raise WorkerLostError("the cell was lost", "try again")

    on = scene(tmp_path, FakeCells(act=act))
    with pytest.raises(WorkerLostError, match=r"the cell was lost$"):
        run(on, "work", tree=str(tmp_path))
    assert EventKind.FILE_CHANGED not in on.kinds


def test_output_is_told_as_it_comes_and_not_recorded(tmp_path: Path) -> None:
    """AUD-4: characters are not cut in half."""
    on = scene(tmp_path, FakeCells(replace(ENDED, stdout="aüöß€\x1b[2J".encode(), stderr=b"e")))
    run(on, "work")
    told = [(event.fields["stream"], event.fields["text"]) for event in on.noted]
    assert "".join(str(text) for stream, text in told if stream == "stdout") == "aüöß€\x1b[2J"
    assert ("stderr", "e") in told
    assert EventKind.TOOL_OUTPUT not in on.kinds


@pytest.mark.parametrize(
    ("grant", "is_allowed"),
    [
        ("network: example.com", True),
        ("network: '*.com'", True),
        ("capability://network/example.com/**?action=GET,HEAD", False),
        ("capability://network/example.com/**?action=CONNECT", True),
        ("network: example.com/repo/**", False),
        ("network: example.com/*", False),
        ("network: example.com:80", False),
        ("capability://network/example.com/**?bytes=1MiB", False),
        ("network: evil.com", False),
    ],
)
def test_a_program_connects_to_a_host_that_is_granted_whole_and_no_other(
    tmp_path: Path, grant: str, is_allowed: bool
) -> None:
    """ISO-12: methods, paths and bytes cannot be held for a program, so such grants are of no use to it."""
    cells = FakeCells()
    text = grant.replace("'", "")
    on = scene(tmp_path, cells, extra=(text,))
    if not is_allowed:
        assert isinstance(refused(on, "work", address="https://example.com/repo"), DeniedError)
        return
    run(on, "work", address="https://example.com/repo")
    assert cells.asked[0].egress == (HostPort("example.com", 443),)
    assert on.last_outcome.label is Label.OUTSIDE


def failing(error: BaseException) -> Callable[[CellRequest], None]:
    def act(_: CellRequest) -> None:
        raise error

    return act


def test_a_cell_that_could_not_be_made_did_nothing(tmp_path: Path) -> None:
    """BRK-8"""
    on = scene(tmp_path, FakeCells(act=failing(ToolError("no", "x"))))
    with pytest.raises(ToolError):
        run(on, "work", tree=str(tmp_path))
    assert on.last_outcome.state is CallState.FAILED


def test_of_a_lost_or_stopped_effect_nobody_knows(tmp_path: Path) -> None:
    """BRK-8, H-DUR-02"""
    for error in (WorkerLostError("lost", "x"), asyncio.CancelledError()):
        on = scene(tmp_path, FakeCells(act=failing(error)))
        with pytest.raises((WorkerLostError, asyncio.CancelledError)):
            run(on, "work", tree=str(tmp_path))
        assert on.last_outcome.state is CallState.OUTCOME_UNKNOWN
        on = scene(tmp_path, FakeCells(act=failing(error)))
        with pytest.raises((WorkerLostError, asyncio.CancelledError)):
            run(on, "look", place=str(tmp_path))
        assert on.last_outcome.state is CallState.FAILED


def test_nothing_stays_open(tmp_path: Path) -> None:
    """ISO-11"""
    on = scene(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    run(on, "work", tree=str(tmp_path))
    waiting = on.request("work", {"shown": str(tmp_path)})
    assert isinstance(waiting, BrokerWork)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    waiting.release()
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_a_way_to_cells_no_program_runs(tmp_path: Path) -> None:
    """ISO-12, ISO-1"""
    on = Scene(tmp_path, held=Held.KERNEL, catalog=CATALOG)
    assert "runs no programs" in refused(on, "look", place=str(tmp_path)).message


def test_a_revoked_grant_discards_what_a_program_said(tmp_path: Path) -> None:
    """CAP-5"""
    on = scene(tmp_path)
    work = on.request("look", {"place": str(tmp_path)})
    assert isinstance(work, BrokerWork)
    on.tokens.revoke(on.caller.agent)
    with pytest.raises(DeniedError):
        asyncio.run(work.run())


def test_a_cell_that_may_connect_is_told_of_its_door_and_no_other(tmp_path: Path) -> None:
    """ISO-12, H-NET-09"""
    cells = FakeCells()
    run(scene(tmp_path, cells, extra=("network: example.com",)), "work", address="https://example.com/")
    run(scene(tmp_path, cells), "work")
    assert cells.asked[0].env["https_proxy"] == f"http://127.0.0.1:{PROXY_PORT}"
    assert not {name for name in cells.asked[1].env if "proxy" in name.lower()}
