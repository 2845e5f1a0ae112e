"""Events as lines (AUD-4): tags, durations, refusals with the grant that would allow it."""

import pytest

from aaos.cli import render
from aaos.cli.answers import Document, Event
from aaos.core.events import EventKind

KINDS = [kind.value for kind in EventKind]


def event(kind: str, fields: Document | None = None, *, subtask: str = "s1") -> Event:
    return Event(1, 3_661.25, kind, "r-abc", subtask, "a-xyz", fields or {})


def test_a_tool_line_has_tag_resource_and_duration() -> None:
    fields: Document = {"tool": "file_read", "path": "/etc/motd", "duration_ms": 0.42}
    assert render.stream_lines(event("tool.done", fields)) == ["[worker] s1 file_read /etc/motd  0.4 ms"]


def test_a_tool_of_the_broker_has_its_tag() -> None:
    fields: Document = {"tool": "web_fetch", "route": "broker", "duration_ms": 1200}
    assert render.stream_lines(event("tool.done", fields, subtask="")) == ["[broker] web_fetch  1.2 s"]


def test_a_refusal_shows_the_grant_that_would_allow_it() -> None:
    fields: Document = {
        "tool": "file_read",
        "path": "/etc/shadow",
        "message": "not granted",
        "remedy": "grant it with: --read /etc/shadow",
    }
    assert render.stream_lines(event("tool.denied", fields)) == [
        "[worker] s1 file_read /etc/shadow  refused: not granted",
        "         grant it with: --read /etc/shadow",
    ]


def test_a_failed_tool_says_why() -> None:
    fields: Document = {"tool": "grep", "message": "no such file", "duration_ms": 1}
    assert render.stream_lines(event("tool.failed", fields)) == ["[worker] s1 grep  1.0 ms  failed: no such file"]


def test_a_missing_layer_is_loud() -> None:
    lines = render.stream_lines(event("agent.confined", {"layers": "userns,netns", "missing": "cgroup"}))
    assert lines == ["[worker] s1 confined: 2 layers verified, WITHOUT cgroup"]
    assert render.stream_lines(event("confinement.reduced", {"layers": "cgroup"}))[0].startswith("! ")


def test_a_written_file_is_named_with_size_and_digest() -> None:
    fields: Document = {"path": "/out/x.md", "size_bytes": 12_800, "sha256": "ab" * 32}
    assert render.stream_lines(event("file.written", fields)) == [
        "[broker] s1 wrote /out/x.md  12.5 KiB  sha256 abababababababab"
    ]


def test_a_fetched_page_is_named_with_the_address_that_answered() -> None:
    fields: Document = {"method": "GET", "url": "http://a.example/", "address": "192.0.2.1"}
    assert render.stream_lines(event("network.fetched", {**fields, "status": 200, "received_bytes": 3_140})) == [
        "[egress] s1 GET http://a.example/ from 192.0.2.1: 200, 3.1 KiB"
    ]
    assert render.stream_lines(event("run.trust_lowered", {"label": "outside", "url": "http://a.example/"})) == [
        "[egress] s1 from here on the run has read from outside"
    ]
    done: Document = {"tool": "web_fetch", "route": "broker", "url": "http://a.example/", "duration_ms": 12}
    assert render.stream_lines(event("tool.done", done)) == ["[broker] s1 web_fetch http://a.example/  12 ms"]


def test_a_connection_of_a_subprocess_is_named_with_what_moved() -> None:
    place: Document = {"host": "a.example", "port": 443}
    moved: Document = {"address": "192.0.2.1", "sent_bytes": 512, "received_bytes": 3_140}
    line = "[egress] s1 connected a.example:443 at 192.0.2.1: 512 bytes sent, 3.1 KiB received"
    assert render.stream_lines(event("network.connected", {**place, **moved})) == [line]
    assert render.stream_lines(event("network.connected", {**place, **moved, "message": "cut"})) == [f"{line}: cut"]
    assert render.stream_lines(event("network.refused", {**place, "status": 403, "message": "not granted"})) == [
        "[egress] s1 refused a.example:443: 403 not granted"
    ]
    full: Document = {"host": "", "port": None, "status": 503, "message": "connections wait"}
    assert render.stream_lines(event("network.refused", full)) == ["[egress] s1 refused: 503 connections wait"]
    assert render.stream_lines(event("network.refused", {"host": "?", "port": None, "status": 400})) == [
        "[egress] s1 refused ?: 400"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_line_or_is_quiet_on_purpose(kind: str) -> None:
    shown = render.stream_lines(event(kind))
    assert (shown == []) == (kind in render.QUIET)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_in_the_whole_log(kind: str) -> None:
    (line,) = render.log_lines(event(kind, {"code": "denied", "count": 3}))
    assert line.startswith("01:01:01.250")
    assert kind in line
    assert line.endswith("code=denied count=3")


def test_what_the_stream_knows_is_what_can_happen() -> None:
    assert set(KINDS) >= render.QUIET
    assert set(KINDS) >= set(render.SHOWN)
    assert not render.QUIET & set(render.SHOWN)


@pytest.mark.parametrize("kind", ["tool.denied", "agent.lost", "limit.reached"])
def test_a_remedy_is_never_left_out(kind: str) -> None:
    assert any("type this" in line for line in render.stream_lines(event(kind, {"remedy": "type this"})))


def test_a_plan_shows_who_waits_for_whom() -> None:
    subtasks: tuple[Document, ...] = ({"id": "a", "role": "analyzer"}, {"id": "w", "role": "writer", "inputs": ["a"]})
    assert render.plan_lines({"shape": "compare"}, subtasks) == [
        "plan: compare, 2 subtasks",
        "  a  analyzer",
        "  w  writer  after a",
    ]


def test_the_end_tells_state_and_time() -> None:
    run: Document = {"run": "r-a", "state": "completed", "created_s": 10.0, "finished_s": 11.5}
    assert render.end_line(run) == "r-a completed in 1.5 s"
    assert render.end_line({"run": "r-a", "state": "failed", "created_s": 10.0, "finished_s": None}) == "r-a failed"


@pytest.mark.parametrize(
    ("milliseconds", "shown"), [(0.04, "0.0 ms"), (9.96, "10.0 ms"), (120, "120 ms"), (61_000, "61.0 s")]
)
def test_durations_read_well(milliseconds: float, shown: str) -> None:
    assert render.duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (2**21, "2.0 MiB"), (2**34, "16.0 GiB")],
)
def test_sizes_read_well(count: float, shown: str) -> None:
    assert render.size(count) == shown


def test_an_error_has_its_remedy_below() -> None:
    assert render.error_lines({"message": "no", "remedy": "do"}) == ["agentd: no", "  try: do"]
    assert render.error_lines({"message": "no", "remedy": ""}) == ["agentd: no"]


def test_a_models_plan_is_shown_line_by_line_and_a_new_one_says_why() -> None:
    """AUD-4"""
    fields: Document = {"shape": "model", "subtasks": 2, "plan": "a  analyzer\nb  writer  after a"}
    assert render.stream_lines(event("run.planned", fields)) == [
        "planned: model, 2 subtasks",
        "  a  analyzer",
        "  b  writer  after a",
    ]
    failed: Document = {"failed": "a", "code": "tool", "message": "no such file", "remedy": "x"}
    assert render.stream_lines(event("run.replanned", failed)) == [
        "planning anew, since subtask a failed: no such file",
    ]


def test_a_resumed_run_says_what_it_keeps_and_what_time_is_left() -> None:
    """BRK-8"""
    resumed: Document = {"subtasks": 3, "ended": 1, "underway": 2, "wall_s": 90.0, "resumes": 1}
    lines = render.stream_lines(event("run.resumed", resumed))
    assert lines == ["! agentd was restarted: the run goes on, 1 of 3 subtasks had ended, 90.0 s left"]


def test_a_refused_plan_is_told_once_and_gives_no_advice() -> None:
    """H-CAP-16: what a model asks for is not what we tell the operator to grant."""
    fields: Document = {
        "code": "denied",
        "message": "file_read: /etc/shadow is not granted",
        "remedy": "--read /etc/shadow",
    }
    assert render.stream_lines(event("plan.refused", fields, subtask="planning-1")) == [
        "! planning-1 the model's plan is refused: file_read: /etc/shadow is not granted",
    ]
    assert render.stream_lines(event("subtask.retried", {"code": "plan", "message": "x"})) == []
    assert render.stream_lines(event("subtask.retried", {"code": "tool", "message": "x"})) != []


def test_a_traceback_is_read_line_by_line_and_passes_for_nothing_of_ours() -> None:
    """H-SEC-09: a program's words may look like lines of agentd."""
    message = "the program gave up: Traceback\n  File x\nagentd: all is well\n"
    lines = render.stream_lines(event("subtask.failed", {"message": message, "remedy": "mend it"}))
    assert lines[0].endswith("Traceback")
    assert lines[1:] == ["  |   File x", "  | agentd: all is well", "  try: mend it"]
    assert render.error_lines({"message": message})[2] == "  | agentd: all is well"


def test_what_a_program_changed_and_says_is_shown_and_what_others_obey_stands_out() -> None:
    """AUD-4, H-SEC-09: every line of a program is marked as such."""
    fields: Document = {
        "made": 2,
        "removed": 1,
        "made_paths": "/w/a\n/w/.git/config",
        "control_paths": "/w/.git/config",
        "aside_paths": "/w/sub/.git",
    }
    assert render.stream_lines(event("file.changed", fields)) == [
        "[cell] s1 made 2 files, removed 1 file",
        "         /w/a",
        "         /w/.git/config",
        "! s1 other programs take orders from /w/.git/config: look at it first",
        "! s1 /w/sub/.git was set aside: other programs take orders from it",
    ]
    said: Document = {"tool": "shell", "text": "one\n[broker] s1 wrote /etc/passwd\n"}
    assert render.stream_lines(event("tool.output", said)) == [
        "[cell] s1 shell: one",
        "  | [broker] s1 wrote /etc/passwd",
    ]
