"""Held calls of programs: bound to all that the program is to see, and alone with it while it runs (BRK-6)."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.broker.binding import DEFAULTS, BindLimits
from aaos.broker.files import FileBroker
from aaos.core.cell import CellRequest
from aaos.core.errors import AaosError, BusyError, ConflictError, DeniedError, ToolError
from aaos.core.events import EventKind
from aaos.core.ids import AgentId
from aaos.core.ports import CallState
from aaos.tools.gate import Gate
from aaos.tools.held import HeldCall
from aaos.tools.spec import Tool
from aaos.tools.wrapperfile import read_wrapper
from aaos.tools.wrapperparameter import cell_tool
from aaos.tools.writers import Worker
from tests.unit.tools.approving import HeldScene
from tests.unit.tools.cells import FakeCells
from tests.unit.tools.scene import AGENT
from worker.abi import Json

FILE = """
name: build
summary: Builds
program: /usr/bin/make
package: make
parameters:
  workspace: {type: path, use: write}
  also: {type: path, required: false}
  text: {type: string, pattern: "[a-z]*", default: x}
argv: ["{text}"]
cwd: "{workspace}"
"""


def tool(file: str = FILE) -> Tool:
    return cell_tool(read_wrapper(file.encode(), "/build.yaml", taken=()))


class Scene(HeldScene):
    """A workspace with a Makefile, and a program that waits for its approval."""

    def __init__(
        self, path: Path, act: Callable[[CellRequest], None] = lambda _: None, *, bind_limits: BindLimits = DEFAULTS
    ) -> None:
        (path / "tree").mkdir(exist_ok=True)
        (path / "tree" / "Makefile").write_text("all:\n\ttrue\n")
        self.cells = FakeCells(act=act)
        super().__init__(path, tools=("build",), catalog={"build": tool()}, cells=self.cells, bind_limits=bind_limits)

    @property
    def makefile(self) -> Path:
        return self.path / "tree" / "Makefile"

    def build(self, **args: Json) -> HeldCall:
        return self.held("build", workspace=f"{self.path}/tree", **args)


async def nothing() -> None:
    """Nobody does anything."""


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_what_was_looked_at_is_run_and_shown_to_who_approves(tmp_path: Path) -> None:
    """BRK-6, APR-3"""
    scene = Scene(tmp_path)
    before = open_fds()
    assert scene.outcome(scene.build(), scene.approve).ok
    assert open_fds() == before
    asked = scene.one().asked
    assert asked.pre_hash is not None
    assert asked.pre_hash.startswith("trees ")
    assert asked.pre_hash.split()[1] in asked.preview
    assert f"  {tmp_path}/tree\n  1 files, 11 bytes, sha256" in asked.preview
    assert [one.argv for one in scene.cells.asked] == [("make", "x")]
    (record,) = scene.ledger.opened.values()
    assert (record.state, record.pre_hash) == (CallState.PERMITTED, asked.pre_hash)


def link_instead(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hosts")


CHANGES: dict[str, Callable[[Path], object]] = {
    "the Makefile": lambda work: (work / "Makefile").write_text("all:\n\tfals\n"),
    "a new file": lambda work: (work / "GNUmakefile").write_text("all:\n\tfalse\n"),
    "a file gone": lambda work: (work / "Makefile").unlink(),
    "a link in place of it": lambda work: link_instead(work / "Makefile"),
    "a mode": lambda work: (work / "Makefile").chmod(0o755),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_the_look_and_the_run_is_a_conflict(tmp_path: Path, change: str) -> None:
    """BRK-6, H-API-06: nothing is run; the agent and who follows the run are told, with the name where it is known."""
    scene = Scene(tmp_path)

    async def meanwhile() -> None:
        CHANGES[change](tmp_path / "tree")
        await scene.approve()

    before = open_fds()
    with pytest.raises(ConflictError, match="was changed while the call waited") as error:
        scene.outcome(scene.build(), meanwhile)
    assert ("file" not in change) or change == "a file gone" or f"{tmp_path}/tree/" in error.value.message
    assert scene.cells.asked == []
    assert open_fds() == before
    assert scene.kinds == [EventKind.FILE_CONFLICT, EventKind.TOOL_FAILED]
    assert scene.last_outcome.error_code == ConflictError.code


def test_a_place_that_grew_past_the_bound_is_a_conflict(tmp_path: Path) -> None:
    """RES: a tree that cannot be compared is not the one that was looked at."""
    scene = Scene(tmp_path, bind_limits=BindLimits(entries=4, total_bytes=10_000))

    async def meanwhile() -> None:
        for number in range(9):
            (tmp_path / "tree" / str(number)).touch()
        await scene.approve()

    with pytest.raises(ConflictError, match="more than 4 entries"):
        scene.outcome(scene.build(), meanwhile)
    assert scene.cells.asked == []


def test_what_cannot_be_bound_waits_for_nobody(tmp_path: Path) -> None:
    """The refusal names the bound and the setting; nobody is asked."""
    scene = Scene(tmp_path, bind_limits=BindLimits(entries=100, total_bytes=5))
    before = open_fds()
    with pytest.raises(ToolError, match="more than 5 bytes") as error:
        scene.outcome(scene.build(), nothing)
    assert "limits.bound_bytes" in error.value.remedy
    assert scene.approvals.rows == {}
    assert scene.kinds == [EventKind.TOOL_FAILED]
    assert scene.last_outcome.state is CallState.FAILED
    assert open_fds() == before


def test_the_asking_worker_stands_still_from_the_comparison_to_the_end(tmp_path: Path) -> None:
    """BRK-6: a worker with the directory mounted cannot change it between, nor while the program runs."""
    seen: list[str] = []
    scene = Scene(tmp_path, act=lambda _: seen.append("run"))

    @asynccontextmanager
    async def halted() -> AsyncIterator[None]:
        scene.makefile.write_text("all:\n\tfals\n")  # the last that it did
        seen.append("halted")
        yield
        seen.append("goes on")

    async def meanwhile() -> None:
        await scene.gate.writers.join(AGENT, Worker([str(tmp_path)], nullcontext, halted))
        await scene.approve()

    with pytest.raises(ConflictError):
        scene.outcome(scene.build(), meanwhile)
    assert seen == ["halted"]  # left by an error
    seen.clear()

    @asynccontextmanager
    async def honest() -> AsyncIterator[None]:
        seen.append("halted")
        yield
        seen.append("goes on")

    async def again() -> None:
        await scene.gate.writers.join(AGENT, Worker([str(tmp_path)], nullcontext, honest))
        await scene.approve()

    scene.outcome(scene.build(text="y"), again)
    assert seen == ["halted", "run", "goes on"]


def test_a_worker_that_does_not_stand_still_keeps_the_program_from_running(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    @asynccontextmanager
    async def restless() -> AsyncIterator[None]:
        raise BusyError("it does not stand still", "try again")
        yield

    async def meanwhile() -> None:
        await scene.gate.writers.join(AgentId("a-other"), Worker([f"{tmp_path}/tree/sub"], nullcontext, restless))
        await scene.approve()

    with pytest.raises(BusyError):
        scene.outcome(scene.build(), meanwhile)
    assert scene.cells.asked == []
    assert scene.last_outcome.state is CallState.FAILED


def test_another_wrapper_than_the_approved_is_a_conflict_however_it_differs(tmp_path: Path) -> None:
    """BRK-6: after a restart with another file: a difference far behind in a pattern, or in a comment."""
    long = FILE.replace("[a-z]*", "|".join("xbcdefgh" * 40))
    for other in (long + "# word\n", long.replace('g|h"', 'g|i"')):
        assert other != long
        scene = Scene(tmp_path)
        scene.gate._catalog = {"build": tool(long)}
        first = scene.build()
        asyncio.run(first.asking.look_and_ask())
        scene._number -= 1
        scene.ledger.epoch += 1  # a new daemon on the same rows
        asyncio.run(scene.approve())
        scene.gate._catalog = {"build": tool(other)}
        with pytest.raises(ConflictError, match="is not what it was when it was held"):
            scene.outcome(scene.build(), nothing)
        assert scene.cells.asked == []


def test_after_a_restart_the_same_files_keep_the_approval_and_others_do_not(tmp_path: Path) -> None:
    """H-DUR-03, APR-1"""
    for is_changed in (False, True):
        scene = Scene(tmp_path)
        asyncio.run(scene.build().asking.look_and_ask())
        scene._number -= 1
        scene.ledger.epoch += 1
        asyncio.run(scene.approve())
        if not is_changed:
            assert scene.outcome(scene.build(), nothing).ok
            continue
        scene.makefile.write_text("all:\n\tfals\n")
        with pytest.raises(ConflictError):
            scene.outcome(scene.build(), nothing)


@pytest.mark.parametrize("is_durable", [False, True])
def test_a_grant_that_is_revoked_at_the_last_moment_keeps_the_program_from_running(
    tmp_path: Path, is_durable: bool
) -> None:
    """CAP-5: after the word, while the comparison or the record of it is still on its way."""
    scene = Scene(tmp_path)

    async def revoke() -> None:
        scene.tokens.revoke(AGENT)

    @asynccontextmanager
    async def revoking() -> AsyncIterator[None]:
        await revoke()
        yield

    async def meanwhile() -> None:
        if is_durable:
            scene.desk.durable = revoke_after_the_word
        else:
            await scene.gate.writers.join(AGENT, Worker([str(tmp_path)], nullcontext, revoking))
        await scene.approve()

    async def revoke_after_the_word() -> None:
        if EventKind.TOOL_PERMITTED in scene.kinds:
            await revoke()

    before = open_fds()
    with pytest.raises(DeniedError, match="revoked"):
        scene.outcome(scene.build(), meanwhile)
    assert scene.cells.asked == []
    assert scene.kinds[-1] is EventKind.TOOL_FAILED
    assert open_fds() == before


def test_a_call_that_is_cancelled_while_it_is_looked_at_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing open, nobody asked; by a daemon that stops the call is left to the next one."""
    looking, really = threading.Event(), FileBroker.bind

    def slow(self: FileBroker, trees: object, limits: object, *, may_go_on: Callable[[], bool]) -> object:
        looking.set()
        while may_go_on():
            pass
        return really(self, trees, limits, may_go_on=may_go_on)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(FileBroker, "bind", slow)
    for is_closing in (False, True):
        scene = Scene(tmp_path)
        scene.is_closing, before = is_closing, open_fds()
        looking.clear()
        call = scene.build()

        async def main(call: HeldCall = call) -> None:
            task = asyncio.ensure_future(call.run())
            assert await asyncio.to_thread(looking.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            call.release()

        asyncio.run(main())
        assert open_fds() == before
        assert scene.approvals.rows == {}
        assert bool(scene.ledger.settled) is not is_closing


def test_a_call_that_never_began_leaves_nothing_open(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    before = open_fds()
    call = scene.build()
    call.release()
    call.release()
    assert open_fds() == before


def test_a_program_that_sees_nothing_is_bound_to_its_words(tmp_path: Path) -> None:
    plain = FILE.replace("  workspace: {type: path, use: write}\n", "").replace('cwd: "{workspace}"\n', "")
    scene = Scene(tmp_path)
    scene.gate._catalog = {"build": tool(plain)}
    assert scene.outcome(scene.held("build"), scene.approve).ok
    assert scene.one().asked.pre_hash is None
    assert replace(scene.one().asked, arguments="other").digest != scene.one().digest


def test_calls_of_others_there_wait_until_it_is_done(tmp_path: Path) -> None:
    """BRK-6: a file that another call publishes comes before or after, never between."""
    order: list[str] = []
    scene = Scene(tmp_path, act=lambda _: order.append("run"))
    gate: Gate = scene.gate

    async def write() -> None:
        async with gate.writers.writing([f"{tmp_path}/tree/x"]):
            order.append("write")
            (tmp_path / "tree" / "x").touch()

    async def main() -> None:
        call = scene.build()
        running = asyncio.ensure_future(call.run())
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for _ in range(2_000):
                if call.approval is not None:
                    break
                await asyncio.sleep(0.001)
            await scene.approve()
            for _ in range(2_000):
                if gate.writers._alone:
                    break
                await asyncio.sleep(0.001)
            group.create_task(write())
            await running

    asyncio.run(main())
    assert order == ["run", "write"]


def test_errors_of_the_first_look_have_remedies(tmp_path: Path) -> None:
    scene = Scene(tmp_path, bind_limits=BindLimits(entries=1, total_bytes=10_000))
    (tmp_path / "tree" / "more").touch()
    with pytest.raises(AaosError) as error:
        scene.outcome(scene.build(), nothing)
    assert error.value.remedy
