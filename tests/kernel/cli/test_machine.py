"""`agentd roles`, `tools`, `attest`, `doctor`, `selftest` and `version`: what is asked and what is shown."""

import json
import subprocess
from pathlib import Path

import pytest

from aaos.core import rpc
from aaos.core.errors import ConfinementError, ExitCode
from tests.kernel.cli.scripted import AGENTD, DEADLINE_S, Lines, agentd, daemon, results


@pytest.mark.parametrize(
    ("words", "method", "answer", "shown"),
    [
        (["roles"], "roles", {"roles": [{"name": "writer"}], "refused": []}, "writer"),
        (["tools"], "tools", {"tools": [{"name": "grep"}]}, "grep"),
        (["attest", "r-a"], "attest", {"attestations": [{"agent": "a-1", "layers": ["userns"]}]}, "userns"),
        (["doctor"], "doctor", {"findings": [{"name": "kernel", "ok": True}]}, "ok   kernel"),
        (
            ["selftest"],
            "selftest",
            {"probes": 1, "results": [{"probe": "fork", "ok": True}]},
            "1 probes in 0.0 ms: all",
        ),
        (["version"], "version", {"version": "9.9", "missing_layers": ["cgroup"]}, "runs without cgroup"),
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


def test_a_finding_that_is_not_ok_is_in_the_exit_status(tmp_path: Path) -> None:
    findings: rpc.Json = {"findings": [{"name": "cgroup", "ok": False, "remedy": "boot with v2"}]}
    with daemon(tmp_path, results({"doctor": findings})) as scripted:
        result = agentd(scripted, "doctor")
    assert (result.returncode, "try: boot with v2" in result.stdout) == (ExitCode.UNCONFINED, True)


@pytest.mark.parametrize("answer", [{"probes": 1, "failed": 1, "results": [{"probe": "fork", "ok": False}]}, {}])
def test_a_probe_that_was_not_stopped_or_none_at_all_is_in_the_exit_status(tmp_path: Path, answer: rpc.Json) -> None:
    """ISO-10"""
    with daemon(tmp_path, results({"selftest": answer})) as scripted:
        result = agentd(scripted, "selftest")
    assert (result.returncode, "WERE NOT STOPPED" in result.stdout) == (1, True)


def test_a_layer_that_does_not_hold_is_in_the_exit_status(tmp_path: Path) -> None:
    def script(request: rpc.Request) -> Lines:
        yield rpc.encode_error(request.id, ConfinementError("agent a-1 has drifted: seccomp", "agentd stop r-1"))

    with daemon(tmp_path, script) as scripted:
        result = agentd(scripted, "attest", "a-1")
    assert (result.returncode, result.stdout) == (ExitCode.UNCONFINED, "")
    assert [request.params for request in scripted.requests] == [{"agent": "a-1"}]


def test_a_layer_left_out_is_on_the_screen(tmp_path: Path) -> None:
    answer: rpc.Json = {"attestations": [{"agent": "a-1", "layers": ["userns"], "missing": ["cgroup"]}]}
    with daemon(tmp_path, results({"attest": answer})) as scripted:
        result = agentd(scripted, "attest", "r-1")
    assert (result.returncode, "WITHOUT cgroup" in result.stdout) == (ExitCode.OK, True)
    assert [request.params for request in scripted.requests] == [{"run": "r-1"}]


def test_version_works_without_a_daemon(tmp_path: Path) -> None:
    command = [*AGENTD, "--socket", f"{tmp_path}/none", "version"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert result.returncode == 0
    assert "daemon: none (no agentd answers" in result.stdout
