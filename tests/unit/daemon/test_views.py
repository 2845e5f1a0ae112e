"""What the operator's socket shows."""

import json
from dataclasses import replace

from aaos.agent.registry import LiveAgent
from aaos.core.errors import DeniedError
from aaos.core.events import Event, EventKind, Recorded
from aaos.core.graph import MAX_SUBTASKS, Plan, RunState, Subtask, SubtaskState
from aaos.core.ids import AgentId, Gid, RoleName, RunId, SubtaskId, Uid
from aaos.core.layers import Layer
from aaos.core.ports import Attestation, Spend
from aaos.core.rpc import MAX_LINE_BYTES, encode_result
from aaos.daemon import views
from aaos.store.runs import RunRow, StoredError, SubtaskRow
from aaos.tools.catalog import CATALOG

ROW = RunRow(
    RunId("r-1"), Uid(1000), Gid(1000), "goal \x1b[31m", "{}", None, RunState.FAILED, 1.0, 2.0, "partial",
    StoredError("limit", "too long", "ask for less"),
)  # fmt: skip
PLAN = Plan((Subtask(SubtaskId("a"), RoleName("writer"), {"path": "/x"}, ()),), SubtaskId("a"), "write")


def test_a_status_has_its_parts() -> None:
    agent = LiveAgent(AgentId("a-1"), ROW.id, SubtaskId("a"), RoleName("writer"), Uid(1000), 0.0)
    subtask = SubtaskRow(SubtaskId("a"), SubtaskState.RUNNING, 1, AgentId("a-1"), None, None)
    shown = views.status_view(ROW, [subtask], plan=PLAN, agents=[agent])
    assert (shown["run"], shown["state"], shown["result"]) == ("r-1", "failed", "partial")
    assert shown["error"] == {"code": "limit", "message": "too long", "remedy": "ask for less"}
    assert shown["subtasks"] == [
        {
            "subtask": "a",
            "role": "writer",
            "state": "running",
            "attempt": 1,
            "agent": "a-1",
            "result": None,
            "error": None,
        }
    ]
    assert shown["agents"] == [{"agent": "a-1", "subtask": "a", "role": "writer", "state": "starting"}]
    assert json.loads(json.dumps(shown)) == shown


def test_what_a_run_spent_is_shown_without_the_dust_of_floats() -> None:
    """LLM-4"""
    assert views.spend_view(Spend(7, 0.1 + 0.2)) == {"tokens": 7, "cost_usd": 0.3}


def test_a_plan_is_shown_without_parameters() -> None:
    assert views.plan_view(PLAN) == {
        "shape": "write",
        "final": "a",
        "subtasks": [{"id": "a", "role": "writer", "inputs": []}],
    }


def test_an_event_is_flat_json() -> None:
    event = Event(EventKind.TOOL_DENIED, ROW.id, None, AgentId("a-1"), {"tool": "grep", "count": 2, "ok": False})
    assert views.event_view(Recorded(7, 1.5, event)) == {
        "seq": 7,
        "time_s": 1.5,
        "kind": "tool.denied",
        "run": "r-1",
        "subtask": None,
        "agent": "a-1",
        "fields": {"tool": "grep", "count": 2, "ok": False},
    }


def test_every_tool_is_shown_with_route_and_schema() -> None:
    for tool in CATALOG.values():
        shown = views.tool_view(tool)
        assert shown["route"] in ("worker", "broker")
        assert json.dumps(shown["parameters"])


def test_an_attestation_names_layers_and_missing_ones() -> None:
    attestation = Attestation(
        AgentId("a-1"),
        5,
        Uid(19),
        (Layer.SECCOMP,),
        (Layer.CGROUP,),
        {"seccomp": "denied"},
        {"seccomp": "2"},
        "p",
        "f",
        1.5,
    )
    shown = views.attestation_view(attestation)
    assert (shown["layers"], shown["missing"], shown["inside"]) == (["seccomp"], ["cgroup"], {"seccomp": "denied"})


def test_an_error_is_shown_with_its_remedy() -> None:
    assert views.error_view(DeniedError("no", "ask")) == {"code": "denied", "message": "no", "remedy": "ask"}


def test_the_largest_status_is_one_line() -> None:
    """H-RES-07: 256 subtasks with the longest results and errors, of characters that take six bytes in JSON."""
    long = "\x01" * 262_144
    error = StoredError("tool", long, long)
    row = replace(ROW, goal="g" * 16_384, result=long, error=error)
    names = [SubtaskId(f"s{number}") for number in range(MAX_SUBTASKS)]
    subtasks = [SubtaskRow(name, SubtaskState.FAILED, 1, AgentId("a-1"), long, error) for name in names]
    line = encode_result(1, views.status_view(row, subtasks, plan=None, agents=[]))
    assert len(line) < MAX_LINE_BYTES
    listing = encode_result(1, {"runs": [views.run_view(row, is_whole=False)] * 300})
    assert len(listing) < MAX_LINE_BYTES


def test_a_page_of_events_is_one_line_and_never_empty() -> None:
    big = Recorded(1, 0.0, Event(EventKind.AGENT_LOG, ROW.id, fields={"message": "\x01" * 4096}))
    page = views.page_view([big] * 1_000)
    assert 1 <= len(page) < 1_000
    assert len(encode_result(1, {"events": page})) < MAX_LINE_BYTES
    huge = Recorded(1, 0.0, Event(EventKind.AGENT_LOG, ROW.id, fields={"message": "x" * 900_000}))
    assert len(views.page_view([huge, huge])) == 1


def test_a_cut_text_says_so() -> None:
    assert views.fit("short", 100) == "short"
    assert views.fit("x" * 1_000, 100).endswith("x…")
