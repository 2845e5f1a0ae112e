"""The death of agentd: its workers and its zygote die with it, whatever they do, and have no hold of its terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.kernel.harness import HERE, TREE


def _agentd(*arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "programs" / "agentd.py"), *arguments]
    environment = {"PYTHONPATH": str(TREE), "PATH": os.defpath}
    return subprocess.Popen(
        command, cwd=TREE, env=environment, stdin=stdin, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV], ids=lambda end: end.name)
def test_when_agentd_dies_its_workers_and_zygote_die(end: signal.Signals) -> None:
    """ISO-11, ISO-6: also those that are busy, those that were never started, and those that are parked."""
    with _agentd("idle") as agentd:
        assert agentd.stdout is not None
        facts = json.loads(agentd.stdout.readline())
        pids = [facts["zygote"], *facts["workers"]]
        assert [pid for pid in pids if _is_alive(pid)] == pids
        agentd.send_signal(end)
    _are_gone(pids)


def test_a_zygote_that_is_stuck_dies_with_agentd() -> None:
    """ISO-13: it does not see its socket close, and is killed all the same."""
    with _agentd("idle") as agentd:
        assert agentd.stdout is not None
        facts = json.loads(agentd.stdout.readline())
        os.kill(facts["zygote"], signal.SIGSTOP)
        agentd.kill()
    _are_gone([facts["zygote"], *facts["workers"]])


def test_a_worker_has_no_hold_of_the_terminal_that_agentd_was_started_from() -> None:
    """H-SBX-12: under a real pty; neither zygote nor worker has a controlling terminal or can push into one."""
    master, slave = pty.openpty()
    try:
        with _agentd("terminal", stdin=slave) as agentd:
            assert agentd.stdout is not None
            facts = json.loads(agentd.stdout.readline())
    finally:
        os.close(master)
        os.close(slave)
    agentd_terminal, *others = facts["terminals"]
    assert agentd_terminal != 0
    assert others == [0, 0]
    assert facts["said"] == ["False"] * 4 + ["ENOSYS", "ENOSYS", "ENOENT"]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _are_gone(pids: Sequence[int]) -> None:
    until_s = time.monotonic() + 5
    while alive := [pid for pid in pids if _is_alive(pid)]:
        assert time.monotonic() < until_s, f"still alive: {alive}"
        time.sleep(0.01)
