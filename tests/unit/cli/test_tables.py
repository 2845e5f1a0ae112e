"""Answers to single questions as lines."""

from aaos.cli import tables
from aaos.cli.answers import Document

RUN: Document = {
    "run": "r-abc",
    "goal": "summarise\n/etc/motd " + "x" * 80,
    "state": "failed",
    "created_s": 1_000.0,
    "finished_s": 1_090.0,
    "error": {"code": "denied", "message": "no", "remedy": "agentd submit --read /x"},
    "subtasks": [
        {"subtask": "s1", "role": "analyzer", "state": "completed", "attempt": 1, "agent": "a-1", "error": None},
        {
            "subtask": "s2",
            "role": "writer",
            "state": "failed",
            "attempt": 2,
            "agent": "a-2",
            "error": {"message": "bad"},
        },
    ],
}


def test_runs_stand_in_columns_and_long_goals_are_cut() -> None:
    head, first, second = tables.run_lines([RUN, {**RUN, "run": "r-longer", "goal": "short"}], now_s=1_400.0)
    assert head.index("GOAL") == second.index("short") == first.index("summarise /etc/motd")
    assert first.endswith("...")
    assert "7 min ago" in first


def test_no_runs_says_what_to_type() -> None:
    assert tables.run_lines([], now_s=0.0) == ["no runs; try: agentd submit GOAL"]


def test_a_status_has_subtasks_their_errors_and_the_remedy() -> None:
    lines = tables.status_lines(RUN, now_s=5_000.0)
    assert "state    failed after 90 s" in lines
    assert "s2: bad" in lines
    assert lines[-2:] == ["agentd: no", "  try: agentd submit --read /x"]
    assert "started  1970-01-01 00:16:40 UTC" in lines


def test_a_status_names_the_live_agent_of_a_subtask() -> None:
    subtask: Document = {"subtask": "s1", "role": "program", "state": "running", "attempt": 1, "agent": None}
    run: Document = {**RUN, "subtasks": [subtask], "agents": [{"agent": "a-live", "subtask": "s1"}]}
    assert any(
        line.split() == ["s1", "program", "running", "1", "a-live"] for line in tables.status_lines(run, now_s=0.0)
    )


def test_a_status_says_what_the_models_took() -> None:
    """LLM-4"""
    assert "trust    lowered: it has seen content from outside" in tables.status_lines(
        {**RUN, "trust": "outside"}, now_s=0.0
    )
    assert not any(line.startswith("trust") for line in tables.status_lines({**RUN, "trust": ""}, now_s=0.0))
    lines = tables.status_lines({**RUN, "tokens": 12_345, "cost_usd": 0.0421}, now_s=0.0)
    assert "models   12345 tokens, $0.0421" in lines
    assert not any(line.startswith("models") for line in tables.status_lines(RUN, now_s=0.0))


def test_a_running_status_counts_on() -> None:
    lines = tables.status_lines({"run": "r", "state": "running", "created_s": 10.0, "finished_s": None}, now_s=15.0)
    assert "state    running after 5 s" in lines


def test_roles_have_their_parameters_and_refused_files_their_remedy() -> None:
    role: Document = {
        "name": "writer",
        "entry": "loop",
        "summary": "writes",
        "tiers": ["T0", "T2"],
        "parameters": {"output": {"type": "path", "required": True, "summary": "where"}},
    }
    assert tables.role_lines([role], [{"message": "x.yaml: bad", "remedy": "mend it"}]) == [
        "writer  (loop, T0, T2)  writes",
        "    output: path, required  where",
        "",
        "agentd: x.yaml: bad",
        "  try: mend it",
    ]


def test_tools_say_where_they_run_and_whether_they_change_anything() -> None:
    tool: Document = {"name": "file_write", "route": "worker", "is_effect": True, "summary": "write a file"}
    assert tables.tool_lines([tool])[1].split(maxsplit=3) == ["file_write", "worker", "writes", "write a file"]


def test_an_attestation_shows_each_layer_from_both_sides_and_what_is_missing() -> None:
    lines = tables.attestation_lines(
        {
            "agent": "a-1",
            "pid": 7,
            "host_uid": 1_900_000_000,
            "layers": ["userns", "seccomp"],
            "missing": ["cgroup"],
            "inside": {"userns": "denied"},
            "outside": {"userns": "ok", "seccomp": "filter"},
            "duration_ms": 1.5,
        }
    )
    assert "verified in 1.5 ms; WITHOUT cgroup" in lines
    assert lines[-2].split() == ["userns", "denied", "ok"]
    assert lines[-1].split() == ["seccomp", "-", "filter"]


def test_a_finding_that_is_not_ok_has_its_remedy() -> None:
    found: list[Document] = [
        {"name": "kernel", "ok": True, "detail": "6.18", "remedy": ""},
        {"name": "cgroup", "ok": False, "detail": "v1 only", "remedy": "boot with cgroup v2"},
    ]
    assert tables.finding_lines(found) == [
        "ok   kernel  6.18",
        "BAD  cgroup  v1 only",
        "     try: boot with cgroup v2",
    ]
