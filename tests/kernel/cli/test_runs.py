"""`agentd list`, `status`, `pause`, `resume`, `stop` and `logs`: what is asked and what is shown."""

import json
from pathlib import Path

import pytest

from aaos.core import rpc
from aaos.core.errors import ExitCode
from tests.kernel.cli.scripted import RUN, Lines, agentd, daemon, event, results


@pytest.mark.parametrize(
    ("words", "method", "answer", "shown"),
    [
        (["list"], "list", {"runs": [RUN]}, "r-abc"),
        (["status", "r-a"], "status", {**RUN, "goal": "g"}, "| the answer"),
        (["stop", "r-a"], "stop", {"run": "r-abc", "state": "cancelled"}, "r-abc cancelled"),
        (["pause", "r-a"], "pause", {"run": "r-abc", "state": "paused"}, "r-abc paused"),
        (["resume", "a-1"], "resume", {"run": "r-abc", "agent": "a-1z", "state": "running"}, "a-1z running"),
        (["logs", "r-a"], "logs", {"events": [{"kind": "agent.lost", "fields": {"message": "gone"}}]}, "gone"),
    ],
)
def test_each_command_asks_its_method_and_shows_the_answer(
    tmp_path: Path, words: list[str], method: str, answer: rpc.Json, shown: str
) -> None:
    with daemon(tmp_path, results({method: answer})) as scripted:
        plain = agentd(scripted, *words)
        as_json = agentd(scripted, *words, "--json")
    assert {request.method for request in scripted.requests} == {method}
    assert (plain.returncode, as_json.returncode) == (0, 0), plain.stderr + as_json.stderr
    assert shown in plain.stdout
    assert [json.loads(line) for line in as_json.stdout.splitlines()]


def test_the_logs_of_a_run_that_has_ended_end_with_how(tmp_path: Path) -> None:
    """AUD-4: as the live stream does."""
    events: list[rpc.Json] = [
        {"seq": 1, "kind": "file.written", "fields": {"path": "/tmp/out.md", "size_bytes": 3}},
        {"seq": 2, "kind": "run.failed", "fields": {"message": "no"}},
    ]
    error = {"code": "limit", "message": "too late", "remedy": "ask for less"}

    def script(request: rpc.Request) -> Lines:
        page: rpc.Json = {"events": events if request.params.get("after_seq") == 0 else []}
        ended: rpc.Json = {**RUN, "state": "failed", "result": "a part", "error": error}
        yield rpc.encode_result(request.id, page if request.method == "logs" else ended)

    with daemon(tmp_path, script) as scripted:
        plain = agentd(scripted, "logs", "r-abc")
        as_json = agentd(scripted, "logs", "r-abc", "--json")
    assert plain.returncode == ExitCode.OK
    assert "r-abc failed" in plain.stdout
    assert "| a part\nwrote /tmp/out.md" in plain.stdout
    assert plain.stderr.endswith("agentd: too late\n  try: ask for less\n")
    assert json.loads(as_json.stdout.splitlines()[-1])["state"] == "failed"


def test_a_page_that_is_short_is_not_the_last(tmp_path: Path) -> None:
    """A page is bounded in bytes as well as in events."""

    def script(request: rpc.Request) -> Lines:
        first = request.params["after_seq"]
        assert isinstance(first, int)
        page: list[rpc.Json] = [{"seq": first + 1, "kind": "agent.lost"}] if first < 3 else []
        yield rpc.encode_result(request.id, {"events": page})

    with daemon(tmp_path, script) as scripted:
        result = agentd(scripted, "logs", "r-abc", "--json")
    assert [json.loads(line)["seq"] for line in result.stdout.splitlines()] == [1, 2, 3]


def test_long_logs_are_read_page_by_page(tmp_path: Path) -> None:
    def script(request: rpc.Request) -> Lines:
        first = request.params["after_seq"]
        assert isinstance(first, int)
        last = min(first + 1_000, 1_500)
        page: list[rpc.Json] = [{"seq": seq, "kind": "agent.lost"} for seq in range(first + 1, last + 1)]
        yield rpc.encode_result(request.id, {"events": page})

    with daemon(tmp_path, script) as scripted:
        result = agentd(scripted, "logs", "r-abc", "--json")
    assert [json.loads(line)["seq"] for line in result.stdout.splitlines()] == list(range(1, 1_501))


def test_all_runs_are_followed_until_the_daemon_ends(tmp_path: Path) -> None:
    def script(request: rpc.Request) -> Lines:
        yield event(request, "agent.lost", {"message": "gone"})
        yield rpc.encode_result(request.id, {})

    with daemon(tmp_path, script) as scripted:
        result = agentd(scripted, "logs", "-f")
    assert (result.returncode, result.stdout) == (ExitCode.OK, "! s1 agent.lost: gone\n")
    assert [request.method for request in scripted.requests] == ["tail"]


def test_logs_of_nothing_in_particular_are_refused(tmp_path: Path) -> None:
    with daemon(tmp_path, results({})) as scripted:
        result = agentd(scripted, "logs")
    assert result.returncode == ExitCode.USAGE
    assert "agentd logs RUN" in result.stderr
