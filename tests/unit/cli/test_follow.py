"""What a follower shows, and the exit status of a run."""

import io
import json

import pytest

from aaos.cli.answers import Document
from aaos.cli.follow import Follower, exit_code
from aaos.cli.output import Output
from aaos.core.errors import ExitCode


def follower(*, is_json: bool = False, shows_all: bool = False) -> tuple[Follower, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Follower("/run/x.sock", Output(out, err, is_json=is_json), shows_all=shows_all), out, err


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("completed", None, ExitCode.OK),
        ("cancelled", "cancelled", ExitCode.CANCELLED),
        ("failed", None, ExitCode.RUN_FAILED),
        ("failed", "denied", ExitCode.REFUSED),
        ("failed", "unconfined", ExitCode.UNCONFINED),
        ("failed", "contract", ExitCode.RUN_FAILED),
        ("failed", "of a newer daemon", ExitCode.RUN_FAILED),
        ("", None, ExitCode.RUN_FAILED),
    ],
)
def test_the_exit_status_is_that_of_the_run(state: str, code: str | None, expected: ExitCode) -> None:
    assert exit_code({"state": state, "error": {"code": code} if code else None}) is expected


def test_the_end_has_answer_and_where_results_lie() -> None:
    following, out, err = follower()
    following.show({"request": 1, "kind": "file.written", "fields": {"path": "/o", "size_bytes": 1}})
    following.show({"request": 1, "kind": "file.written", "fields": {"path": "/o", "size_bytes": 9}})
    status = following.finish({"run": "r-a", "state": "completed", "result": "two\nlines"})
    assert status is ExitCode.OK
    assert out.getvalue().splitlines()[2:] == ["r-a completed", "| two", "| lines", "wrote /o  9 bytes"]
    assert err.getvalue() == ""


def test_a_failure_has_its_remedy_and_keeps_what_was_written() -> None:
    following, out, err = follower()
    following.show({"kind": "file.written", "fields": {"path": "/o"}})
    run: Document = {"run": "r-a", "state": "failed", "error": {"code": "denied", "message": "no", "remedy": "do"}}
    assert following.finish(run) is ExitCode.REFUSED
    assert out.getvalue().splitlines()[-1] == "wrote /o"
    assert err.getvalue() == "agentd: no\n  try: do\n"


def test_json_is_the_raw_events_then_the_run() -> None:
    following, out, err = follower(is_json=True)
    following.show({"request": 1, "seq": 4, "kind": "tool.done", "fields": {"tool": "echo"}})
    assert following.finish({"run": "r-a", "state": "failed", "error": {"code": "limit"}}) is ExitCode.RUN_FAILED
    event, run = map(json.loads, out.getvalue().splitlines())
    assert event == {"seq": 4, "kind": "tool.done", "fields": {"tool": "echo"}}
    assert run["state"] == "failed"
    assert err.getvalue() == ""


def test_all_shows_what_the_stream_leaves_out() -> None:
    quiet, out, _ = follower()
    quiet.show({"kind": "tool.permitted", "fields": {}})
    assert out.getvalue() == ""
    everything, out, _ = follower(shows_all=True)
    everything.show({"kind": "tool.permitted", "fields": {}})
    assert "tool.permitted" in out.getvalue()


def test_what_was_echoed_is_not_said_again() -> None:
    out = io.StringIO()
    following = Follower("/s", Output(out, out, is_json=False), echoed=frozenset({"run.planned"}))
    following.show({"kind": "run.planned", "fields": {"shape": "x"}})
    assert out.getvalue() == ""
    again, out, _ = follower()
    again.show({"kind": "run.planned", "fields": {"shape": "x", "subtasks": 2}})
    assert out.getvalue() == "planned: x, 2 subtasks\n"


def test_a_command_can_be_typed_as_it_stands() -> None:
    following, _, _ = follower()
    assert following.command("logs", "-f", "r-a b") == "agentd --socket /run/x.sock logs -f 'r-a b'"


def test_what_a_model_says_is_no_line_of_the_stream() -> None:
    """A note is shown in the status line of a terminal, and as a document with `--json`."""
    note: Document = {"seq": 4, "kind": "model.text", "fields": {"text": "The two\npages agree"}}
    for shows_all in (False, True):
        following, out, _ = follower(shows_all=shows_all)
        following.show(note)
        assert out.getvalue() == ""
    following, out, _ = follower(is_json=True)
    following.show(note)
    assert json.loads(out.getvalue()) == note
