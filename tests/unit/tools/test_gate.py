"""The gate: the only way to a tool, whatever the worker says (BRK-4 to BRK-8, CAP-5, TOL-7)."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from aaos.core.capability import Capability, Kind
from aaos.core.constraint import Constraints
from aaos.core.errors import (
    AaosError,
    DeniedError,
    InputError,
    LimitError,
    StorageError,
    ToolError,
)
from aaos.core.events import EventKind
from aaos.core.ports import BrokerCall, BrokerResult, CallRecord, CallState, Evidence, Held, Origin
from aaos.tools.brokered import BrokerWork
from aaos.tools.catalog import CATALOG
from aaos.tools.gate import Permit
from aaos.tools.settle import ABSENT
from aaos.tools.spec import BrokerTool
from tests.unit.tools.scene import AGENT, Scene
from worker import abi
from worker.abi import Json

EACH: tuple[tuple[str, dict[str, Json]], ...] = (
    ("file_read", {}),
    ("file_write", {"content": "x"}),
    ("file_edit", {"old": "one", "new": "1"}),
)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    (tmp_path / "f").write_text("one\ntwo\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x.md").write_text("two too\n")
    return Scene(tmp_path)


def done(permit: Permit, *, ok: bool = True, text: str = "", truncated: bool = False) -> abi.ToolDone:
    return abi.ToolDone(9, permit.permit, ok, text, truncated)


def fill(permit: Permit, content: bytes) -> None:
    """What a worker writes, honest or not."""
    fds = [permit.fds[file["fd"]] for file in permit.value["files"] if file["use"] == "write"]
    os.write(fds[0], content)


def refused(scene: Scene, tool: str, args: Mapping[str, Json], *, origin: Origin = Origin.CODE) -> AaosError:
    with pytest.raises(AaosError) as error:
        scene.request(tool, args, origin=origin)
    assert scene.ledger.opened.keys() == scene.ledger.settled.keys(), "a refusal is settled at once"
    return error.value


# --- the way through ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", Held)
def test_every_tool_works_whoever_holds_the_grant(tmp_path: Path, held: Held) -> None:
    """TOL-2: read, list, find and search give the same from a mounted root and from what the gate hands over."""
    (tmp_path / "f").write_text("one\ntwo\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x.md").write_text("two too\n")
    scene = Scene(tmp_path, held=held)
    path = str(tmp_path)
    assert scene.call("echo", text="hi").text == "hi"
    assert scene.call("file_read", path=f"{path}/f", numbered=True).text == "     1\tone\n     2\ttwo\n"
    assert "(8 bytes)" in scene.call("file_read_many", paths=[f"{path}/f", f"{path}/d/x.md"]).text
    assert [line.split()[-1] for line in scene.call("file_list", path=path).text.splitlines()] == ["d", "f"]
    assert scene.call("glob", path=path, pattern="**/*.md").text == "d/x.md"
    assert scene.call("grep", path=path, pattern="tw.").text == f"{path}/d/x.md:1: two too\n{path}/f:2: two"
    written = scene.call("file_write", path=f"{path}/d/new", content="a b\n")
    assert written.written is not None
    assert written.written.path == f"{path}/d/new"
    assert scene.call("file_edit", path=f"{path}/d/new", old="b", new="c").ok
    assert (tmp_path / "d" / "new").read_text() == "a c\n"
    assert scene.ledger.opened.keys() == scene.ledger.settled.keys()
    assert {outcome.state for outcome in scene.ledger.settled.values()} == {CallState.DONE}


def test_what_the_worker_says_is_a_report_and_what_we_saw_is_observed(scene: Scene) -> None:
    """BRK-7"""
    scene.call("file_read", path=f"{scene.path}/f")
    result = scene.call("file_write", path=f"{scene.path}/f", content="new")
    evidence = [outcome.evidence for outcome in scene.ledger.settled.values()]
    assert evidence == [Evidence.REPORTED, Evidence.OBSERVED]
    assert result.written is not None
    assert scene.last_outcome.post_hash == result.written.sha256
    assert scene.kinds[-2:] == [EventKind.FILE_WRITTEN, EventKind.TOOL_DONE]


def test_the_row_is_there_before_the_permit_with_the_pre_image(scene: Scene) -> None:
    """BRK-8, decision 7 of the house: commit before act"""
    permit = scene.permit("file_write", path=f"{scene.path}/new", content="x")
    row = scene.ledger.opened[next(iter(scene.ledger.opened))]
    assert permit.permit.startswith(row.call)
    assert (row.state, row.pre_hash) == (CallState.PERMITTED, ABSENT)
    assert row.arguments == f'{{"content":"x","path":"{scene.path}/new"}}'
    assert scene.kinds == [EventKind.TOOL_PERMITTED]


def test_without_a_row_there_is_no_permit(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """R5: and nothing stays open."""

    def full(record: CallRecord) -> None:
        raise StorageError("the disk is full", "free space")

    monkeypatch.setattr(scene.ledger, "open_call", full)
    before = len(os.listdir("/proc/self/fd"))
    for tool, args in EACH:
        with pytest.raises(StorageError):
            scene.request(tool, {"path": f"{scene.path}/f", **args})
    assert len(os.listdir("/proc/self/fd")) == before
    assert scene.kinds == []


# --- refusals -----------------------------------------------------------------------------------------------------


def test_what_is_not_granted_is_denied_with_the_grant_that_would_do(scene: Scene) -> None:
    """CAP-1, H-CAP-16"""
    error = refused(scene, "file_read", {"path": "/etc/shadow"})
    assert isinstance(error, DeniedError)
    assert "--read /etc/shadow" in error.remedy
    [event] = scene.audit.events
    assert event.kind is EventKind.TOOL_DENIED
    assert event.fields["remedy"] == error.remedy
    assert event.fields["path"] == "/etc/shadow"


@pytest.mark.parametrize(
    ("tool", "args", "error"),
    [
        ("no_such_tool", {}, DeniedError),
        ("File_Read", {"path": "/x"}, DeniedError),
        ("x" * 100_000, {}, DeniedError),
        ("file_read", {}, InputError),
        ("file_read", {"path": 7}, InputError),
        ("file_read", {"path": ["/x"]}, InputError),
        ("file_read", {"path": "x"}, InputError),
        ("file_read", {"path": "/x", "extra": "y" * 1_000_000}, InputError),
        ("file_write", {"path": "/etc/cron.d/x", "content": ""}, DeniedError),
    ],
)
def test_a_wrong_call_is_refused_recorded_and_bounded(
    scene: Scene, tool: str, args: Mapping[str, Json], error: type[AaosError]
) -> None:
    """H-LLM-04, H-LLM-05"""
    assert type(refused(scene, tool, args)) is error
    [row] = scene.ledger.opened.values()
    assert len(row.arguments) < 20_000
    assert len(row.tool) <= 80
    assert len(str(scene.audit.events[0].fields)) < 6_000


def test_what_cannot_be_opened_is_a_failure_of_the_call(scene: Scene) -> None:
    os.mkfifo(scene.path / "fifo")
    (scene.path / "link").symlink_to("/etc/passwd")
    for name, kind in (("none", ToolError), ("d", ToolError), ("fifo", ToolError), ("link", DeniedError)):
        assert isinstance(refused(scene, "file_read", {"path": f"{scene.path}/{name}"}), kind)


def test_a_grant_for_three_uses_gives_three(tmp_path: Path) -> None:
    """CAP-3"""
    (tmp_path / "f").touch()
    scene = Scene(tmp_path, limits=Constraints(max_calls=3))
    for _ in range(3):
        assert scene.call("file_read", path=f"{tmp_path}/f").ok
    assert isinstance(refused(scene, "file_read", {"path": f"{tmp_path}/f"}), LimitError)


# --- the repeat guard ---------------------------------------------------------------------------------------------


def test_a_model_that_repeats_itself_is_told_then_stopped(scene: Scene) -> None:
    """TOL-7, H-LLM-07"""
    texts = [scene.call("echo", origin=Origin.MODEL, text="a").text for _ in range(5)]
    assert texts[:2] == ["a", "a"]
    assert all("call 6 ends the turn" in text for text in texts[2:])
    assert isinstance(refused(scene, "echo", {"text": "a"}, origin=Origin.MODEL), LimitError)
    assert scene.call("echo", origin=Origin.MODEL, text="b").text == "b"
    assert scene.kinds.count(EventKind.TOOL_REPEATED) == 2


def test_refused_calls_are_counted_too(scene: Scene) -> None:
    """H-LLM-05"""
    for args in ({"path": "/etc/shadow"}, {"wrong": 1}):
        errors = [refused(scene, "file_read", args, origin=Origin.MODEL) for _ in range(6)]
        assert [isinstance(error, LimitError) for error in errors] == [False] * 5 + [True]
    errors = [refused(scene, "no_such_tool", {}, origin=Origin.MODEL) for _ in range(6)]
    assert isinstance(errors[-1], LimitError)


def test_a_program_may_poll(scene: Scene) -> None:
    for _ in range(20):
        assert scene.call("echo", text="a").text == "a"


def test_after_an_effect_reading_again_is_no_repetition(scene: Scene) -> None:
    for number in range(10):
        assert scene.call("file_read", origin=Origin.MODEL, path=f"{scene.path}/f").text.count("call") == 0
        scene.call("file_write", origin=Origin.MODEL, path=f"{scene.path}/f", content=str(number))


# --- tools of the broker ------------------------------------------------------------------------------------------


def with_broker_tool(path: Path, run: Callable[[Mapping[str, Json]], object], *, is_effect: bool = False) -> Scene:
    async def work(args: Mapping[str, Json], _call: BrokerCall) -> BrokerResult:
        return BrokerResult(str(run(args)))

    tool = BrokerTool("upper", "Shouts.", CATALOG["echo"].input, work, is_effect=is_effect)
    return Scene(path, catalog={"upper": tool})


def test_a_brokers_tool_is_done_here(tmp_path: Path) -> None:
    scene = with_broker_tool(tmp_path, lambda args: args["text"].upper())
    work = scene.request("upper", {"text": "hä"})
    assert isinstance(work, BrokerWork)
    assert asyncio.run(work.run()).text == "HÄ"
    assert scene.last_outcome.evidence is Evidence.OBSERVED
    assert [event.fields["route"] for event in scene.audit.events] == ["broker", "broker"]


def test_a_brokers_tool_fails_as_a_call(tmp_path: Path) -> None:
    def fail(_args: Mapping[str, Json]) -> str:
        raise ToolError("no", "try")

    scene = with_broker_tool(tmp_path, fail)
    work = scene.request("upper", {"text": "a"})
    assert isinstance(work, BrokerWork)
    with pytest.raises(ToolError):
        asyncio.run(work.run())
    assert scene.last_outcome.state is CallState.FAILED


@pytest.mark.parametrize("is_effect", [True, False])
def test_a_cancelled_effect_has_an_unknown_outcome(tmp_path: Path, is_effect: bool) -> None:
    def cancel(_args: Mapping[str, Json]) -> str:
        raise asyncio.CancelledError

    scene = with_broker_tool(tmp_path, cancel, is_effect=is_effect)
    work = scene.request("upper", {"text": "a"})
    assert isinstance(work, BrokerWork)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work.run())
    expected = CallState.OUTCOME_UNKNOWN if is_effect else CallState.FAILED
    assert scene.last_outcome.state is expected


def test_a_revoked_brokers_tool_gives_nothing(tmp_path: Path) -> None:
    """CAP-5"""
    scene = with_broker_tool(tmp_path, lambda args: "secret")
    work = scene.request("upper", {"text": "a"})
    assert isinstance(work, BrokerWork)
    scene.tokens.revoke(AGENT)
    with pytest.raises(DeniedError):
        asyncio.run(work.run())


def test_a_grant_of_one_file_is_for_that_file(tmp_path: Path) -> None:
    for name in ("f", "g"):
        (tmp_path / name).write_text(name)
    scene = Scene(tmp_path, grants=[Capability(Kind.FILE_READ, f"{tmp_path}/f")])
    assert scene.call("file_read", path=f"{tmp_path}/f").text == "f"
    assert isinstance(refused(scene, "file_read", {"path": f"{tmp_path}/g"}), DeniedError)
    assert isinstance(refused(scene, "file_list", {"path": str(tmp_path)}), DeniedError)
    assert isinstance(refused(scene, "file_write", {"path": f"{tmp_path}/f", "content": ""}), DeniedError)
