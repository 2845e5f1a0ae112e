"""Calls that wait for an approval: nothing before it, exactly what was shown after it."""

import asyncio
from pathlib import Path

import pytest

from aaos.broker.secrets import SecretStore
from aaos.core.approval import ApprovalState, Settling
from aaos.core.capability import Capability, Kind, parse_capabilities
from aaos.core.constraint import Constraints
from aaos.core.envelope import Envelope, Submitter
from aaos.core.errors import AaosError, ConflictError, DeniedError, InputError
from aaos.core.events import EventKind
from aaos.core.ids import Gid, Uid
from aaos.core.ports import CallState, Label, Page
from aaos.tools.catalog import CATALOG
from aaos.tools.held import echo_lines, may_be_held, with_held_writes
from aaos.tools.web import web_fetch
from tests.fakes import ScriptedWeb
from tests.unit.tools.approving import FIRST, HeldScene
from tests.unit.tools.scene import AGENT
from worker import abi


async def nothing() -> None:
    """Nobody does anything."""


def test_an_approved_write_is_made_by_agentd_from_the_committed_bytes(tmp_path: Path) -> None:
    """BRK-6, APR-2: no permit, no buffer and no fd ever goes to the worker."""
    scene = HeldScene(tmp_path)
    call = scene.held("file_write", path=f"{tmp_path}/new", content="word\n")
    assert not (tmp_path / "new").exists()
    record = scene.ledger.opened[call.opened.draft.record.call]
    assert (record.state, record.pre_hash) == (CallState.HELD, "absent")
    result = scene.outcome(call, scene.approve)
    assert (tmp_path / "new").read_text() == "word\n"
    assert result.written is not None
    assert result.written.path == f"{tmp_path}/new"
    assert scene.ledger.opened[record.call].state is CallState.PERMITTED
    assert scene.kinds == [EventKind.TOOL_PERMITTED, EventKind.FILE_WRITTEN, EventKind.TOOL_DONE]
    assert {event.fields["route"] for event in scene.audit.events} == {"broker"}


def test_an_approved_edit_changes_the_one_place(tmp_path: Path) -> None:
    """BRK-6"""
    (tmp_path / "f").write_text("one two three\n")
    scene = HeldScene(tmp_path)
    call = scene.held("file_edit", path=f"{tmp_path}/f", old="two", new="2")
    assert "-one two three\n+one 2 three" in scene.one().asked.preview
    scene.outcome(call, scene.approve)
    assert (tmp_path / "f").read_text() == "one 2 three\n"


@pytest.mark.parametrize("tool", ["file_write", "file_edit"])
def test_a_changed_file_is_a_conflict_and_stays_as_it_is(tmp_path: Path, tool: str) -> None:
    """BRK-6, H-API-06: changed while it waits, whether or not the bytes would still fit."""
    (tmp_path / "f").write_text("one two three\n")
    args = {"content": "x"} if tool == "file_write" else {"old": "two", "new": "2"}
    scene = HeldScene(tmp_path)
    call = scene.held(tool, path=f"{tmp_path}/f", **args)

    async def change() -> None:
        (tmp_path / "f").write_text("one two three four\n")
        await scene.approve()

    with pytest.raises(ConflictError):
        scene.outcome(call, change)
    assert (tmp_path / "f").read_text() == "one two three four\n"
    assert scene.last_outcome.state is CallState.FAILED
    assert EventKind.FILE_CONFLICT in scene.kinds


def test_a_replaced_directory_or_a_planted_link_leads_nowhere(tmp_path: Path) -> None:
    """BRK-6, H-FS-02: paths are opened anew, as the submitter, beneath the same root."""
    (tmp_path / "d").mkdir()
    (tmp_path / "outside").mkdir()
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "d").mkdir()
    scene = HeldScene(inner)
    call = scene.held("file_write", path=f"{inner}/d/new", content="x")

    async def plant() -> None:
        (inner / "d").rmdir()
        (inner / "d").symlink_to(tmp_path / "outside")
        await scene.approve()

    with pytest.raises(AaosError):
        scene.outcome(call, plant)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_grant_that_expired_or_was_revoked_meanwhile_does_nothing(tmp_path: Path) -> None:
    """H-CAP-09, CAP-5"""
    expiring = Constraints(expires_at_s=1_030.0, is_approved_first=True)
    for limits in (expiring, FIRST):
        scene = HeldScene(tmp_path, files=limits)
        call = scene.held("file_write", path=f"{tmp_path}/new", content="x")

        async def end(scene: HeldScene = scene, is_over: bool = limits is expiring) -> None:
            if is_over:
                scene.clock.time_s += 31
            else:
                scene.tokens.revoke(AGENT)
            await scene.approve()

        with pytest.raises(DeniedError, match="ended while it waited"):
            scene.outcome(call, end)
    assert not (tmp_path / "new").exists()


def test_a_denial_is_told_with_its_reason_and_nothing_is_done(tmp_path: Path) -> None:
    """APR-3"""
    scene = HeldScene(tmp_path)
    call = scene.held("file_write", path=f"{tmp_path}/new", content="x")

    async def deny() -> None:
        how = Settling(ApprovalState.DENIED, Uid(7), "pts/1", "not now")
        await scene.desk.settle(scene.one(), scene.one().digest, how)

    with pytest.raises(DeniedError, match="uid 7 did not approve it: not now"):
        scene.outcome(call, deny)
    assert not (tmp_path / "new").exists()


def test_who_stops_waiting_withdraws_and_a_daemon_that_closes_does_not(tmp_path: Path) -> None:
    """H-DUR-03: what waits is left to the next daemon, open and asked for."""
    for is_closing in (False, True):
        scene = HeldScene(tmp_path)
        call = scene.held("file_write", path=f"{tmp_path}/new", content="x")

        async def stop(scene: HeldScene = scene, is_closing: bool = is_closing) -> None:
            scene.is_closing = is_closing
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            scene.outcome(call, stop)
        call.release()
        state = ApprovalState.WAITING if is_closing else ApprovalState.WITHDRAWN
        assert scene.one().state is state
        assert bool(scene.ledger.settled) is not is_closing


def test_a_call_that_was_held_before_a_restart_keeps_its_approval(tmp_path: Path) -> None:
    """H-DUR-03, APR-1: nobody is asked twice, and a word that was given meanwhile counts."""
    scene = HeldScene(tmp_path)
    args = {"path": f"{tmp_path}/new", "content": "x"}
    first = scene.held("file_write", **args)
    scene._number -= 1
    scene.ledger.epoch += 1  # a new daemon on the same rows
    asyncio.run(scene.approve())
    again = scene.held("file_write", **args)
    assert again.approval is not None
    assert first.approval is not None
    assert again.approval.id == first.approval.id
    assert scene.outcome(again, nothing).ok
    assert scene.approvals_audit.kinds() == [EventKind.APPROVAL_ASKED, EventKind.APPROVAL_GIVEN]


def test_after_a_restart_another_file_or_other_grants_are_a_conflict(tmp_path: Path) -> None:
    """APR-2: the digest covers both."""
    for is_file in (True, False):
        (tmp_path / "new").unlink(missing_ok=True)
        scene = HeldScene(tmp_path)
        args = {"path": f"{tmp_path}/new", "content": "x"}
        scene.held("file_write", **args)
        scene._number -= 1
        scene.ledger.epoch += 1
        asyncio.run(scene.approve())
        if is_file:
            (tmp_path / "new").write_text("other")
        else:
            scene.tokens.grant(AGENT, [Capability(Kind.FILE_READ, "/usr/**")])
        with pytest.raises(ConflictError, match="is not what it was when it was held"):
            scene.held("file_write", **args)


def test_a_read_cannot_wait_and_says_what_to_do(tmp_path: Path) -> None:
    """BRK-6: an approved call never runs in the worker that asked for it."""
    (tmp_path / "f").write_text("x")
    scene = HeldScene(tmp_path, tools=("file_read", "file_write"))
    with pytest.raises(DeniedError, match="an approved call never is") as caught:
        scene.request("file_read", {"path": f"{tmp_path}/f"})
    assert "tool: file_read without approval_required" in caught.value.remedy
    with pytest.raises(InputError, match="approval_required is not a constraint of this kind"):
        parse_capabilities({"file_read": "/x", "approval_required": True}, now_s=0.0)
    assert [name for name, tool in CATALOG.items() if may_be_held(tool)] == ["file_write", "file_edit"]


@pytest.mark.parametrize("asked", ["file_write", "file_edit"])
@pytest.mark.parametrize("is_envelope", [True, False])
def test_no_directory_is_mounted_for_writing_where_writes_wait(asked: str, is_envelope: bool) -> None:
    """BRK-5, BRK-6: a worker could write to a mounted directory without any call."""
    wanted = parse_capabilities(
        ["tool: file_write", "tool: file_edit", "file_write: /a/**", "file_read: /a/**"], now_s=0
    )
    first = (Capability(Kind.TOOL, asked, FIRST),)
    made = with_held_writes(wanted, first if is_envelope else (), CATALOG)
    if not is_envelope:
        made = with_held_writes((*wanted, *first), (), CATALOG)
    writes = [one for one in made if one.kind is Kind.FILE_WRITE]
    assert writes
    assert not any(one.is_plain_root for one in writes)
    assert all(one.constraints.is_approved_first for one in writes)
    assert with_held_writes(wanted, (), CATALOG) == wanted


def test_a_worker_that_says_it_did_a_held_call_is_lost(tmp_path: Path) -> None:
    """BRK-6: there is no permit that it could answer."""
    scene = HeldScene(tmp_path)
    call = scene.held("file_write", path=f"{tmp_path}/new", content="x")
    with pytest.raises(AaosError, match="is not open"):
        scene.gate.done(scene.caller, abi.ToolDone(2, call.opened.draft.record.call, True, "done", False))
    assert not (tmp_path / "new").exists()


def test_a_page_waits_and_its_redirects_are_not_followed(tmp_path: Path) -> None:
    """APR-2: what was approved is one address."""
    there = Page(302, "http://a.example/other", "192.0.2.1", "text/html", b"", 0, 0, "")
    page = Page(200, "", "192.0.2.1", "text/plain", b"words", 5, 5, "")
    web = ScriptedWeb({"http://a.example/": page, "http://a.example/moved": there, "http://a.example/other": page})
    for url, is_good in (("http://a.example/", True), ("http://a.example/moved", False)):
        scene = HeldScene(tmp_path)
        scene.gate._catalog = {**CATALOG, "web_fetch": web_fetch(web, SecretStore(tmp_path))}
        scene.tokens.grant(
            AGENT, [Capability(Kind.TOOL, "web_fetch"), Capability(Kind.NETWORK, "a.example:80/**", FIRST)]
        )
        call = scene.held("web_fetch", url=url)
        assert web.asked == [] or is_good is False
        if is_good:
            assert "words" in scene.outcome(call, scene.approve).text
            assert scene.last_outcome.label is Label.OUTSIDE
        else:
            with pytest.raises(DeniedError, match="needs an approval of its own"):
                scene.outcome(call, scene.approve)
        assert web.asked[-1].url.text == url


def test_the_echo_says_what_waits_of_writes_too() -> None:
    """CAP-0, BRK-6: `--ask file_write` is asked for every write, by whichever tool."""
    granted = parse_capabilities(
        ["tool: file_edit", "file_write: /a/**", "capability://file_write/b?as_owner=true", "file_read: /a/**"], now_s=0
    )
    envelope = Envelope(Submitter(Uid(1), Gid(1)), (Capability(Kind.TOOL, "file_write", FIRST), *granted))
    waits = "(each use waits for an approval)"
    assert echo_lines(envelope, CATALOG)[:5] == (
        f"tool: file_write {waits}",
        "tool: file_edit",
        f"file_write: /a/** {waits}",
        f"file_write: /b (as its owner) {waits}",
        "file_read: /a/**",
    )
    assert waits not in str(echo_lines(Envelope(envelope.submitter, granted), CATALOG))
