"""The acts of the self-test without a wall: as root in namespaces of their own, each in a child, they succeed.

What is refused behind the wall is so refused by the wall, and not because the act is wrong. The few that cannot be
shown to succeed say why by their type, and even those end in another way than behind the wall.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from aaos.selftest.places import places
from aaos.selftest.probe import ALLOWED, Unshown
from aaos.selftest.trial import PROBES, Facts, literals, program

DEADLINE_S = 120
UNSHARE = ("unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc")
WITHOUT_A_WALL = """
import pty, resource, select, signal, termios
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
victim = os.fork()
if victim == 0:
    while True:
        signal.pause()
AGENTD = victim
spare, other = socket.socketpair()
os.dup2(spare.fileno(), 3)
kept = os.open("/", os.O_RDONLY)

def in_child(text):
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        master, terminal = pty.openpty()
        os.set_inheritable(master, True)
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        os.dup2(terminal, 0)
        call("unshare", NEWNS)
        grandchild = os.fork()
        if grandchild:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) % 256)
        try:
            seen = tried(text)
        except BaseException as error:
            seen = repr(error)
        os.write(write_fd, seen.encode())
        os._exit(1)
    os.close(write_fd)
    is_ready = select.select([read_fd], [], [], 10)[0]
    said = os.read(read_fd, 4096).decode() if is_ready else ""
    os.close(read_fd)
    if not is_ready:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return said or {0: "allowed"}.get(status, f"ended with {status}")

print(json.dumps({index: in_child(text) for index, text in ACTS}))
os.kill(victim, signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, str]:
    """What became of each act where there is no wall."""
    acts = [(index, probe.act) for index, probe in enumerate(PROBES)]
    with places(tmp_path_factory.mktemp("selftest"), (4321, 4321)) as made:
        facts = literals(made, Facts(0, Path("/run")))
        script = made.directory / "program.py"
        script.write_bytes(program(acts, facts, ending=WITHOUT_A_WALL))
        command = (*UNSHARE, "--propagation", "private", sys.executable, "-I", str(script), "--state-dir")
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, env={"PROBE": "1", **_path()}
        )
    assert done.returncode == 0, done.stderr
    return {int(index): what for index, what in json.loads(done.stdout).items()}


def _path() -> dict[str, str]:
    return {"PATH": os.defpath}


@pytest.mark.parametrize("index", range(len(PROBES)), ids=lambda index: PROBES[index].name)
def test_an_act_succeeds_where_there_is_no_wall(seen: Mapping[int, str], index: int) -> None:
    """ISO-10: or ends in another way than behind the wall, for a reason that it names."""
    probe = PROBES[index]
    if probe.unshown is None:
        assert seen[index] == ALLOWED
    else:
        assert seen[index] not in probe.refusals


def test_few_acts_cannot_be_shown_to_succeed() -> None:
    """ISO-10"""
    assert len(PROBES) >= 120
    assert sum(probe.unshown is not None for probe in PROBES) < len(PROBES) / 5
    assert {probe.unshown for probe in PROBES} == {None, *Unshown}
