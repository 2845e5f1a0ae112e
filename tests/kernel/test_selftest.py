"""`agentd selftest` on a running installation, as its operator asks for it."""

import json
import subprocess
import sys

from qa.daemon import private_daemon
from tests.kernel.harness import TREE


def test_an_operator_runs_it_and_the_doctor_remembers_it() -> None:
    """ISO-10, OPS-4"""
    with private_daemon() as agentd:
        before = agentd.run("doctor")
        assert "not run yet" in before.output
        plain = agentd.run("selftest")
        assert plain.status == 0, plain.output
        assert "all were stopped" in plain.output
        assert [head for head in ("GROUP", "PROBE", "EXPECTED", "SEEN", "STOPPED BY") if head not in plain.output] == []
        found = json.loads(agentd.run("selftest", "--json").output)
        assert found["probes"] == len(found["results"]) >= 120
        assert (found["failed"], {result["ok"] for result in found["results"]}) == (0, {True})
        assert {result["place"] for result in found["results"]} == {"worker", "cell"}
        assert f"{found['probes']} probes, all stopped" in agentd.run("doctor").output
        assert not (agentd.directory / "state" / "selftest").exists()


def test_two_at_once_are_one_and_a_refusal() -> None:
    """H-RES-11"""
    with private_daemon() as agentd:
        command = [sys.executable, "-I", "-m", "aaos.cli", "--socket", agentd.socket, "selftest", "--json"]
        asked = [subprocess.Popen(command, cwd=TREE, stdout=subprocess.PIPE) for _ in range(6)]
        answers = [json.loads(process.communicate(timeout=60)[0]) for process in asked]
    done = [answer for answer in answers if "results" in answer]
    assert done
    assert all(answer["error"]["code"] == "busy" for answer in answers if answer not in done)
