"""Children that nobody knows are found, dead or alive, and no others."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from aaos.sandbox.strays import kill_strays
from tests.kernel.harness import Stand, children, request


@pytest.fixture
def ordinary() -> Iterator[list[int]]:
    """Two children of a library: one that runs, and one that has ended and waits to be collected."""
    with subprocess.Popen(["sleep", "600"]) as running, subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        try:
            yield [running.pid, ended.pid]
        finally:
            running.kill()
    assert ended.returncode == 0  # nobody had collected it


def test_strays_are_found_and_other_children_left_alone(stand: Stand, ordinary: list[int]) -> None:
    """ISO-11: a child in a pid namespace of its own that nobody knows, dead or alive; not a library's subprocess."""
    alive, dead = (stand.run(stand.launcher.launch(request())) for _ in range(2))
    os.kill(dead.attestation.pid, signal.SIGKILL)
    os.waitid(os.P_PID, dead.attestation.pid, os.WEXITED | os.WNOWAIT)
    assert set(kill_strays({stand.zygote()})) == {alive.attestation.pid, dead.attestation.pid}
    assert sorted(children()) == sorted([*ordinary, stand.zygote()])
    stand.run(alive.close("gone already"))
    stand.run(dead.close("gone already"))


def test_nothing_is_found_where_everybody_is_known(stand: Stand) -> None:
    """ISO-11"""
    session = stand.run(stand.launcher.launch(request()))
    assert kill_strays({stand.zygote(), session.attestation.pid}) == ()
    assert session.attest_again() == session.attestation
    stand.run(session.close("looked at"))
